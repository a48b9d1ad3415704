/*
 * Settings of the jobs room.
 */
#ifndef WEIR_JOBS_OPTIONS_H
#define WEIR_JOBS_OPTIONS_H

#include <stdint.h>

struct batch_options {
    unsigned max_requests;   /* items of a document; lines have no such bound */
    int64_t  max_body_bytes; /* of a document, or of one line */
    unsigned concurrency;    /* items under way at one time */
};

struct jobs_options {
    int64_t  keep_ns;   /* of results, from their job's end on */
    unsigned max;       /* jobs, those that have ended included */
    double   max_share; /* of these, what one user may have */
    int64_t  max_bytes; /* of all bodies */
};

#endif
