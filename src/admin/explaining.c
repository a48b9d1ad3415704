/*
 * An explanation as JSON: doc/ADMIN.md names its members.
 */
#include "admin/explaining.h"

#include "base/clock.h"
#include "http/json_of.h"
#include "http/problem.h"
#include "http/url.h"

#include <stdio.h>

/* -- the way -- */

static json_t *upstream_json(const struct explained *o)
{
    static const char *const ways[] = {
        [ROUTE_PREFIX] = "prefix",   [ROUTE_HOST] = "host", [ROUTE_ABSOLUTE] = "absolute",
        [ROUTE_CONNECT] = "connect", [ROUTE_OWN] = "own",   [ROUTE_NONE] = "none",
    };

    if (o->up == NULL)
        return json_null();
    return json_pack("{s:s, s:s, s:o}", "name", o->up->route.name, "way", ways[o->way], "place",
                     advice_place(config_rule_place(o->up, NULL)));
}

static json_t *rule_json(const struct explained *o)
{
    if (o->rule == NULL)
        return json_null();
    return json_pack("{s:i, s:s, s:o}", "number", (int)(o->rule - o->up->route.rules) + 1, "match",
                     o->rule->policy.label, "place", advice_place(config_rule_place(o->up, o->rule)));
}

static json_t *settings_json(const struct explained *o)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < o->setting_count; i++) {
        const struct explain_setting *s = &o->settings[i];

        json_array_append_new(list, json_pack("{s:s, s:s?, s:o}", "name", s->name, "value", s->value, "place",
                                              advice_place(s->at)));
    }
    return list;
}

/* Lines that match_headers and key_body add. */
static json_t *lines_json(struct slice full)
{
    json_t *list = json_array();
    size_t  at = slice_find(full, '\n', 0);

    while (at < full.len) {
        size_t end = slice_find(full, '\n', at + 1);

        json_array_append_new(list, json_of_text(slice_sub(full, at + 1, end)));
        at = end;
    }
    return list;
}

static json_t *key_json(const struct explained *o)
{
    size_t method;

    if (!o->has_key)
        return json_null();
    method = slice_find(o->key.full, ' ', 0) + 1;
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "method",
                     json_of_text(slice_sub(o->key.full, method, slice_find(o->key.full, ' ', method))), "url",
                     json_of_text(o->key_url), "whose", json_of_text(o->whose), "more", lines_json(o->key.full),
                     "accept_encoding", json_of_text(o->accept_encoding));
}

/* -- what is stored -- */

static json_t *entry_json(const struct entry_facts *e)
{
    return json_pack("{s:o, s:o, s:o, s:i, s:I, s:o, s:o, s:s}", "url", json_of_text(e->url), "method",
                     json_of_text(e->method), "whose", json_of_text(e->whose), "status", (int)e->status, "size",
                     (json_int_t)e->body_bytes, "age_s", advice_seconds(e->age_ns), "left_s",
                     advice_seconds(e->left_ns), "state", entry_state_text(e->state));
}

static json_t *differences_json(const struct explain_near *n)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < n->count && i < EXPLAIN_DIFFERENCES; i++)
        json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o}", "in", explain_in_text(n->by[i].in), "name",
                                              json_of_text(n->by[i].name), "stored", json_of_text(n->by[i].stored),
                                              "asked", json_of_text(n->by[i].asked)));
    return list;
}

static json_t *nearest_json(const struct explained *o)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < o->nearest_count; i++) {
        json_t *e = entry_json(&o->nearest[i].entry);

        json_object_set_new(e, "differs_in", differences_json(&o->nearest[i]));
        json_object_set_new(e, "differences", json_integer(o->nearest[i].count));
        json_array_append_new(list, e);
    }
    return list;
}

static json_t *others_json(const struct kin *k)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < k->count && i < KIN_TOLD; i++)
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:o}", "url", json_of_text(k->found[i].url), "whose",
                                        json_of_text(k->found[i].whose), "age_s", advice_seconds(k->found[i].age_ns)));
    return json_pack("{s:o, s:i, s:I, s:b}", "found", list, "count", (int)k->count, "looked_at",
                     (json_int_t)k->walk.seen, "is_all", k->walk.at_end);
}

static json_t *stored_json(const struct explaining *n)
{
    const struct explained *o = n->told;
    json_t                 *s = o->is_stored ? entry_json(&o->stored) : json_object();

    if (!o->was_looked_up) {
        json_decref(s);
        return json_null();
    }
    json_object_set_new(s, "found", json_boolean(o->is_stored));
    if (o->is_stored) {
        json_object_set_new(s, "vary", json_of_text(o->selection));
        return s;
    }
    json_object_set_new(s, "other_variant", json_boolean(o->other_variant));
    json_object_set_new(s, "nearest", nearest_json(o));
    json_object_set_new(s, "under_this_path", json_integer(o->of_path.count));
    json_object_set_new(s, "is_all", json_boolean(o->of_path.is_all));
    if (n->kin.was_walked)
        json_object_set_new(s, "others", others_json(&n->kin));
    return s;
}

static json_t *fact_json(const struct explain_fact *f)
{
    json_t *o = json_pack("{s:b, s:o, s:o, s:o, s:i, s:b, s:b, s:o}", "own", f->is_own, "key", json_of_text(f->key),
                          "selection", json_of_text(f->selection), "upstream", json_of_text(f->upstream), "status",
                          (int)f->status, "invalidated", f->invalidated, "had_credential", f->had_credential, "fields",
                          json_of_fields(&f->fields, json_of_text));

    json_object_set_new(o, "requested_ns", json_integer(f->requested_wall_ns));
    json_object_set_new(o, "received_ns", json_integer(f->received_wall_ns));
    json_object_set_new(o, "set_back_ns", json_integer(f->set_back_ns));
    json_object_set_new(o, "body_bytes", json_integer(f->body_bytes));
    return o;
}

/* For weir --explain, which has no store. */
static json_t *facts_json(const struct explained *o)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < o->fact_count; i++)
        json_array_append_new(list, fact_json(&o->facts[i]));
    return list;
}

/* -- what would be sent -- */

/* API_KEY of "api-key": a shell's variable. */
static json_t *variable(struct slice name)
{
    char   text[64];
    size_t used = 0;

    for (size_t i = 0; i < name.len && used + 1 < sizeof text; i++) {
        char c = name.ptr[i];

        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        text[used] = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9' && used > 0) ? c : '_';
        used++;
    }
    return json_pack("{s:o}", "secret", used > 0 ? json_stringn(text, used) : json_string("SECRET"));
}

/* The URL in parts: texts, and {"secret": NAME} in place of a credential's value. */
static json_t *url_json(const struct explained *o, const struct fetch *f, struct arena *a)
{
    json_t      *parts = json_array();
    struct slice path, query, parameter, text;
    const char  *before = "?";

    http_target_split(f->request.target, &path, &query);
    text = ARENA_JOIN(a, o->up->route.scheme, SLICE("://"), f->authority, path);
    while (http_query_next(&query, &parameter)) {
        struct slice name = slice_sub(parameter, 0, slice_find(parameter, '=', 0));

        if (!explain_hides_param(o, http_parameter_name(parameter, a))) {
            text = ARENA_JOIN(a, text, slice_of(before), parameter);
        } else {
            json_array_append_new(parts, json_of_text(ARENA_JOIN(a, text, slice_of(before), name, SLICE("="))));
            json_array_append_new(parts, variable(name));
            text = SLICE("");
        }
        before = "&";
    }
    if (o->auth_param != NULL) {
        json_array_append_new(parts,
                              json_of_text(ARENA_JOIN(a, text, slice_of(before), slice_of(o->auth_param), SLICE("="))));
        json_array_append_new(parts, variable(slice_of(o->auth_param)));
    } else if (text.len > 0) {
        json_array_append_new(parts, json_of_text(text));
    }
    return parts;
}

static json_t *field_json(struct slice name, struct slice value, bool is_hidden)
{
    json_t *parts = json_array();
    size_t  space = slice_find(value, ' ', 0);

    if (!is_hidden) {
        json_array_append_new(parts, json_of_text(value));
    } else {
        /* "Bearer " is no secret (RFC 9110 11.4). */
        if (slice_eq_nocase(name, SLICE("Authorization")) && space < value.len &&
            http_is_token(slice_sub(value, 0, space)))
            json_array_append_new(parts, json_of_text(slice_sub(value, 0, space + 1)));
        json_array_append_new(parts, variable(name));
    }
    return json_pack("{s:o, s:o}", "name", json_of_text(name), "value", parts);
}

static json_t *sends_json(const struct explained *o, struct arena *a)
{
    const struct fetch *f = o->fetch;
    json_t             *list = json_array();

    if (f == NULL) {
        json_decref(list);
        return json_null();
    }
    for (unsigned i = 0; i < f->request.fields.count; i++) {
        const struct http_field *each = &f->request.fields.items[i];

        if (each->id != HTTP_HOST && (o->auth_header == NULL || !slice_eq_nocase(each->name, slice_of(o->auth_header))))
            json_array_append_new(list, field_json(each->name, each->value, explain_hides_field(o, each->name)));
    }
    if (o->auth_header != NULL)
        json_array_append_new(list, field_json(slice_of(o->auth_header), SLICE(""), true));
    return json_pack("{s:o, s:o, s:o}", "method", json_of_text(f->request.method_name), "url", url_json(o, f, a),
                     "headers", list);
}

/* -- what would happen -- */

static json_t *wait_json(const struct upstream_foretelling *f)
{
    return json_pack("{s:o, s:s, s:s?, s:b, s:i, s:i}", "wait_s", advice_seconds(f->wait_ns), "limit", f->limit,
                     "told_by", f->told_by, "shares", f->joins, "waiting", (int)f->waiting, "in_flight",
                     (int)f->in_flight);
}

static json_t *kept_json(const struct explained *o)
{
    static const char *const kinds[] = {
        [TTL_ORIGIN] = "origin",
        [TTL_ORIGIN_ELSE] = "origin-else",
        [TTL_ORIGIN_ELSE_UNTIL] = "origin-else-until",
        [TTL_FIXED] = "for",
        [TTL_UNTIL] = "until",
        [TTL_FOREVER] = "forever",
        [TTL_NEVER] = "never",
        [TTL_REVALIDATE] = "revalidate",
    };
    bool is_timed = o->kept.kind >= TTL_ORIGIN_ELSE && o->kept.kind <= TTL_UNTIL;

    if (!o->has_key || !o->decision.may_store)
        return json_pack("{s:s, s:n}", "how", "never", "for_s");
    return json_pack("{s:s, s:o}", "how", kinds[o->kept.kind], "for_s",
                     is_timed ? advice_seconds(o->kept_ns) : json_null());
}

static json_t *would_json(const struct explained *o, struct arena *a)
{
    static const char *const ends[] = { [EXPLAIN_SERVED] = "serve",
                                        [EXPLAIN_SENT] = "ask",
                                        [EXPLAIN_ANSWERED] = "answer",
                                        [EXPLAIN_PURGED] = "purge" };
    json_t                  *w = json_pack("{s:s, s:o, s:s, s:s, s:s?}", "do", ends[o->end], "text",
                                           json_of_text(explaining_would(o, a)), "cache",
                          o->answer.cache != NULL ? o->answer.cache : "none", "detail",
                          o->answer.detail != NULL ? o->answer.detail : "", "error", o->answer.error);

    if (o->answer.status != 0)
        json_object_set_new(w, "status", json_integer(o->answer.status));
    if (o->answer.cache_status.ptr != NULL)
        json_object_set_new(w, "cache_status", json_of_text(o->answer.cache_status));
    if (o->foretold != NULL)
        json_object_set_new(w, "queue", wait_json(o->foretold));
    if (o->end == EXPLAIN_SERVED)
        json_object_set_new(w, "prefetch_in_s",
                            o->early_in_ns != INT64_MAX ? advice_seconds(o->early_in_ns) : json_null());
    if (o->end != EXPLAIN_SENT)
        return w;
    json_object_set_new(w, "forward", json_string(explain_forward_text(o->decision.forward)));
    json_object_set_new(w, "revalidates", json_boolean(o->fetch->stored.validating));
    json_object_set_new(w, "cost", json_integer(o->foretold->cost));
    json_object_set_new(w, "attempts", json_integer(o->up->fetch.retry.attempts));
    json_object_set_new(w, "kept", kept_json(o));
    return w;
}

/* Of who may not use an upstream nothing is told but that. */
static bool is_hidden(const struct explaining *n)
{
    return !n->call->rights.may_change && n->told->up != NULL && n->told->policy == NULL &&
           n->told->end == EXPLAIN_ANSWERED;
}

static bool is_denied(const struct explained *o)
{
    return o->is_denied ||
           (o->answer.error != NULL && strcmp(o->answer.error, problem_types[PROBLEM_NOT_ALLOWED].name) == 0);
}

json_t *explaining_json(const struct explaining *n)
{
    const struct explained *o = n->told;
    struct arena           *a = &n->call->arena;
    bool                    hidden = is_hidden(n);
    json_t                 *misses = n->call->rights.may_change ? advice_json(o, a) : NULL;
    json_t                 *out = json_pack("{s:{s:o, s:o}, s:b}", "request", "method", json_of_text(o->method), "url",
                            hidden ? json_null() : json_of_text(o->url), "denied", is_denied(o));

    json_object_set_new(out, "upstream", hidden ? json_null() : upstream_json(o));
    json_object_set_new(out, "rule", hidden ? json_null() : rule_json(o));
    json_object_set_new(out, "settings", hidden ? json_array() : settings_json(o));
    json_object_set_new(out, "key", key_json(o));
    json_object_set_new(out, "stored", stored_json(n));
    json_object_set_new(out, "would", would_json(o, a));
    if (misses != NULL)
        json_object_set_new(out, "misses", misses);
    json_object_set_new(out, "sends", sends_json(o, a));
    if (o->facts != NULL)
        json_object_set_new(out, "facts", facts_json(o));
    return out;
}
