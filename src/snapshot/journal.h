/*
 * A journal: what a writer keeps until it is sorted.  One file that only grows, an exchange in one write, with its
 * bodies in it: no file is made for an exchange, nothing is hashed and no JSON is made while a program waits.
 *
 * What cannot be read back whole ends it: a kill loses the exchange in hand.  Offsets are bytes from the file's
 * beginning.  A journal may be a client's file, so nothing in it is believed; it is read by pread(2), never mapped.
 */
#ifndef WEIR_SNAPSHOT_JOURNAL_H
#define WEIR_SNAPSHOT_JOURNAL_H

#include "snapshot/internal.h"

enum journal_kind {
    JOURNAL_TERMS = 1, /* line 1 of a snapshot: what is masked */
    JOURNAL_EXCHANGE,
    JOURNAL_MASKED, /* the same, once more: its bodies are those of an earlier one, which is dropped */
    JOURNAL_DROPPED /* nothing of it is left */
};

struct journal { /* that is written */
    int      fd;
    uint64_t bytes;  /* how long it is */
    bool     broken; /* it ends with a part of a record */
};

struct journal_body {
    uint64_t at, bytes;
};

struct journal_record {
    enum journal_kind        kind;
    uint64_t                 at, next;
    struct slice             terms;     /* JOURNAL_TERMS */
    struct snapshot_exchange x;         /* else; its bodies may have no names yet */
    uint64_t                 bodies_of; /* of JOURNAL_MASKED: whose */
    struct journal_body      sent, came;
};

enum journal_got { JOURNAL_GOT, JOURNAL_END, JOURNAL_DAMAGED };

/* Is it one, by how it begins? */
bool journal_is(int fd);
/* What is read lives as long as the arena.  END: also where a record is cut. */
enum journal_got journal_read(int fd, uint64_t at, struct journal_record *, struct arena *);
/* A part of a body; false: it is not all there. */
bool journal_read_body(int fd, const struct journal_body *, uint64_t at, void *out, size_t count);

/* Appended in one write; the file's end is given back where there is no room for all.  -1 and *why. */
int journal_add_terms(struct journal *, struct slice line, struct fault *why);
int journal_add(struct journal *, const struct snapshot_exchange *, struct slice sent, struct slice came,
                struct fault *why);
/* In the place of an earlier one, whose bodies it takes: that has nothing left in its own but them. */
int journal_mask(struct journal *, const struct journal_record *, const struct snapshot_exchange *, struct fault *why);
/* Its bytes are overwritten. */
int journal_drop(struct journal *, const struct journal_record *, struct fault *why);

#endif
