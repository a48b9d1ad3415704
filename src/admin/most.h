/*
 * Who of many comes most often, in bounded memory: of more than MOST_KEPT names the rarest gives its place, and its
 * count, to a newcomer (Metwally, "space-saving"), so that a frequent one is never missed.
 */
#ifndef WEIR_ADMIN_MOST_H
#define WEIR_ADMIN_MOST_H

#include "base/slice.h"

enum { MOST_KEPT = 64, MOST_TOLD = 10, MOST_NAME_BYTES = 200 };

struct most_entry {
    uint64_t hash, count, hits;
    char     name[MOST_NAME_BYTES]; /* cut where it is longer */
};

struct most { /* all zero: nobody came */
    unsigned          count;
    struct most_entry entries[MOST_KEPT];
};

void most_count(struct most *, struct slice name, bool is_hit);
/* The most frequent ones, first; how many.  They stand until the next call. */
unsigned most_take(struct most *, struct most_entry *out[MOST_TOLD]);
void     most_clear(struct most *);

#endif
