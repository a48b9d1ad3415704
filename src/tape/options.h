/*
 * Settings of the tape room: an upstream's `snapshot`.
 */
#ifndef WEIR_TAPE_OPTIONS_H
#define WEIR_TAPE_OPTIONS_H

#include <stdbool.h>

enum tape_miss { /* what becomes of a request that is not recorded */
                 TAPE_MISS_ERROR,
                 TAPE_MISS_FETCH,
                 TAPE_MISS_RECORD
};
enum tape_order { TAPE_LAST, TAPE_SEQUENCE };
enum tape_time { TAPE_RECORDED, TAPE_NOW };

struct tape_options {
    const char        *path; /* NULL: none is named */
    enum tape_miss     miss;
    enum tape_order    order;
    enum tape_time     time;
    bool               timing; /* bodies keep their pace */
    const char *const *redact; /* ends with NULL; NULL: none */
};

#endif
