/*
 * How an attempt at a request ended.  Pure.
 */
#ifndef WEIR_HTTP_ATTEMPT_H
#define WEIR_HTTP_ATTEMPT_H

#include <stdbool.h>

enum attempt_outcome {
    ATTEMPT_OK,        /* a usable answer */
    ATTEMPT_STATUS,    /* an answer whose status is in `on` */
    ATTEMPT_REFUSED,   /* no connection was made: nothing was done */
    ATTEMPT_NO_NAME,   /* the same, since the name could not be resolved */
    ATTEMPT_NO_TLS,    /* the same, since TLS could not be agreed upon */
    ATTEMPT_UNUSABLE,  /* the same, by Weir's own settings or budget */
    ATTEMPT_UNREACHED, /* the same: no route, or nobody who answered in time */
    ATTEMPT_DROPPED,   /* the connection broke before the answer's end */
    ATTEMPT_TIMEOUT,
    ATTEMPT_CUT_SHORT, /* the body ended early */
    ATTEMPT_INVALID    /* the body failed `validate` */
};
const char *attempt_outcome_token(enum attempt_outcome); /* "ok" "status" "refused" ... */

enum attempt_kind { /* what is counted apart */
                    ATTEMPT_KIND_OK,
                    ATTEMPT_KIND_STATUS,
                    ATTEMPT_KIND_UNREACHED, /* nobody was spoken to: no name, no connection, no TLS */
                    ATTEMPT_KIND_DROPPED,
                    ATTEMPT_KIND_TIMEOUT,
                    ATTEMPT_KIND_CUT_SHORT,
                    ATTEMPT_KIND_INVALID,
                    ATTEMPT_KINDS
};
extern const char *const attempt_kind_labels[ATTEMPT_KINDS];
enum attempt_kind        attempt_kind(enum attempt_outcome);

bool attempt_did_nothing(enum attempt_outcome); /* the API has not seen it: every method may be repeated */

#endif
