/*
 * What is kept of an exchange: the line for the access log, the record's name
 * for eviction, and what it says at which time.
 */
#include "engine/repeat.h"

#include "engine/internal.h"

#include "base/clock.h"
#include "base/counters.h"
#include "engine/runs.h"
#include "policy/storable.h"

#include <stdlib.h>

struct repeat {
    struct config               *config;           /* a reference */
    uint64_t                     generation;       /* of the store, when it was looked up */
    uint64_t                     heard_generation; /* of the API's words on its limits */
    int64_t                      holds_for_ns;     /* the ttl, or until those words change by themselves */
    int64_t                      from_wall_ns;
    int64_t                      age_ns, ttl_ns; /* at that time; ttl INT64_MAX: for ever */
    size_t                       ttl_offset;
    uint8_t                      hash[STORE_HASH_BYTES], variant[STORE_HASH_BYTES];
    struct traffic              *traffic; /* the configuration's */
    unsigned                     cell;
    const struct request_record *line; /* in: */
    void                        *packed;
};

/* What a request says of freshness is measured at its own time. */
static bool wishes_nothing(const struct request_wish *w)
{
    return (w->cc.flags & CC_PRESENT) == 0 && !w->pragma_no_cache && w->ttl_override_ns == POLICY_UNSET &&
           !w->refresh_soft && !w->refresh_hard;
}

static bool may_repeat(const struct exchange *x)
{
    return x->at == STEP_DONE && x->has_key && !x->in.has_body && x->in.request.method == HTTP_GET &&
           x->seen.times == 1 && !x->so_far.forwarded && x->fetch == NULL && x->decision.verdict == VERDICT_SERVE &&
           x->decision.ttl_ns > 0 && wishes_nothing(&x->wish) && x->reply.kind != REPLY_STREAM && !x->reply.close &&
           x->in.connected.ptr == NULL && x->config == x->engine->config && x->mode.holds == x->up->mode &&
           !x->mode.has_own && x->mode.stand_in == NULL && !runs_any(x->engine->services->runs);
}

/* There may be thousands: one block with its texts, and no arena, which would take a page. */
static void describe(struct repeat *r, const struct exchange *x)
{
    struct arena          a = { 0 };
    struct request_record line = exchange_describe(x, &a);

    line.peer = SLICE_NONE;
    r->packed = mem_alloc_raw(record_packed_bytes(&line));
    record_pack(&line, r->packed);
    r->line = record_unpack(r->packed);
    arena_free(&a);
}

struct repeat *repeat_of(const struct exchange *x)
{
    struct repeat *r;
    int64_t        rests_ns;

    if (!may_repeat(x) || (rests_ns = early_rests_ns(x)) == 0)
        return NULL;
    r = mem_alloc(sizeof *r);
    config_acquire(x->config);
    r->config = x->config;
    r->generation = x->seen.generation;
    r->heard_generation = x->seen.heard_generation;
    r->from_wall_ns = x->seen.wall_ns;
    r->age_ns = policy_age_ns(&x->stored.response, x->seen.wall_ns);
    r->ttl_ns = x->decision.ttl_ns;
    r->holds_for_ns = r->ttl_ns < x->seen.heard_for_ns ? r->ttl_ns : x->seen.heard_for_ns;
    if (rests_ns < r->holds_for_ns)
        r->holds_for_ns = rests_ns;
    r->ttl_offset = r->ttl_ns == INT64_MAX ? SIZE_MAX
                                           : http_fields_get(&x->reply.fields, HTTP_CACHE_STATUS).len -
                                                 x->finish.cache_status_bytes + sizeof HIT_TTL - 1;
    memcpy(r->hash, x->stored.hash, sizeof r->hash);
    memcpy(r->variant, x->stored.variant, sizeof r->variant);
    r->traffic = x->up->traffic;
    r->cell = exchange_traffic_cell(x);
    describe(r, x);
    return r;
}

void repeat_free(struct repeat *r)
{
    if (r == NULL)
        return;
    config_release(r->config);
    free(r->packed);
    free(r);
}

bool repeat_holds(const struct repeat *r, struct engine *e, int64_t now_wall_ns)
{
    const int64_t since = now_wall_ns - r->from_wall_ns;

    return since >= 0 && since < r->holds_for_ns && r->config == e->config &&
           r->generation == store_generation(e->services->store) &&
           r->heard_generation == upstream_heard_generation(e->services->upstream);
}

struct repeat_time repeat_time(const struct repeat *r, int64_t now_wall_ns)
{
    const int64_t since = now_wall_ns - r->from_wall_ns;

    return (struct repeat_time){
        .age_s = (uint64_t)((r->age_ns + since) / NS_PER_SEC),
        .ttl_s = r->ttl_ns == INT64_MAX ? UINT64_MAX : (uint64_t)((r->ttl_ns - since) / NS_PER_SEC),
    };
}

size_t repeat_ttl_offset(const struct repeat *r)
{
    return r->ttl_offset;
}

struct repetition repeat_begin(const struct repeat *r, struct engine *e, int64_t now_wall_ns)
{
    counter_add(COUNTER_REQUESTS, 1);
    counter_add(COUNTER_HITS, 1);
    counter_add(COUNTER_HITS_REPEATED, 1);
    store_touch(e->reader, r->hash, r->variant);
    return (struct repetition){ .started_wall_ns = now_wall_ns, .started_mono_ns = clock_mono_ns() };
}

static void tell_of(const struct repeat *r, struct engine *e, const struct repetition *one,
                    const struct repeat_client *client, int64_t took_ns, bool whole, int64_t sent_bytes)
{
    struct request_record line = *r->line;

    line.started_wall_ns = one->started_wall_ns;
    line.took_ns = took_ns;
    line.id = (int64_t)engine_take_id(e);
    line.peer = slice_of(client->peer);
    client->label(client->owner, &line);
    line.sent_bytes = sent_bytes;
    line.whole = whole;
    recorder_take(e->recorder, &line);
}

void repeat_end(const struct repeat *r, struct engine *e, const struct repetition *one,
                const struct repeat_client *client, int64_t now_mono_ns, bool whole, int64_t sent_bytes)
{
    const int64_t took_ns = now_mono_ns - one->started_mono_ns;

    if (!whole)
        counter_add(COUNTER_CLIENT_GONE, 1);
    traffic_request(traffic_of(r->traffic, e->index), r->cell, took_ns, sent_bytes);
    if (recorder_is_on(e->recorder))
        tell_of(r, e, one, client, took_ns, whole, sent_bytes);
}
