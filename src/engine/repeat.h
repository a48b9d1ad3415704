/*
 * Hits that are given again: what an exchange came to, kept for the same head
 * from another client.
 *
 * A fresh hit depends on the head, the configuration, what is stored and the
 * time.  So it holds for a head that is the same byte for byte, under the same
 * configuration, until the writer's next commit, and while it is fresh; of what it says only its
 * Age and its ttl change with the time.  Whatever depends on more than that
 * (who asks, a directive that counts from the request, rate-limit fields) is not kept.
 *
 * The front keeps the reply beside it (front/mhd/kept.h).  A worker's own.
 */
#ifndef WEIR_ENGINE_REPEAT_H
#define WEIR_ENGINE_REPEAT_H

#include "engine/engine.h"

struct repeat;

/* Of an exchange that is EXCHANGE_READY, before exchange_reply_taken(); NULL where its reply is for once only. */
struct repeat *repeat_of(const struct exchange *);
void           repeat_free(struct repeat *); /* NULL is fine */
bool           repeat_holds(const struct repeat *, struct engine *, int64_t now_wall_ns);

struct repeat_time { /* what it says at one time; whole seconds, never negative */
    uint64_t age_s;
    uint64_t ttl_s; /* in Cache-Status; UINT64_MAX: it says none */
};
struct repeat_time repeat_time(const struct repeat *, int64_t now_wall_ns);
/* Where in the value of Cache-Status the ttl stands; SIZE_MAX: it says none. */
size_t repeat_ttl_offset(const struct repeat *);

struct repetition {
    int64_t started_wall_ns, started_mono_ns;
}; /* one request that got it */

/* Counts it, and tells eviction that the record is in use. */
struct repetition repeat_begin(const struct repeat *, struct engine *, int64_t now_wall_ns);
struct repeat_client { /* whom it was for: see struct exchange_input */
    const char *peer;
    void (*label)(void *owner, struct request_record *);
    void *owner;
};
/* As exchange_close(). */
void repeat_end(const struct repeat *, struct engine *, const struct repetition *, const struct repeat_client *,
                int64_t now_mono_ns, bool whole, int64_t sent_bytes);

#endif
