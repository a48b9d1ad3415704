/*
 * Limits, retries and queues as the configuration states them (contract
 * sections 3 and 5).  Plain values, filled by config/; immutable.
 */
#ifndef WEIR_BUDGET_OPTIONS_H
#define WEIR_BUDGET_OPTIONS_H

#include "base/slice.h"

enum limit_kind {
    LIMIT_SLIDING, /* "60/min": no window of that length ever sees more */
    LIMIT_BUCKET,  /* "10/s burst 20": GCRA */
    LIMIT_FIXED,   /* "5000/day window 00:00 America/Los_Angeles" */
    LIMIT_LEARNED  /* "5000/h window learned" */
};

struct limit_cost {                        /* "304 0", "GET 1", "* 5": first match counts */
    unsigned    status_first, status_last; /* 0: not by status */
    const char *method;                    /* NULL: not by method; "*": any */
    unsigned    cost;
};

/* "[factor] body | json:POINTER | header:NAME | number": budget/term.h */
enum term_kind { TERM_NUMBER, TERM_BODY, TERM_JSON, TERM_HEADER };
struct limit_term {
    enum term_kind kind;
    double         factor;
    const char    *name; /* the pointer or the field; else NULL */
};
enum { LIMIT_SCALE_MOST = 9 };

struct limit_options {
    const char              *name; /* for people; the rate's text where none is given */
    enum limit_kind          kind;
    uint64_t                 count; /* 1 to 1e9 */
    int64_t                  window_ns;
    uint64_t                 burst;        /* LIMIT_BUCKET: 1 to 1e9 */
    unsigned                 start_minute; /* LIMIT_FIXED: minute of the day at which it starts anew */
    const char              *zone;         /* LIMIT_FIXED: IANA name */
    bool                     per_credential;
    const char              *match;   /* pattern text; NULL: every request */
    void                    *pattern; /* struct pattern of it, compiled by config/ */
    unsigned                 methods; /* bit set of enum http_method; 0: every method */
    const struct limit_cost *costs;
    unsigned                 cost_count;
    /* In any unit: what a request may cost, and what its answer says it has.  Both empty: requests are counted. */
    const struct limit_term *estimates, *charges;
    unsigned                 estimate_count, charge_count;
    unsigned                 scale;         /* its unit is the 10^scale-th part of what the rate's text counts */
    bool                     full_estimate; /* what is learned of estimates makes none smaller */
    double                   margin;        /* share of what the text says that is held back; 0.0 to 0.5 */
};

static inline bool limit_is_metered(const struct limit_options *o)
{
    return o->estimate_count > 0 || o->charge_count > 0;
}

struct retry_options {
    unsigned        attempts;   /* in all, the first included; 1: no retries */
    int64_t         backoff_ns; /* before the second attempt; doubles */
    int64_t         max_backoff_ns;
    const unsigned *statuses; /* of `on` */
    unsigned        status_count;
    double          share; /* 0.0 to 1.0 of an upstream's requests */
    /* Of an answer's body, each a text of http/condition.h, ending with NULL; NULL: none. */
    const char *const *never, *const *refused;
};

struct queue_options {
    int64_t  max_wait_ns;
    unsigned max_length;
};

struct low_budget_options { /* while so little is left, stale answers spare the rest */
    double   share;         /* of any limit; 0: not by share */
    uint64_t count;         /* of any limit that allows more than that; 0: not by number */
    int64_t  stale_ns;      /* how long past its lifetime an answer may be; less than 0: not set */
};

/* "60/min" and its kin into *out (kind, count, window, burst, start, zone; zone is malloc'd); false
 * and a message in *bad (static text: what is wrong and what would be right) where it does not parse. */
bool limit_parse(struct slice text, struct limit_options *out, const char **bad);

/* Count and burst as limit_parse() read them become those of the scale and margin, which holds back a unit at least;
 * false where it would be more than 1e9 of them, or none. */
bool limit_scale(struct limit_options *);

#endif
