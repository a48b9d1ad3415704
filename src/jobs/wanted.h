/*
 * What a batch asks for besides its items: the options of its envelope, or of the query.
 */
#ifndef WEIR_JOBS_WANTED_H
#define WEIR_JOBS_WANTED_H

#include "base/arena.h"
#include "http/fields.h"
#include "jobs/options.h"

#include <jansson.h>
#include <stdbool.h>

enum { WANTED_STATUSES = 16 };
#define WANTED_NAMES "order, take, accept, concurrency, max_wait, priority, upstream, headers, progress and async are"

struct wanted {
    bool               by_completion; /* order = "completed"; under `take` without an order, too */
    bool               has_order;
    bool               async; /* 202 and a job */
    uint64_t           take;  /* 0: all */
    unsigned           concurrency;
    struct slice       max_wait, priority; /* as the request's fields have them */
    const char        *upstream;           /* whose items get the outer credentials and `fields`; NULL: none */
    struct http_fields fields;
    int64_t            progress_ns; /* 0: none is told */
    unsigned           said;        /* options, a bit each */
    unsigned           accepted;    /* of the following; 0: 2xx */
    struct {
        unsigned first, last;
    } accept[WANTED_STATUSES];
};

void wanted_begin(struct wanted *, const struct batch_options *);
/* May a request of a batch carry a field of that name?  Not what is between one client and Weir, or Weir's to say. */
bool wanted_may_carry(struct slice name);
/* Is there an option of that name? */
bool wanted_knows(struct slice name);
/* One of them; texts are copied.  NULL: well; else what would be right. */
const char *wanted_set(struct wanted *, const struct batch_options *, struct slice name, const json_t *value,
                       struct arena *);
/* All of a query's.  NULL: well; else what is wrong. */
const char *wanted_read_query(struct wanted *, const struct batch_options *, struct slice query, struct arena *);
bool        wanted_accepts(const struct wanted *, unsigned status);

#endif
