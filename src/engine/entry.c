/*
 * From a record to what is said of it.
 */
#include "engine/entry.h"

#include "engine/purge.h"
#include "engine/under.h"
#include "http/url.h"
#include "policy/freshness.h"
#include "policy/key.h"
#include "policy/vary.h"

enum { WHOSE_CHARACTERS = 10 /* as weirctl limits shows credentials */ };

const char *entry_state_text(enum entry_state s)
{
    static const char *const texts[] = {
        [ENTRY_FRESH] = "fresh",
        [ENTRY_STALE] = "stale",
        [ENTRY_INVALIDATED] = "invalidated",
        [ENTRY_UNUSED] = "unused",
    };

    return texts[s];
}

bool entry_is_shared(const struct store_record *r)
{
    return slice_starts_with(r->full_key, SLICE("- "));
}

static struct slice whose_of(const struct store_record *r)
{
    return entry_is_shared(r)
               ? SLICE("shared")
               : slice_sub(slice_sub(r->full_key, 0, slice_find(r->full_key, ' ', 0)), 0, WHOSE_CHARACTERS);
}

static struct slice method_of(const struct store_record *r)
{
    size_t at = slice_find(r->full_key, ' ', 0) + 1;

    return slice_sub(r->full_key, at, slice_find(r->full_key, ' ', at));
}

const struct config_upstream *entry_upstream(struct entry_reader *e, const struct store_record *r)
{
    if (e->last != NULL && slice_eq(r->upstream, slice_of(e->last->route.name)))
        return e->last;
    for (unsigned i = 0; i < e->config->upstream_count; i++)
        if (slice_eq(r->upstream, slice_of(e->config->upstreams[i].route.name)))
            return e->last = &e->config->upstreams[i];
    return NULL;
}

/* The target's credentials as the access log shows them; where no upstream says which parameters they are in, the whole
 * query. */
static struct slice shown_url(const struct policy_options *o, struct slice url, struct slice target, struct arena *a)
{
    struct slice path, query;

    http_target_split(target, &path, &query);
    if (query.ptr == NULL)
        return url;
    if (o != NULL)
        target = policy_redact_target(o, target, a);
    else
        target = arena_printf(a, SLICE_FMT "?***", SLICE_ARG(path));
    return arena_printf(a, SLICE_FMT SLICE_FMT, SLICE_ARG(slice_sub(url, 0, (size_t)(path.ptr - url.ptr))),
                        SLICE_ARG(target));
}

static void read_freshness(const struct policy_options *o, const struct store_record *r, int64_t now_wall_ns,
                           struct entry_facts *out)
{
    const struct stored_response stored = {
        .head = { .status = r->status, .fields = out->fields },
        .requested_wall_ns = r->requested_wall_ns,
        .received_wall_ns = r->received_wall_ns,
        .set_back_ns = r->set_back_ns,
        .body_bytes = r->body_bytes,
        .invalidated = r->invalidated,
        .had_credential = r->had_credential,
    };
    struct cache_control cc;
    struct lifetime      lifetime;

    out->age_ns = policy_age_ns(&stored, now_wall_ns);
    out->left_ns = 0;
    out->state = ENTRY_UNUSED;
    if (o == NULL)
        return;
    cc = cache_control_of_response(&out->fields);
    lifetime = policy_lifetime(o, &stored, &cc, POLICY_UNSET);
    out->left_ns = policy_ttl_left_ns(&stored, &lifetime, now_wall_ns);
    out->state = r->invalidated                                  ? ENTRY_INVALIDATED
                 : out->left_ns > 0 && !lifetime.always_validate ? ENTRY_FRESH
                                                                 : ENTRY_STALE;
}

void entry_read(struct entry_reader *e, const struct store_record *r, struct arena *a, struct entry_facts *out)
{
    const struct config_upstream *up = entry_upstream(e, r);
    const struct policy_options  *o = NULL;
    const struct route_rule      *rule = NULL;
    struct http_request           request = { .method_name = method_of(r) };
    struct http_url               url;

    *out = (struct entry_facts){
        .method = request.method_name,
        .url = policy_key_url(r->full_key),
        .whose = whose_of(r),
        .upstream = r->upstream,
        .status = r->status,
        .body_bytes = r->body_bytes,
        .fields = store_record_fields(r, a),
    };
    out->type = http_fields_get(&out->fields, HTTP_CONTENT_TYPE);
    if (!http_url_parse(out->url, &url))
        url.target = slice_sub(out->url, out->url.len, out->url.len);
    if (up != NULL) {
        request.method = http_method_parse(request.method_name);
        rule = under_rule(&up->route, &request, url.target, a);
        o = route_policy(&up->route, rule);
        out->rule = rule != NULL ? rule->policy.label : NULL;
    }
    out->policy = o;
    out->url = shown_url(o, out->url, url.target, a);
    read_freshness(o, r, e->now_wall_ns, out);
}

bool entry_is_selected(const struct entry_facts *e, const struct store_record *r, const struct http_fields *request,
                       struct arena *a)
{
    return e->policy == NULL ||
           (policy_key_selects(e->policy, r->full_key, request, a) &&
            policy_selects(e->policy, r->selection, request, http_fields_get(&e->fields, HTTP_CONTENT_ENCODING), a));
}

bool entry_tells_who(const struct config *c, struct slice name)
{
    for (unsigned i = 0; i < c->upstream_count; i++)
        if (policy_list_has_nocase(c->upstreams[i].route.policy.credential_headers, name))
            return true;
    return false;
}

bool entry_wish_tag(struct entry_wish *w, struct slice tag, struct fault *why)
{
    if (tag.len == 0 || tag.len > LABEL_NAME_LONGEST)
        return fault_set(why, "A tag has 1 to %d characters.", LABEL_NAME_LONGEST), false;
    policy_label_name(tag, w->tag);
    w->has_tag = true;
    return true;
}

bool entry_is_meant(const struct entry_wish *w, struct entry_reader *e, const struct store_record *r, struct arena *a,
                    struct entry_facts *out)
{
    if ((w->upstream.ptr != NULL && !slice_eq(r->upstream, w->upstream)) || (w->shared && !entry_is_shared(r)) ||
        (w->whose.ptr != NULL && !slice_eq(whose_of(r), w->whose)) ||
        (w->urls != NULL && !purge_matches(r->full_key, w->urls)) ||
        (w->has_tag && !store_has_label(store_record_labels(r), w->tag, sizeof w->tag)))
        return false;
    if (w->may_see != NULL) {
        const struct config_upstream *up = entry_upstream(e, r);

        if (up == NULL || !w->may_see[up->route.index])
            return false;
    }
    entry_read(e, r, a, out);
    return (!w->not_fresh || out->state != ENTRY_FRESH) && (w->older_ns < 0 || out->age_ns > w->older_ns);
}
