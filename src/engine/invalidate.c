/*
 * What a successful write drops from the cache (RFC 9111 4.4, and the wider
 * `invalidate = "path"` and `invalidates` of the settings), what the answer to it names in Cache-Group-Invalidation
 * (RFC 9875), and PURGE.
 *
 * The answer to the client waits for the commit, so that what it asks next
 * cannot be answered with what it has just changed.  The change goes by way of the
 * upstream thread, which keeps what is on its way from being stored after it.
 */
#include "engine/internal.h"

#include "base/counters.h"
#include "engine/purge.h"
#include "engine/under.h"
#include "http/url.h"
#include "policy/label.h"

#include <stdlib.h>

struct invalidation { /* one change on its way through the writer */
    struct store_change      change;
    struct engine           *engine;
    struct exchange         *owner; /* NULL once it was closed */
    struct purge            *purge;
    LIST_ENTRY(invalidation) entry; /* of the owner's */
};

static void receive_done(struct mail *m)
{
    struct invalidation *i = CONTAINER_OF(CONTAINER_OF(m, struct store_change, done), struct invalidation, change);
    struct exchange     *x = i->owner;

    i->engine->change_count--;
    counter_add(COUNTER_PURGED, i->change.changed);
    if (x != NULL) {
        LIST_REMOVE(i, entry);
        x->drops.records += i->change.changed;
        if (LIST_EMPTY(&x->drops.on_way))
            x->in.wake(x->in.owner);
    }
    purge_free(i->purge);
    free(i);
}

static struct invalidation *new_invalidation(struct exchange *x, enum store_change_kind kind)
{
    struct invalidation *i = mem_alloc(sizeof *i);

    i->engine = x->engine;
    i->owner = x;
    i->change.kind = kind;
    i->change.reply_to = x->engine->mailbox;
    i->change.done.receive = receive_done;
    LIST_INSERT_HEAD(&x->drops.on_way, i, entry);
    x->engine->change_count++;
    return i;
}

static void submit(struct exchange *x, struct invalidation *i)
{
    upstream_drop(x->engine->services->upstream, &i->change);
}

/* Under which settings a GET of this target is stored: those of its own rule, not of the write's. */
static const struct policy_options *policy_of_get(struct exchange *x, const struct key_input *in)
{
    return route_policy(x->route.upstream, under_rule(x->route.upstream, in->request, in->target, &x->arena));
}

static struct partition partition_under(struct exchange *x, const struct policy_options *policy, struct key_input *in)
{
    if (policy->shared == x->policy->shared)
        return x->who.partition;
    inject_name(x, in);
    identity_name(x, in);
    in->signature = x->who.signature;
    in->signer = x->who.signer;
    return policy_partition(policy, &x->engine->services->secret, in, &x->arena);
}

/* With any query, or that URL alone.  match_headers make several keys of one URL, and No-Vary-Search has several answer
 * it: the tag of its path holds them together. */
static void drop_in(struct exchange *x, const struct policy_options *policy, const struct key_input *in,
                    const struct partition *partition, bool any_query)
{
    bool many = (policy->match_headers != NULL && policy->match_headers[0] != NULL) ||
                store_varies_by_search(x->engine->services->store);
    struct invalidation *i = new_invalidation(x, any_query || many ? STORE_DROP_TAG : STORE_DROP);
    struct cache_key     key = policy_key(policy, &x->engine->services->secret, in, partition, &x->arena);

    memcpy(i->change.hash, key.hash, sizeof i->change.hash);
    memcpy(i->change.tag, key.path_tag, sizeof i->change.tag);
    submit(x, i);
}

/* What those have who bring no credential: of nobody's partition, or of that of the credential which Weir adds. */
static void drop_unauthenticated(struct exchange *x, const struct policy_options *policy, const struct key_input *own,
                                 const struct partition *owns, bool any_query)
{
    const struct http_request get = { .method = HTTP_GET, .method_name = SLICE("GET") };
    struct key_input          in = { .scheme = own->scheme, .authority = own->authority, .request = &get };
    struct partition          nobodys = { { 0 } }, named;

    in.target = policy_bare_target(policy, own, &x->arena);
    if (memcmp(owns, &nobodys, sizeof nobodys) != 0 || !slice_eq(in.target, own->target))
        drop_in(x, policy, &in, &nobodys, any_query);
    if (policy->shared || (x->up->auth_header == NULL && x->up->auth_param == NULL))
        return;
    in.credential_name = slice_of(x->up->route.name);
    named = policy_partition(policy, &x->engine->services->secret, &in, &x->arena);
    if (memcmp(owns, &named, sizeof named) != 0 || !slice_eq(in.target, own->target))
        drop_in(x, policy, &in, &named, any_query);
}

/* Of the caller's own partition; `everybodys`: and what all have who bring no credential (RFC 9111 4.4). */
static void drop_target(struct exchange *x, struct slice target, bool any_query, bool everybodys)
{
    const struct http_request get = { .method = HTTP_GET, .method_name = SLICE("GET"), .fields = x->in.request.fields };

    struct key_input in = {
        .scheme = x->route.upstream->scheme,
        .authority = x->route.authority,
        .target = target,
        .request = &get,
    };
    const struct policy_options *policy = policy_of_get(x, &in);
    struct partition             partition = partition_under(x, policy, &in);

    policy_signature(policy, &get, target, SLICE_NONE, &x->arena, &in.signature);
    drop_in(x, policy, &in, &partition, any_query);
    if (everybodys)
        drop_unauthenticated(x, policy, &in, &partition, any_query);
}

static void drop_matching(struct exchange *x, const char *pattern)
{
    struct purge        *purge = purge_make_below(x->config, x->route.upstream, slice_of(pattern));
    struct invalidation *i;

    if (purge == NULL)
        return;
    i = new_invalidation(x, STORE_DROP_MATCHING);
    i->purge = purge;
    i->change.matches = purge_matches;
    i->change.context = purge;
    submit(x, i);
}

/* The request's own URL, and what Location and Content-Location of the same origin name. */
static void drop_named(struct exchange *x, const struct http_response *response)
{
    const struct route_upstream *u = x->route.upstream;
    struct slice    own = arena_printf(&x->arena, SLICE_FMT "://" SLICE_FMT SLICE_FMT, SLICE_ARG(u->scheme),
                                       SLICE_ARG(x->route.authority), SLICE_ARG(x->route.target));
    struct slice    urls[3];
    unsigned        n = policy_invalidated(&x->in.request, response, own, &x->arena, urls);
    struct http_url url;

    for (unsigned i = 0; i < n; i++)
        if (http_url_parse(urls[i], &url))
            drop_target(x, url.target.len > 0 ? url.target : SLICE("/"), x->policy->invalidate == INVALIDATE_PATH,
                        true);
}

/* RFC 9875 3: of the answer's own origin, whoever's they are; the answer says so itself, whatever its status.  What
 * goes with them takes no more with it (2.2.1). */
static void drop_groups(struct exchange *x, const struct http_response *response)
{
    const struct slice origin = arena_printf(&x->arena, SLICE_FMT "://" SLICE_FMT, SLICE_ARG(x->route.upstream->scheme),
                                             SLICE_ARG(x->route.authority));
    struct labels      groups;

    policy_invalidated_groups(origin, &response->fields, &x->arena, &groups);
    for (unsigned n = 0; n < groups.count; n++) {
        struct invalidation *i = new_invalidation(x, STORE_DROP_LABEL);

        memcpy(i->change.label, groups.items[n], sizeof i->change.label);
        i->change.label_bytes = LABEL_BYTES;
        submit(x, i);
    }
}

static bool is_write(const struct exchange *x)
{
    return !http_method_is_safe(x->in.request.method) && !x->has_key;
}

/* The API's answer is no success, whatever its status. */
static bool says_failure(const struct exchange *x)
{
    return x->fetch != NULL && x->fetch->answer != NULL && x->fetch->answer->failed;
}

bool invalidate_after_write(struct exchange *x, const struct http_response *response)
{
    const char *const *pattern = x->rule != NULL ? x->rule->invalidates : NULL;

    if (!x->drops.begun && is_write(x) && x->policy->invalidate != INVALIDATE_OFF) {
        x->drops.begun = true;
        drop_groups(x, response);
        if (response->status < 200 || response->status >= 400 || says_failure(x))
            pattern = NULL;
        else
            drop_named(x, response);
        for (; pattern != NULL && *pattern != NULL; pattern++)
            drop_matching(x, *pattern);
    }
    return LIST_EMPTY(&x->drops.on_way);
}

enum step step_purge(struct exchange *x)
{
    if (!x->drops.begun) {
        x->drops.begun = true;
        drop_target(x, x->route.target, false, false);
    }
    if (!LIST_EMPTY(&x->drops.on_way))
        return STEP_SUSPEND;
    x->log.cache = "purge";
    return reply_text(x, 200, "application/json",
                      arena_printf(&x->arena, "{\"dropped\": %llu}\n", (unsigned long long)x->drops.records));
}

void invalidate_forget(struct exchange *x)
{
    struct invalidation *i;

    LIST_FOREACH (i, &x->drops.on_way, entry)
        i->owner = NULL;
    LIST_INIT(&x->drops.on_way);
}
