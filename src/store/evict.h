/*
 * Which record is worth least: a frequency sketch and a table of last uses,
 * both of a bounded size, fed by samples of hits.
 *
 * A record's worth is its uses, as the sketch remembers them, squared, by the time since
 * the last one (and a little by its size).  A new record is worth something at first, so it gets its
 * chance; a scan is soon worth nothing, and what is asked for often outlives it.  The
 * sketch forgets: all counts are halved from time to time.  Nothing per record is kept.
 * On Zipf traces it beats LRU by 2 to 6 points of hit ratio (tests/unit/test_evict.c).
 *
 * Pure but for its own memory; the writer thread's.
 */
#ifndef WEIR_STORE_EVICT_H
#define WEIR_STORE_EVICT_H

#include <stdbool.h>
#include <stdint.h>

struct evict;

/* `records`: as many as there may be, roughly. */
struct evict *evict_new(uint64_t records);
void          evict_free(struct evict *); /* NULL is fine */

/* A record's name here: from its hash and variant, 16 bytes each. */
uint64_t evict_name(const void *hash, const void *variant);
/* Wall time as evict counts it: 67 ms a tick; wraps after 9 years, which differences bear. */
uint32_t evict_ticks(int64_t wall_ns);

/* A hit. */
void evict_use(struct evict *, uint64_t name, uint32_t now);
/* A record was stored: somebody wanted it, and its own time says when. */
void evict_stored(struct evict *, uint64_t name);
/* The smallest goes first. `stored`: ticks of when it was fetched. */
double evict_worth(const struct evict *, uint64_t name, uint32_t stored, uint64_t bytes, bool invalidated,
                   uint32_t now);

#endif
