/*
 * What is kept of an exchange: the line for the access log, the record's name
 * for eviction, and how long it holds.  A reference to the configuration keeps the
 * names in it alive.
 */
#include "engine/repeat.h"

#include "engine/internal.h"

#include "base/clock.h"
#include "base/counters.h"
#include "policy/storable.h"

#include <stdlib.h>

struct repeat {
    struct config       *config;      /* a reference */
    uint64_t             generation;  /* of the store, when it was looked up */
    uint64_t             heard_generation;           /* of the API's words on its limits */
    int64_t              from_wall_ns, until_wall_ns;
    uint8_t              hash[STORE_HASH_BYTES], variant[STORE_HASH_BYTES];
    struct access_record line;        /* its text is in `arena` or the configuration's */
    struct arena         arena;
};

/* What a request says of freshness is measured at its own time. */
static bool wishes_nothing(const struct request_wish *w)
{
    return (w->cc.flags & CC_PRESENT) == 0 && !w->pragma_no_cache && w->ttl_override_ns == POLICY_UNSET
        && !w->refresh_soft && !w->refresh_hard;
}

static bool may_repeat(const struct exchange *x)
{
    return x->at == STEP_DONE && x->has_key && !x->in.has_body && x->in.request.method == HTTP_GET
        && x->looked_up == 1 && !x->forwarded && x->fetch == NULL && x->decision.verdict == VERDICT_SERVE
        && x->decision.ttl_ns > 0 && wishes_nothing(&x->wish)
        && x->reply.kind != REPLY_STREAM && !x->reply.close
        && x->in.connected.ptr == NULL && x->config == x->engine->config;
}

/* Age and the ttl in Cache-Status are in whole seconds; until one of them changes. */
static int64_t until_wall_ns(const struct exchange *x)
{
    const int64_t now = x->looked_up_wall_ns, age = policy_age_ns(&x->stored.response, now);
    const int64_t ttl = x->decision.ttl_ns;
    int64_t       left = NS_PER_SEC - age % NS_PER_SEC;

    if (ttl != INT64_MAX && ttl % NS_PER_SEC < left)
        left = ttl % NS_PER_SEC;
    return now + left;
}

static void describe(struct repeat *r, const struct exchange *x)
{
    struct access_record *line = &r->line;

    *line = exchange_describe(x, &r->arena);
    line->peer = NULL;
    line->attempts = NULL;            /* there were none */
    line->client = line->client.ptr != NULL ? arena_copy(&r->arena, line->client) : SLICE_NONE;
    line->method = arena_copy(&r->arena, line->method);
    line->target = arena_copy(&r->arena, line->target);
    if (line->detail != NULL)
        line->detail = arena_copy(&r->arena, slice_of(line->detail)).ptr;
}

struct repeat *repeat_of(const struct exchange *x)
{
    struct repeat *r;

    if (!may_repeat(x))
        return NULL;
    r = mem_alloc(sizeof *r);
    config_acquire(x->config);
    r->config = x->config;
    r->generation = x->generation;
    r->heard_generation = x->heard_generation;
    r->from_wall_ns = x->looked_up_wall_ns;
    r->until_wall_ns = until_wall_ns(x);
    memcpy(r->hash, x->stored.hash, sizeof r->hash);
    memcpy(r->variant, x->stored.variant, sizeof r->variant);
    describe(r, x);
    return r;
}

void repeat_free(struct repeat *r)
{
    if (r == NULL)
        return;
    config_release(r->config);
    arena_free(&r->arena);
    free(r);
}

bool repeat_holds(const struct repeat *r, struct engine *e, int64_t now_wall_ns)
{
    return now_wall_ns >= r->from_wall_ns && now_wall_ns < r->until_wall_ns && r->config == e->config
        && r->generation == store_generation(e->services->store)
        && r->heard_generation == upstream_heard_generation(e->services->upstream);
}

struct repetition repeat_begin(const struct repeat *r, struct engine *e, int64_t now_wall_ns)
{
    counter_add(COUNTER_REQUESTS, 1);
    counter_add(COUNTER_HITS, 1);
    counter_add(COUNTER_HITS_REPEATED, 1);
    store_touch(e->reader, r->hash, r->variant);
    return (struct repetition){ .started_wall_ns = now_wall_ns, .started_mono_ns = clock_mono_ns() };
}

void repeat_end(const struct repeat *r, struct engine *e, const struct repetition *one, const char *peer, bool whole,
                int64_t sent_bytes)
{
    struct access_record line = r->line;

    if (!whole)
        counter_add(COUNTER_CLIENT_GONE, 1);
    line.started_wall_ns = one->started_wall_ns;
    line.took_ns = clock_mono_ns() - one->started_mono_ns;
    line.id = e->next_id;
    e->next_id += e->id_step;
    line.peer = peer;
    line.sent_bytes = sent_bytes;
    line.whole = whole;
    access_log_write(e->access, &line);
}
