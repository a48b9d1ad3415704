/*
 * What the cache saved since the day began, or since Weir was started where that was later.
 *
 * Counts only grow, so a day's are those of now less those of its beginning: main notes them at local midnight.  Weir
 * remembers none over a restart; what is told says since when it is.
 */
#ifndef WEIR_ADMIN_SAVED_H
#define WEIR_ADMIN_SAVED_H

#include "config/config.h"

struct saved;

struct saved *saved_open(int64_t now_wall_ns);
void          saved_close(struct saved *); /* NULL is fine */
/* Main's thread: begins a day where one has begun. */
void saved_tick(struct saved *, const struct config *, int64_t now_wall_ns);
/* Main's thread: how long until the next day. */
int64_t saved_left_ns(const struct saved *, int64_t now_wall_ns);

struct saved_counts {
    uint64_t requests; /* of clients, for an API */
    uint64_t served;   /* of these, from the cache, with nothing asked for them */
    uint64_t bytes;    /* of bodies out of the cache */
};
/* Of one upstream, since the day began. Any thread that holds the configuration. */
struct saved_counts saved_of(struct saved *, const struct config_upstream *);
/* Requests that were answered with another one's answer. */
uint64_t saved_shared(struct saved *);
int64_t  saved_since_wall_ns(struct saved *);

#endif
