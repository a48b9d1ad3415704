/*
 * What a writer's files share: the folder, its own journal, what it has learned, and bodies on their way to a file.
 * For this room alone.
 */
#ifndef WEIR_SNAPSHOT_WRITER_H
#define WEIR_SNAPSHOT_WRITER_H

#include "snapshot/journal.h"

enum { JOURNAL_NAME_BYTES = 64 };

struct writer_mark { /* an exchange of a journal */
    uint64_t at;
    unsigned known; /* so many secrets it has been searched for */
};

struct snapshot_writer {
    struct snapshot_place *place; /* NULL: the journal is a client's */
    struct redaction       redaction;
    struct secrets_known  *secrets;
    char                   name[JOURNAL_NAME_BYTES]; /* of the journal in the folder */
    struct journal         journal;
    int                    scratch; /* a folder for files without a name; the place's, or a client's journal's own */
    unsigned               files;   /* names that were given to some for a moment */
    struct writer_mark    *marks;
    size_t                 mark_count, mark_room;
    snapshot_keeps         tell; /* NULL: nobody */
    void                  *context;
};

/* -- spooled.c: a body as it comes -- */

struct spooled_body { /* all zero: empty */
    char    *bytes;
    size_t   used, room;
    int      fd_plus_1; /* of a file without a name; 0: all is in memory */
    uint64_t total;
    int      error; /* errno of the first thing that failed */
    void    *mapped;
};
void spooled_body_add(struct spooled_body *, struct snapshot_writer *, const void *bytes, size_t count);
/* All of it in one piece, until it is freed; false: errno. */
bool spooled_body_whole(struct spooled_body *, struct slice *out);
void spooled_body_free(struct spooled_body *);

/* -- sift.c -- */

/* Exchanges of a journal are searched for what was learned after they were written: masked where that stands in fields,
 * dropped where it stands in a URL or a body.  Adds to *taken_out how many were, and *why is the first of them.  -1: it
 * cannot be written, *why. */
int sift_marked(struct journal *, const struct secrets_known *, const struct writer_mark *, size_t count,
                size_t *taken_out, struct fault *why);
/* All of it. */
int sift_journal(struct journal *, const struct secrets_known *, size_t *taken_out, struct fault *why);

/* -- fold.c: the folder is locked -- */

/* `secrets`: what the journals are searched for, but the one of this name; both NULL: nothing. */
int fold_place(struct snapshot_place *, const struct secrets_known *secrets, const char *sifted, size_t *added,
               size_t *taken_out, struct fault *why);
/* A snapshot.jsonl of these lines, in the place of the one that is there. */
int fold_write_index(int folder, const struct snapshot_lines *, struct fault *why);
/* Line 1, malloc'd. */
char *fold_first_line(const struct snapshot_lines *);

#endif
