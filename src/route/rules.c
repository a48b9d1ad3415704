/*
 * Builds the trees of rules.h, and finds the first rule with them.
 */
#include "route/rules.h"

#include "route/literal.h"
#include "route/tree.h"

#include <stdlib.h>

struct rule_index {
    const struct route_rule *rules;
    struct tree             *paths;      /* over the path */
    struct tree             *parameters; /* over each parameter of the query; NULL: none */
    struct tree             *targets;    /* over path and query: of expressions that see both; NULL: none */
};

/* ---- texts in order ---- */

static int by_text(const void *a, const void *b, void *rules)
{
    const struct route_rule *all = rules;
    unsigned                 x = *(const unsigned *)a, y = *(const unsigned *)b;
    int                      order = slice_compare(pattern_text(all[x].pattern), pattern_text(all[y].pattern));

    return order != 0 ? order : (x > y) - (x < y);
}

unsigned rules_by_text(const struct route_rule *rules, unsigned count, unsigned **out)
{
    unsigned *all = mem_alloc((count + 1) * sizeof all[0]), n = 0;

    for (unsigned i = 0; i < count; i++)
        if (rules[i].pattern != NULL)
            all[n++] = i;
    qsort_r(all, n, sizeof all[0], by_text, (void *)(uintptr_t)rules);
    *out = all;
    return n;
}

/* Those that can never be the first: every method of theirs is one of an earlier rule with the same text. */
static bool *find_dead(const struct route_rule *rules, unsigned count)
{
    bool     *dead = mem_alloc((count + 1) * sizeof dead[0]);
    unsigned *order, n = rules_by_text(rules, count, &order), seen = 0;

    for (unsigned i = 0; i < n; i++) {
        const struct route_rule *r = &rules[order[i]];

        if (i == 0 || !slice_eq(pattern_text(r->pattern), pattern_text(rules[order[i - 1]].pattern)))
            seen = 0;
        dead[order[i]] = r->other_methods == NULL && (r->methods & ~seen) == 0;
        seen |= r->methods;
    }
    free(order);
    return dead;
}

/* How often each part of a pattern with a query stands in all of them. */
struct tally {
    struct slice *texts;
    unsigned      count;
};

static int by_bytes(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* What stands before the first parameter. */
static struct slice path_part(const struct pattern *p)
{
    struct slice text = pattern_text(p);

    return slice_sub(text, 0, (size_t)(pattern_parameter_text(p, 0).ptr - text.ptr));
}

static struct tally tally_make(const struct route_rule *rules, unsigned count)
{
    struct tally t = { NULL, 0 };
    unsigned     room = 0;

    for (unsigned i = 0; i < count; i++)
        room += rules[i].pattern != NULL ? pattern_parameters(rules[i].pattern) + 1 : 0;
    t.texts = mem_alloc((room + 1) * sizeof t.texts[0]);
    for (unsigned i = 0; i < count; i++) {
        const struct pattern *p = rules[i].pattern;

        if (p == NULL || pattern_parameters(p) == 0)
            continue;
        t.texts[t.count++] = path_part(p);
        for (unsigned k = 0; k < pattern_parameters(p); k++)
            t.texts[t.count++] = pattern_parameter_text(p, k);
    }
    qsort(t.texts, t.count, sizeof t.texts[0], by_bytes);
    return t;
}

/* The first that is not less than `text`, or (`after`) the first that is greater. */
static unsigned tally_bound(const struct tally *t, struct slice text, bool after)
{
    unsigned low = 0, high = t->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int      order = slice_compare(t->texts[middle], text);

        if (order < 0 || (after && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static unsigned tally_of(const struct tally *t, struct slice text)
{
    return tally_bound(t, text, true) - tally_bound(t, text, false);
}

/* The parameter that is to lead to the rule; -1: its path is. */
static int leading_parameter(const struct tally *t, const struct pattern *p)
{
    int      best = -1;
    unsigned least = pattern_parameters(p) > 0 ? tally_of(t, path_part(p)) : 0;

    for (unsigned i = 0; i < pattern_parameters(p); i++) {
        unsigned n = tally_of(t, pattern_parameter_text(p, i));

        if (n < least) {
            least = n;
            best = (int)i;
        }
    }
    return best;
}

/* ---- building ---- */

static void add_expression(struct rule_index *x, const struct pattern *p, unsigned id)
{
    struct slice   text = pattern_text(p);
    struct literal l = literal_of(slice_sub(text, 1, text.len));
    bool           anywhere = !l.first;

    if (anywhere && l.length < 2) /* hardly a target without it */
        l.length = 0;
    if (!anywhere) /* what begins with the path's bytes */
        l.length = (unsigned)slice_find((struct slice){ l.bytes, l.length }, '?', 0);
    if (anywhere && l.length > 0 && pattern_sees_query(p)) {
        if (x->targets == NULL)
            x->targets = tree_new();
        tree_add_literal(x->targets, (struct slice){ l.bytes, l.length }, true, id);
    } else {
        tree_add_literal(x->paths, (struct slice){ l.bytes, l.length }, anywhere, id);
    }
}

static void add(struct rule_index *x, const struct tally *t, const struct pattern *p, unsigned id)
{
    int parameter;

    if (pattern_path(p) == NULL) {
        add_expression(x, p, id);
        return;
    }
    parameter = leading_parameter(t, p);
    if (parameter >= 0 && x->parameters == NULL)
        x->parameters = tree_new();
    if (parameter >= 0)
        tree_add(x->parameters, pattern_parameter(p, (unsigned)parameter), id);
    else
        tree_add(x->paths, pattern_path(p), id);
}

struct rule_index *rule_index_of(const struct route_rule *rules, unsigned count, const bool *leave_out)
{
    struct rule_index *x = mem_alloc(sizeof *x);
    struct tally       t = tally_make(rules, count);

    x->rules = rules;
    x->paths = tree_new();
    for (unsigned i = 0; i < count; i++)
        if (!leave_out[i])
            add(x, &t, rules[i].pattern, i);
    tree_finish(x->paths);
    if (x->parameters != NULL)
        tree_finish(x->parameters);
    if (x->targets != NULL)
        tree_finish(x->targets);
    free(t.texts);
    return x;
}

struct rule_index *rule_index_build(const struct route_rule *rules, unsigned count)
{
    struct rule_index *x;
    bool              *dead;

    if (count <= RULES_PLAIN_MOST)
        return NULL;
    dead = find_dead(rules, count);
    x = rule_index_of(rules, count, dead);
    free(dead);
    return x;
}

void rule_index_free(struct rule_index *x)
{
    if (x == NULL)
        return;
    tree_free(x->paths);
    tree_free(x->parameters);
    tree_free(x->targets);
    free(x);
}

/* ---- finding ---- */

static bool method_is_listed(const struct route_rule *rule, const struct http_request *r)
{
    if (r->method != HTTP_OTHER)
        return (rule->methods >> r->method & 1) != 0;
    for (const char *const *name = rule->other_methods; name != NULL && *name != NULL; name++)
        if (slice_eq(r->method_name, slice_of(*name)))
            return true;
    return false;
}

const struct route_rule *rules_find_plainly(const struct route_rule *rules, unsigned count,
                                            const struct http_request *r, struct slice target)
{
    for (unsigned i = 0; i < count; i++)
        if (method_is_listed(&rules[i], r) && pattern_matches(rules[i].pattern, target))
            return &rules[i];
    return NULL;
}

enum { ASKED_FIRST = 32 };

struct find {
    struct tree_walk           walk;
    const struct route_rule   *rules;
    const struct http_request *request; /* NULL: whatever the method and the query */
    struct slice               query;
    struct arena              *arena;
    unsigned                  *asked; /* what is to be asked when the walks are over */
    unsigned                   asked_count, asked_room;
    unsigned                   first_asked[ASKED_FIRST];
};

static void ask_later(struct find *f, unsigned id)
{
    if (f->asked_count > 0 && f->asked[f->asked_count - 1] == id)
        return;
    if (f->asked_count == f->asked_room) {
        unsigned *more = arena_alloc_raw(f->arena, 2 * f->asked_room * sizeof more[0]);

        memcpy(more, f->asked, f->asked_count * sizeof more[0]);
        f->asked = more;
        f->asked_room *= 2;
    }
    f->asked[f->asked_count++] = id;
}

static void path_matched(struct tree_walk *walk, unsigned id, bool certain)
{
    struct find             *f = (struct find *)(void *)walk;
    const struct route_rule *rule = &f->rules[id];

    if (f->request == NULL)
        ask_later(f, id);
    else if (!method_is_listed(rule, f->request))
        return;
    else if (!certain)
        ask_later(f, id);
    else if (pattern_matches_query(rule->pattern, f->query))
        walk->below = id;
}

/* The parameter that leads to it is there: path and the others are to be asked. */
static void parameter_matched(struct tree_walk *walk, unsigned id, bool certain)
{
    struct find *f = (struct find *)(void *)walk;

    (void)certain;
    if (f->request == NULL || method_is_listed(&f->rules[id], f->request))
        ask_later(f, id);
}

static void begin(struct find *f, const struct rule_index *x, const struct http_request *r, struct slice query,
                  unsigned below, struct arena *a)
{
    f->walk = (struct tree_walk){ .below = below, .told = path_matched };
    f->rules = x->rules;
    f->request = r;
    f->query = query;
    f->arena = a;
    f->asked = f->first_asked;
    f->asked_count = 0;
    f->asked_room = ASKED_FIRST;
}

static int by_number(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return (x > y) - (x < y);
}

static const struct route_rule *answer(struct find *f, struct slice target)
{
    if (f->asked_count > 1)
        qsort(f->asked, f->asked_count, sizeof f->asked[0], by_number);
    for (unsigned i = 0; i < f->asked_count && f->asked[i] < f->walk.below; i++)
        if ((i == 0 || f->asked[i] != f->asked[i - 1]) && pattern_matches(f->rules[f->asked[i]].pattern, target))
            return &f->rules[f->asked[i]];
    return f->walk.below != UINT32_MAX ? &f->rules[f->walk.below] : NULL;
}

const struct route_rule *rule_index_find(const struct rule_index *x, const struct http_request *r, struct slice target,
                                         struct arena *a)
{
    size_t      end = slice_find(target, '?', 0);
    struct find f;

    begin(&f, x, r, slice_sub(target, end + 1, target.len), UINT32_MAX, a);
    tree_walk(x->paths, slice_sub(target, 0, end), &f.walk, a);
    f.walk.told = parameter_matched;
    for (size_t from = 0; x->parameters != NULL && from <= f.query.len;) {
        size_t stop = slice_find(f.query, '&', from);

        tree_walk(x->parameters, slice_sub(f.query, from, stop), &f.walk, a);
        from = stop + 1;
    }
    if (x->targets != NULL)
        tree_walk(x->targets, target, &f.walk, a);
    return answer(&f, target);
}

unsigned rule_index_likely(const struct rule_index *x, const struct rule_wish *wish, unsigned below, struct arena *a,
                           const unsigned **out, int64_t *work)
{
    struct find f;
    unsigned   *all, count = 0;

    begin(&f, x, NULL, SLICE_NONE, below, a);
    tree_walk(x->paths, wish->path, &f.walk, a);
    f.walk.told = parameter_matched;
    for (unsigned i = 0; x->parameters != NULL && i < wish->parameter_count; i++)
        tree_walk(x->parameters, wish->parameters[i], &f.walk, a);
    qsort(f.asked, f.asked_count, sizeof f.asked[0], by_number);
    all = arena_alloc_raw(a, (f.asked_count + 1) * sizeof all[0]);
    for (unsigned i = 0; i < f.asked_count; i++)
        if (count == 0 || all[count - 1] != f.asked[i])
            all[count++] = f.asked[i];
    *work -= f.walk.steps + f.asked_count;
    *out = all;
    return count;
}
