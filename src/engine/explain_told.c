/*
 * An explanation summed up: where the steps ended, and which settings had a say in that.
 */
#include "engine/explain_parts.h"

#include "base/clock.h"
#include "config/mode.h"
#include "engine/dry.h"
#include "engine/show.h"
#include "http/encoding.h"
#include "policy/freshness.h"
#include "policy/key.h"

/* -- words -- */

const char *explain_forward_text(enum forward_reason r)
{
    return forward_reason_token(r);
}

const char *explain_storable_text(enum storable s)
{
    return storable_token(s);
}

const char *explain_detail_text(const char *token)
{
    static const struct {
        const char *token, *meaning;
    } details[] = {
#define DETAIL(id, token, meaning) { token, meaning },
#include "policy/decide.def"
#undef DETAIL
    };

    for (size_t i = 0; token != NULL && i < sizeof details / sizeof *details; i++)
        if (strcmp(details[i].token, token) == 0)
            return details[i].meaning;
    return "";
}

/* -- what nobody is to see -- */

bool explain_hides_field(const struct explained *o, struct slice name)
{
    return show_hides_field(o->policy, name);
}

bool explain_hides_param(const struct explained *o, struct slice name)
{
    return policy_signature_secret(name) || (o->policy != NULL && policy_list_has(o->policy->credential_params, name));
}

/* -- settings -- */

static void add_place(struct explained *o, const char *name, const char *value, struct config_place at)
{
    if (o->setting_count < EXPLAIN_SETTINGS)
        o->settings[o->setting_count++] = (struct explain_setting){ name, value, at };
}

static void add_setting(struct explained *o, const char *name)
{
    const struct config_written *w = config_find_written(o->up, o->rule, name);

    if (w != NULL)
        add_place(o, name, w->value, w->at);
    else
        add_place(o, name, NULL, (struct config_place){ NULL, 0 });
}

/* Those that are set, and change what the request is the same as. */
static void add_key_settings(struct explained *o)
{
    static const char *const names[] = { "partition", "ignore_params", "sort_params", "match_headers",
                                         "key_body",  "ignore_body",   "bust_param" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (o->setting_count < EXPLAIN_SETTINGS - 4 && config_find_written(o->up, o->rule, names[i]) != NULL)
            add_setting(o, names[i]);
}

static void add_lifetime(struct explained *o)
{
    if (o->policy->status_count > 0)
        add_setting(o, "status");
    add_setting(o, "ttl");
    if (o->early_in_ns != INT64_MAX)
        add_setting(o, "prefetch");
    if (o->answer.cache != NULL && strcmp(o->answer.cache, "stale") == 0)
        add_setting(o, o->decision.verdict == VERDICT_SERVE_AND_REFRESH ? "stale_while_revalidate"
                       : o->answer.detail != NULL && strcmp(o->answer.detail, "low-budget") == 0 ? "low_budget.stale"
                                                                                                 : "stale_if_error");
}

static void add_wait(struct explained *o, struct arena *a)
{
    const struct upstream_foretelling *f = o->foretold;
    struct config_place                at;

    if (f == NULL || f->limit[0] == '\0')
        return;
    at = config_limit_place(o->up, f->limit);
    if (at.file != NULL)
        add_place(o, "limits", arena_printf(a, "\"%s\"", f->limit).ptr, at);
    else if (strcmp(f->limit, "queue") == 0)
        add_setting(o, "max_in_flight");
    if (o->end != EXPLAIN_SENT)
        add_setting(o, "queue.max_wait");
}

/* As the configuration says, or as it was set at run time, which no file states. */
static void add_mode(struct explained *o, struct arena *a)
{
    struct mode_set set = config_mode_set_of(o->up, clock_wall_ns());

    if (set.is_set)
        add_place(o, "mode", arena_printf(a, "\"%s\"", config_mode_name(set.mode)).ptr,
                  (struct config_place){ NULL, 0 });
    else if (o->up->mode != MODE_LIVE)
        add_setting(o, "mode");
}

static void add_settings(struct explained *o, struct arena *a)
{
    if (o->up == NULL)
        return;
    if (o->is_denied ||
        (o->answer.error != NULL && strcmp(o->answer.error, problem_types[PROBLEM_NOT_ALLOWED].name) == 0))
        add_setting(o, "access");
    if (o->policy == NULL)
        return;
    add_mode(o, a);
    if (o->has_key)
        add_key_settings(o);
    add_lifetime(o);
    add_wait(o, a);
}

/* -- the answer -- */

static void tell_reply(struct explain *e)
{
    struct exchange         *x = e->x;
    struct explained        *o = &e->out;
    const struct reply      *r = &x->reply;
    const struct http_field *f;
    int                      at = http_fields_find(&r->fields, HTTP_CACHE_STATUS, 0);

    o->answer.status = r->status;
    if (o->end == EXPLAIN_SERVED && !x->stored.is_similar)
        o->early_in_ns = policy_early_in_ns(x->policy, &x->in.request, &x->wish, &x->stored.response, clock_wall_ns());
    f = at >= 0 ? &r->fields.items[at] : NULL;
    o->answer.cache_status = f != NULL ? f->value : SLICE_NONE;
    if ((!x->finish.of_api || dry_answers(x)) && r->kind == REPLY_BYTES)
        o->answer.body = r->bytes;
}

static enum explain_end end_of(const struct exchange *x)
{
    if (x->at == STEP_PURGE)
        return EXPLAIN_PURGED;
    if (x->at != STEP_DONE)
        return x->fetch != NULL ? EXPLAIN_SENT : EXPLAIN_ANSWERED; /* a service of Weir's own */
    return x->finish.of_api && !dry_answers(x) ? EXPLAIN_SERVED : EXPLAIN_ANSWERED;
}

static void tell_way(struct explain *e)
{
    struct exchange  *x = e->x;
    struct explained *o = &e->out;

    o->config = x->config;
    o->is_denied = e->dry.is_denied;
    o->up = x->up;
    o->way = x->route.way;
    o->rule = x->rule;
    o->policy = x->policy;
    o->method = x->in.request.method_name;
    o->target = x->route.target;
    o->url = x->route.target;
    if (x->policy != NULL)
        o->target = policy_redact_target(x->policy, o->target, &e->arena);
    if (x->up != NULL)
        o->url = ARENA_JOIN(&e->arena, x->up->route.scheme, SLICE("://"), x->route.authority,
                            x->policy != NULL ? o->target : slice_sub(o->target, 0, slice_find(o->target, '?', 0)));
}

const struct explained *explain_result(struct explain *e)
{
    struct exchange  *x = e->x;
    struct explained *o = &e->out;

    if (e->is_told)
        return o;
    e->is_told = true;
    tell_way(e);
    o->end = end_of(x);
    o->answer.cache = x->log.cache;
    o->answer.detail = x->log.detail;
    o->answer.error = x->log.error;
    if (o->has_key)
        o->key_url = policy_redact_target(x->policy, policy_key_url(o->key.full), &e->arena);
    o->early_in_ns = INT64_MAX;
    o->whose = SLICE("shared");
    if (o->has_key && !slice_starts_with(o->key.full, SLICE("- ")))
        o->whose = slice_sub(o->key.full, 0, EXPLAIN_WHOSE);
    o->foretold = o->asked ? &e->foretelling : NULL;
    if (o->policy != NULL) {
        o->kept = policy_ttl_for(o->policy, 200, x->wish.ttl_override_ns);
        o->kept_ns = policy_ttl_ns(o->kept, clock_wall_ns());
    }
    if (http_fields_find(&x->in.request.fields, HTTP_ACCEPT_ENCODING, 0) >= 0)
        o->accept_encoding = http_accept_encoding_normalise(&x->in.request.fields, &e->arena);
    if (x->auth.adds) {
        o->auth_header = x->up->auth_header;
        o->auth_param = x->up->auth_param;
    }
    o->fetch = x->fetch;
    if (o->end == EXPLAIN_SERVED || o->end == EXPLAIN_ANSWERED)
        tell_reply(e);
    add_settings(o, &e->arena);
    return o;
}
