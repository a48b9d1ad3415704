/* Where the cache and the state live and how large they may grow.  Filled by config/; plain values. */
#ifndef WEIR_STORE_OPTIONS_H
#define WEIR_STORE_OPTIONS_H

#include <stdint.h>

struct store_options {
    const char *path;      /* cache directory; made (0700) where it is missing */
    uint64_t    max_bytes; /* LMDB pages and body files together */
    unsigned    readers;   /* threads that look up: workers and the upstream thread */
};

struct state_options {
    const char *path; /* state directory; made (0700) where it is missing */
};

#endif
