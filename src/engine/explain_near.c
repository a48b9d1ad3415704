/*
 * What is stored nearest to a key that was not found, and what the two differ in.
 *
 * All that stands under the same path of the caller's partition is in one index of the store (store_of_path()); what
 * is shared stands under the same path of nobody's partition, where whoever may use the upstream may hear of it.
 * LOOKED_AT records are compared; of those that differ in as little the youngest come first.
 */
#include "engine/explain_parts.h"

#include "base/clock.h"
#include "http/url.h"
#include "policy/key.h"
#include "policy/vary.h"

enum { LOOKED_AT = 200 };

const char *explain_in_text(enum explain_in in)
{
    static const char *const texts[] = {
        [IN_QUERY] = "query", [IN_METHOD] = "method", [IN_FIELD] = "header", [IN_BODY] = "body",
        [IN_VARY] = "vary",   [IN_ORDER] = "order",   [IN_WHOSE] = "whose",
    };

    return texts[in];
}

void explain_keep_entry(struct entry_facts *e, struct arena *a)
{
    e->method = arena_copy(a, e->method);
    e->url = arena_copy(a, e->url);
    e->whose = arena_copy(a, e->whose);
    e->upstream = arena_copy(a, e->upstream);
    if (e->type.ptr != NULL)
        e->type = arena_copy(a, e->type);
}

/* -- a key in pieces -- */

struct key_pieces {
    struct slice whose, method, path, query, lines;
};

static struct key_pieces pieces_of(struct slice full)
{
    size_t       whose = slice_find(full, ' ', 0), method = slice_find(full, ' ', whose + 1);
    size_t       end = slice_find(full, '\n', method);
    struct slice url = slice_sub(full, method + 1, end);
    size_t       query = slice_find(url, '?', 0);

    return (struct key_pieces){
        .whose = slice_sub(full, 0, whose),
        .method = slice_sub(full, whose + 1, method),
        .path = slice_sub(url, 0, query),
        .query = slice_sub(url, query + 1, url.len),
        .lines = slice_sub(full, end + 1, full.len),
    };
}

static void differs(struct explain_near *n, enum explain_in in, struct slice name, struct slice stored,
                    struct slice asked)
{
    for (unsigned i = 0; i < n->count && i < EXPLAIN_DIFFERENCES; i++)
        if (n->by[i].in == in && slice_eq(n->by[i].name, name))
            return;
    if (n->count < EXPLAIN_DIFFERENCES)
        n->by[n->count] = (struct explain_difference){ in, name, stored, asked };
    n->count++;
}

/* The value of a parameter or of a line; ptr NULL: there is none of that name. */
static struct slice value_in(struct slice list, char end, char after_name, struct slice name)
{
    while (list.len > 0) {
        size_t       to = slice_find(list, end, 0);
        struct slice item = slice_sub(list, 0, to);
        size_t       at = slice_find(item, after_name, 0);

        if (slice_eq(slice_sub(item, 0, at), name))
            return at < item.len ? slice_trim(slice_sub(item, at + 1, item.len)) : SLICE_NONE;
        list = slice_sub(list, to + 1, list.len);
    }
    return SLICE_NONE;
}

static bool has_item(struct slice list, char end, struct slice wanted)
{
    while (list.len > 0) {
        size_t to = slice_find(list, end, 0);

        if (slice_eq(slice_sub(list, 0, to), wanted))
            return true;
        list = slice_sub(list, to + 1, list.len);
    }
    return false;
}

struct key_list { /* how a part of a key is a list */
    enum explain_in in;
    char            end, after_name;
};

/* A key has a hash in the place of a credential's value: that tells nobody anything. */
static struct slice shown(const struct key_list *l, const struct policy_options *o, struct slice name,
                          struct slice value)
{
    bool hidden = l->in == IN_QUERY   ? policy_list_has(o->credential_params, name)
                  : l->in == IN_FIELD ? policy_list_has_nocase(o->credential_headers, name)
                                      : false;

    return hidden && value.ptr != NULL ? SLICE("***") : value;
}

/* What `one` has and the other has not just so. */
static void compare_one_way(struct explain_near *n, const struct key_list *l, const struct policy_options *o,
                            struct slice one, struct slice other, bool one_is_stored)
{
    for (struct slice rest = one; rest.len > 0;) {
        size_t       to = slice_find(rest, l->end, 0);
        struct slice item = slice_sub(rest, 0, to);
        struct slice name = slice_sub(item, 0, slice_find(item, l->after_name, 0));
        struct slice mine = shown(l, o, name, value_in(one, l->end, l->after_name, name));
        struct slice theirs = shown(l, o, name, value_in(other, l->end, l->after_name, name));
        bool         is_body = l->in == IN_FIELD && item.len > 0 && item.ptr[0] == '#';

        rest = slice_sub(rest, to + 1, rest.len);
        if (has_item(other, l->end, item))
            continue;
        if (is_body)
            differs(n, IN_BODY, SLICE(""), SLICE_NONE, SLICE_NONE);
        else
            differs(n, l->in, name, one_is_stored ? mine : theirs, one_is_stored ? theirs : mine);
    }
}

static void compare_lists(struct explain_near *n, const struct key_list *l, const struct policy_options *o,
                          struct slice stored, struct slice asked)
{
    compare_one_way(n, l, o, stored, asked, true);
    compare_one_way(n, l, o, asked, stored, false);
}

static void compare_variants(struct explain_near *n, const struct exchange *x, struct slice selection, struct arena *a)
{
    static const struct key_list lines = { IN_VARY, '\n', ':' };

    compare_lists(n, &lines, x->policy, selection,
                  policy_selection_again(x->policy, selection, &x->in.request.fields, a));
}

static void compare(struct explain_near *n, const struct exchange *x, const struct store_record *r, struct arena *a)
{
    static const struct key_list query = { IN_QUERY, '&', '=' }, lines = { IN_FIELD, '\n', ':' };
    struct key_pieces            stored = pieces_of(r->full_key), asked = pieces_of(x->key.full);

    if (slice_eq(r->full_key, x->key.full)) {
        compare_variants(n, x, r->selection, a);
        return;
    }
    if (!slice_eq(stored.whose, asked.whose))
        differs(n, IN_WHOSE, SLICE(""), SLICE_NONE, SLICE_NONE);
    if (!slice_eq(stored.method, asked.method))
        differs(n, IN_METHOD, SLICE(""), stored.method, asked.method);
    compare_lists(n, &query, x->policy, stored.query, asked.query);
    compare_lists(n, &lines, x->policy, stored.lines, asked.lines);
    if (n->count == 0)
        differs(n, IN_ORDER, SLICE(""), SLICE_NONE, SLICE_NONE);
}

/* -- the nearest -- */

struct search_near {
    struct explain     *explain;
    struct entry_reader reader;
    struct arena        scratch;
};

static bool is_nearer(const struct explain_near *a, const struct explain_near *b)
{
    return a->count != b->count ? a->count < b->count : a->entry.age_ns < b->entry.age_ns;
}

static struct slice keep(struct slice s, struct arena *a)
{
    return s.ptr != NULL ? arena_copy(a, s) : s;
}

static void put(struct explain *e, unsigned at, const struct explain_near *near)
{
    struct explained    *o = &e->out;
    struct explain_near *n;

    if (o->nearest_count < EXPLAIN_NEAREST)
        o->nearest_count++;
    for (unsigned i = o->nearest_count - 1; i > at; i--)
        o->nearest[i] = o->nearest[i - 1];
    n = &o->nearest[at];
    *n = *near;
    explain_keep_entry(&n->entry, &e->arena);
    for (unsigned i = 0; i < n->count && i < EXPLAIN_DIFFERENCES; i++) {
        n->by[i].name = keep(n->by[i].name, &e->arena);
        n->by[i].stored = keep(n->by[i].stored, &e->arena);
        n->by[i].asked = keep(n->by[i].asked, &e->arena);
    }
}

static void look_at(const struct store_record *r, void *context)
{
    struct search_near *s = context;
    struct explain     *e = s->explain;
    struct explain_near near = { .count = 0 };
    unsigned            at = 0;

    arena_reset(&s->scratch);
    compare(&near, e->x, r, &s->scratch);
    entry_read(&s->reader, r, &s->scratch, &near.entry);
    while (at < e->out.nearest_count && !is_nearer(&near, &e->out.nearest[at]))
        at++;
    if (at < EXPLAIN_NEAREST)
        put(e, at, &near);
}

void explain_find_near(struct explain *e)
{
    struct search_near s = { .explain = e, .reader = { .config = e->x->config, .now_wall_ns = clock_wall_ns() } };

    if (!e->x->has_key)
        return;
    if (e->dry.look_up != NULL)
        explain_fact_each(e, look_at, &s);
    else
        explain_each_near(e, LOOKED_AT, look_at, &s);
    arena_free(&s.scratch);
}

bool explain_is_kin(const struct explain *e, const struct store_record *r)
{
    struct key_pieces stored = pieces_of(r->full_key), asked = pieces_of(e->x->key.full);

    return e->x->has_key && slice_eq(stored.path, asked.path) && !slice_eq(stored.whose, asked.whose) &&
           !slice_eq(stored.whose, SLICE("-"));
}
