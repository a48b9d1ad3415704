/*
 * The state directory: what a flush, an eviction or a damaged cache never
 * touches.  The hashing key (file "key", 0600, made at first start) and rows, in an
 * LMDB environment of its own, written by the store's writer thread durably (synced).
 *
 * Rows belong to owners, each with a table: the ledger's and the CDN numbers' are upstream/'s.  A new owner is a
 * constant of its room, and one entry of the list that state_open() gets.
 */
#ifndef WEIR_STORE_STATE_H
#define WEIR_STORE_STATE_H

#include "base/fault.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/slice.h"
#include "store/options.h"

struct state;
struct store;

struct state_owner {   /* of the rows of a table; constant, found by its address */
    const char *table; /* its name */
    /* another one in the database: that is set aside, the others' rows are salvaged */
    uint32_t format;
    /* A start does this with every row. The slices end with the call. */
    void (*load)(void *context, struct slice name, struct slice value);
    /* In whose table an older version kept such rows, and which are; NULL: always in their own. */
    const struct state_owner *stood_with;
    bool (*is_own)(struct slice name);
};

/* The owners end with NULL, whoever is `stood_with` before the other.  NULL: unusable or held by another instance.
 * Damaged: set aside, begun anew with the rows that can still be read, said in *note. */
struct state *state_open(const struct state_options *, const struct state_owner *const owners[], struct fault *why,
                         struct fault *note);
void          state_close(struct state *);           /* after store_close() */
void          state_settle(struct state *);          /* main thread, some minutes after the start: see db_settle() */
int           state_directory(const struct state *); /* for the CA's files; borrowed */
/* 32 bytes; valid while the state is open. */
const uint8_t *state_key(const struct state *);

/* Calls the owner's `load` for each of his rows (start-up, before any write). */
void state_load(struct state *, const struct state_owner *, void *context);

/* At this start it was found damaged: entries may be missing, of those that were salvaged none is. */
bool state_rows_lost(const struct state *);

struct state_change { /* the submitter's memory until `done` is received */
    struct mail                mail;
    struct state              *state;
    const struct state_owner  *owner;
    struct slice               name;  /* at most 400 bytes */
    struct slice               value; /* ptr NULL: delete */
    struct mailbox            *reply_to;
    struct mail                done;
    bool                       ok;
    struct store              *store; /* the rest is the writer's */
    STAILQ_ENTRY(state_change) queued;
};
/* Written and synced by the store's writer thread; changes that wait are grouped into one transaction. */
void state_submit(struct store *, struct state_change *);

#endif
