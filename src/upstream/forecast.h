/*
 * How long a wait will be: forecast.c says more.  What a site keeps for it, and what the rest of this room asks;
 * upstream thread.
 */
#ifndef WEIR_UPSTREAM_FORECAST_H
#define WEIR_UPSTREAM_FORECAST_H

#include "budget/ledger.h"
#include "budget/pace.h"
#include "budget/turns.h"

struct flight;
struct site;
struct turn;
struct upstream;

enum { KINDS = 8 };    /* of requests, whose paces are known apart */
struct kind {          /* requests of one rule and method */
    uint64_t     key;  /* 0: none yet */
    struct pace *pace; /* NULL: nothing is known */
    unsigned     waiting;
};

struct wait_cause {     /* whose doing a wait is */
    const char  *limit; /* "queue" where there is no limit in the way */
    enum told_by by;    /* of the API's; NOBODY: the limit's own */
    int64_t      heard_wall_ns;
};
/* Nanoseconds that a fetch joining (flight) or entering (NULL) would wait. */
int64_t forecast_wait(struct site *, const struct flight *, const struct charge *, enum queue_priority,
                      const struct queue_who *, struct wait_cause *);
/* The last of so many more like it that come after it. */
int64_t forecast_last(const struct flight *, uint64_t more);
int64_t forecast_takes(const struct flight *); /* at the API, as the middle one of its kind; 0: not known */
int64_t forecast_newcomer(struct site *);      /* one that nobody knows, with no credential, for "/" */
void    forecast_waits(struct flight *);       /* it waits from now on */
void    forecast_goes(struct flight *);        /* not any more */
void    forecast_note(const struct turn *);    /* it gives its place back */

#endif
