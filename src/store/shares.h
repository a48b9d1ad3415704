/*
 * How much of the cache each upstream fills: one number for each name, kept beside the
 * totals and changed in the same transactions.  Writer's thread.
 */
#ifndef WEIR_STORE_SHARES_H
#define WEIR_STORE_SHARES_H

#include "base/slice.h"

#include <stdint.h>

enum { SHARES_MOST = 256 }; /* upstreams; what further ones fill is not known, and not bounded */

struct share {
    uint64_t upstream /* hash of its name */, bytes;
};
struct shares {
    unsigned     count;
    struct share items[SHARES_MOST];
};

uint64_t shares_name(struct slice upstream);
/* A new one is empty. NULL where there are too many. */
struct share *shares_of(struct shares *, struct slice upstream);
void          shares_add(struct shares *, struct slice upstream, uint64_t bytes);
void          shares_take(struct shares *, struct slice upstream, uint64_t bytes);

#endif
