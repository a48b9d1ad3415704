/*
 * The state directory: what a flush, an eviction or a damaged cache never
 * touches.  The hashing key (file "key", 0600, made at first start) and the ledger,
 * an LMDB environment of its own, written by the store's writer thread durably (synced).
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

/* NULL: unusable or held by another instance. Damaged: set aside, begun anew with the entries that can still be read,
 * said in *note. */
struct state *state_open(const struct state_options *, struct fault *why, struct fault *note);
void state_close(struct state *);                    /* after store_close() */
void state_settle(struct state *);                   /* main thread, some minutes after the start: see db_settle() */
int  state_directory(const struct state *);          /* for the CA's files; borrowed */
/* 32 bytes; valid while the state is open. */
const uint8_t *state_key(const struct state *);

/* Calls `each` for every ledger entry (start-up, before any write). Values are borrowed for the call. */
void state_load(struct state *, void (*each)(void *context, struct slice name, struct slice value), void *context);

/* At this start it was found damaged: entries may be missing, of those that were salvaged none is. */
bool state_rows_lost(const struct state *);

struct state_change {                 /* the submitter's memory until `done` is received */
    struct mail     mail;
    struct state   *state;
    struct slice    name;             /* at most 400 bytes */
    struct slice    value;            /* ptr NULL: delete */
    struct mailbox *reply_to;
    struct mail     done;
    bool            ok;
    struct store   *store;            /* the rest is the writer's */
    STAILQ_ENTRY(state_change) queued;
};
/* Written and synced by the store's writer thread; changes that wait are grouped into one transaction. */
void state_submit(struct store *, struct state_change *);

#endif
