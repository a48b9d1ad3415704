/*
 * What the last misses of a rule have in common, and the line of configuration that would make hits of them.
 */
#include "admin/explaining.h"

#include "http/json_of.h"
#include "http/url.h"

json_t *advice_place(struct config_place at)
{
    return at.file != NULL ? json_pack("{s:s, s:i}", "file", at.file, "line", (int)at.line) : json_null();
}

json_t *advice_seconds(int64_t ns)
{
    return ns < INT64_MAX / 2 ? json_real((double)(ns / 1000000) / 1000.0) : json_null();
}

/* "a", with what would end it escaped. */
static struct slice quoted(struct slice text, struct arena *a)
{
    char *out = arena_alloc_raw(a, 2 * text.len + 3), *at = out;

    *at++ = '"';
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            *at++ = '\\';
        *at++ = text.ptr[i];
    }
    *at++ = '"';
    return (struct slice){ out, (size_t)(at - out) };
}

/* NAME = ( "a", "b" ); of the list as it is and one more, or without one. */
static struct slice list_line(const char *name, const char *const *list, struct slice more, struct slice without,
                              struct arena *a)
{
    struct slice text = SLICE("");

    for (; list != NULL && *list != NULL; list++)
        if (!slice_eq_nocase(slice_of(*list), without))
            text = ARENA_JOIN(a, text, text.len > 0 ? SLICE(", ") : SLICE(""), quoted(slice_of(*list), a));
    if (more.len > 0)
        text = ARENA_JOIN(a, text, text.len > 0 ? SLICE(", ") : SLICE(""), quoted(more, a));
    return ARENA_JOIN(a, slice_of(name), SLICE(" = ( "), text, SLICE(" );"));
}

static bool is_writable(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < 0x20 || (unsigned char)name.ptr[i] == 0x7f)
            return false;
    return name.len > 0;
}

/* ptr NULL: none would help. */
static struct slice line_for(const struct explained *o, const struct miss_difference *d, struct arena *a)
{
    struct slice name = http_percent_decode(slice_of(d->name), a);

    if (d->kind == MISS_PARAM && !d->is_cut && is_writable(name))
        return list_line("ignore_params", o->policy->ignore_params, name, SLICE_NONE, a);
    if (d->kind == MISS_FIELD && !d->is_cut)
        return list_line("match_headers", o->policy->match_headers, SLICE_NONE, name, a);
    if (d->kind == MISS_WHOSE && !o->policy->shared)
        return SLICE("partition = \"shared\";");
    return SLICE_NONE;
}

static const char *in_words(enum miss_kind kind)
{
    static const struct {
        enum miss_kind kind;
        const char    *text;
    } words[] = {
        { MISS_PARAM, "query" }, { MISS_FIELD, "header" },  { MISS_BODY, "body" },
        { MISS_WHOSE, "whose" }, { MISS_METHOD, "method" }, { MISS_ORDER, "order" },
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].kind == kind)
            return words[i].text;
    return "";
}

/* When it is right to write the line: Weir cannot know. */
static const char *condition_of(enum miss_kind kind)
{
    switch (kind) {
    case MISS_PARAM:
        return "where the answer does not depend on that parameter";
    case MISS_FIELD:
        return "where the answer does not depend on that field";
    case MISS_WHOSE:
        return "where everybody gets the same answer";
    default:
        return "";
    }
}

static json_t *differences_json(const struct explained *o, const struct rule_misses *m, struct arena *a)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < m->differences; i++) {
        const struct miss_difference *d = &m->by[i];
        struct slice                  line = line_for(o, d, a);

        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:i, s:o, s:s}", "in", in_words(d->kind), "name",
                                        json_of_text(slice_of(d->name)), "misses", (int)d->count, "line",
                                        json_of_text(line), "where", line.ptr != NULL ? condition_of(d->kind) : ""));
    }
    return list;
}

/* A duration takes the place of what the API says of storing. */
static bool is_mended_by_ttl(enum storable s)
{
    return s == STORABLE_NO_STORE || s == STORABLE_PRIVATE || s == STORABLE_NO_LIFETIME ||
           s == STORABLE_AUTHORIZATION || s == STORABLE_SET_COOKIE;
}

static json_t *unstored_json(const struct rule_misses *m)
{
    json_t *list = json_array();

    for (int s = STORABLE_YES + 1; s < STORABLE_COUNT; s++)
        if (m->storable[s] > 0)
            json_array_append_new(list, json_pack("{s:s, s:i, s:s?}", "reason", explain_storable_text((enum storable)s),
                                                  "misses", (int)m->storable[s], "line",
                                                  is_mended_by_ttl((enum storable)s) ? "ttl = \"10m\";" : NULL));
    return list;
}

static json_t *reasons_json(const struct rule_misses *m)
{
    json_t *o = json_object();

    for (int r = FWD_NONE + 1; r <= FWD_PARTIAL; r++)
        if (m->reasons[r] > 0)
            json_object_set_new(o, explain_forward_text((enum forward_reason)r), json_integer(m->reasons[r]));
    return o;
}

json_t *advice_json(const struct explained *o, struct arena *a)
{
    const struct rule_misses *m = o->foretold != NULL && o->foretold->has_misses ? &o->foretold->misses : NULL;

    if (m == NULL || o->policy == NULL)
        return NULL;
    return json_pack("{s:i, s:o, s:i, s:o, s:o, s:o}", "count", (int)m->count, "reasons", reasons_json(m), "again",
                     (int)m->again, "differ_in", differences_json(o, m, a), "not_stored", unstored_json(m), "place",
                     advice_place(config_rule_place(o->up, o->rule)));
}
