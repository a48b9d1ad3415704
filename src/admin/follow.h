/*
 * A call that reads the records of finished requests as they come: what /log and /top have in common.
 *
 * While it lives, all workers make records.  It looks at them some times a second, on its own worker and
 * only when its client has taken what it was given: one that stops reading makes no work, and hears how many it missed.
 */
#ifndef WEIR_ADMIN_FOLLOW_H
#define WEIR_ADMIN_FOLLOW_H

#include "admin/internal.h"
#include "engine/record_reader.h"
#include "engine/recorder.h"

enum { FOLLOW_AT_ONCE = 500 }; /* records looked at before the worker's other calls have their turn */

struct follow {
    struct admin_call    *call;
    struct record_reader *reader;
    struct record_watch   watch;
    bool                  watches;
    bool                  ends_with_configuration; /* what it tells is the old one's then */
    bool                  is_over;                 /* `more` ends the answer as soon as it may */
    unsigned              looked;                  /* at, in this turn */
    uint64_t              missed;                  /* overwritten before they were read */
    struct mail           again;
};

/* `watches`: has records made from now on, and calls the stream's `more` for them. */
void follow_begin(struct follow *, struct admin_call *, enum record_from, bool watches);
void follow_end(struct follow *);
/* The next record that the caller of the call may hear of, for `more`.  NULL: none now; `more` just returns. */
const struct request_record *follow_next(struct follow *);
/* After NULL: there is more to read already, `more` is called again soon. */
bool follow_is_pausing(const struct follow *);
/* Tells how many were missed, where some were. */
void follow_tell_missed(struct follow *);

/* ?name=value&...: each parameter is given decoded to `take`, whose word is whether it was right (*why). False: one was
 * not, and has been answered. */
bool follow_read_query(struct admin_call *,
                       bool (*take)(void *state, struct slice name, struct slice value, struct fault *why),
                       void *state);

#endif
