/*
 * Programs that have a mode of their own (weirctl run): each has a token, which is its proxy user.
 *
 * A run is bound to the connection over which it was begun, and to that connection's user: it is over when that
 * connection ends, or Weir does, and nobody else's requests are let through by its token.  A request with a token that
 * holds no more is refused and never goes live.  What is kept of a token is a hash, in memory.
 *
 * The table is all workers', under a lock that only those requests take that have a token, and, while there is a run,
 * those that have none: they are counted for the runs of the same user, since they are held to nothing.
 */
#ifndef WEIR_ENGINE_RUNS_H
#define WEIR_ENGINE_RUNS_H

#include "base/slice.h"
#include "config/config.h"
#include "tape/tape.h"

#include <stdatomic.h>

enum { RUN_TOKEN_BYTES = 48, RUNS_MOST = 512, RUNS_OF_USER = 128, RUN_NAME_BYTES = 128 };

struct runs;
struct own_run;

struct runs *runs_open(void);
void         runs_close(struct runs *); /* NULL is fine; all runs are over */

/* Is there any?  Costs nothing. */
bool runs_any(const struct runs *);
/* Does a proxy user look like a token, good or not? */
bool runs_is_token(struct slice proxy_user);
/* As a log may have it: SLICE_NONE for a token. */
struct slice runs_name(struct slice proxy_user);

/* `as`: the client's name; ptr NULL: none.  `tape`: a reference, which the run takes over; NULL: none.  Of two
 * references one is the table's.  NULL: there are too many, and the tape is still the caller's. */
struct own_run *runs_begin(struct runs *, enum upstream_mode, int64_t uid, struct slice as, struct tape *tape,
                           char token[RUN_TOKEN_BYTES]);
/* From now on its token is unknown.  False: it was over. */
bool runs_end(struct runs *, struct own_run *);
void run_release(struct own_run *); /* NULL is fine */
void run_acquire(struct own_run *);

/* What a token leads to: a reference, or NULL: there is none, or it is another user's.  `uid` -1: not known. */
struct own_run *runs_find(struct runs *, struct slice token, int64_t uid);
/* A request of that user came without a token. */
void runs_note_astray(struct runs *, int64_t uid);

struct tape       *run_tape(const struct own_run *); /* NULL: it has none; lives as long as the run */
enum upstream_mode run_mode(const struct own_run *);
struct slice       run_as(const struct own_run *); /* lives as long as the run */
bool               run_is_over(const struct own_run *);

struct run_counts {
    uint64_t requests; /* with the token, to upstreams */
    uint64_t refused;  /* of them, and tunnels: to hosts that Weir cannot see into */
    uint64_t astray;   /* without it */
};
void              run_note_request(struct own_run *);
void              run_note_refused(struct own_run *);
struct run_counts run_counts(const struct own_run *);

#endif
