/*
 * Which rule an earlier one hides, for thousands of them: only those are
 * compared that match one text of the later rule's, and rules that hide all, or are equal, are known beforehand.
 */
#include "route/rules.h"

#include "route/glob.h"

#include <stdlib.h>

enum {
    COMPARED_MOST = 64,
    PASSED_MOST = 1024, /* for one rule */
    WORK_MOST = 1 << 25 /* steps for all of them: some tenths of a second */
};

struct hiding {
    const struct route_rule *rules;
    unsigned                 count;
    unsigned                *by;
    bool                    *leave_out; /* of the index: expressions, and what an equal one stands for */
    unsigned                *all;       /* those that hide whatever comes after them */
    unsigned                 all_count;
    char                    *texts; /* room for witnesses */
    int64_t                  work;  /* that is left */
    struct arena             arena;
};

/* ---- methods ---- */

static bool has_other(const struct route_rule *r, const char *method)
{
    for (const char *const *name = r->other_methods; name != NULL && *name != NULL; name++)
        if (strcmp(*name, method) == 0)
            return true;
    return false;
}

/* Every method of `later` is one of `earlier`. */
static bool covers(const struct route_rule *earlier, const struct route_rule *later)
{
    if ((later->methods & ~earlier->methods) != 0)
        return false;
    for (const char *const *name = later->other_methods; name != NULL && *name != NULL; name++)
        if (!has_other(earlier, *name))
            return false;
    return true;
}

static void note(struct hiding *h, unsigned hidden, unsigned by)
{
    if (by < h->by[hidden])
        h->by[hidden] = by;
}

/* ---- equal texts ---- */

/* One group of equal texts: of equal methods too, the first stands for the others. */
static void compare_equals(struct hiding *h, const unsigned *group, unsigned count)
{
    unsigned *kept = arena_alloc_raw(&h->arena, count * sizeof kept[0]), kept_count = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct route_rule *rule = &h->rules[group[i]];
        bool                     is_known = false;

        for (unsigned k = 0; k < kept_count && k < PASSED_MOST; k++) {
            if (!covers(&h->rules[kept[k]], rule))
                continue;
            note(h, group[i], kept[k]);
            is_known = is_known || covers(rule, &h->rules[kept[k]]);
        }
        h->leave_out[group[i]] = is_known || pattern_path(rule->pattern) == NULL;
        if (!is_known)
            kept[kept_count++] = group[i];
    }
}

static void find_equals(struct hiding *h)
{
    unsigned *order, n = rules_by_text(h->rules, h->count, &order);

    for (unsigned i = 0, end; i < n; i = end) {
        struct slice text = pattern_text(h->rules[order[i]].pattern);

        for (end = i + 1; end < n && slice_eq(text, pattern_text(h->rules[order[end]].pattern)); end++)
            ;
        compare_equals(h, order + i, end - i);
        arena_reset(&h->arena);
    }
    free(order);
}

/* ---- what hides all ---- */

static void find_all(struct hiding *h)
{
    for (unsigned i = 0; i < h->count; i++)
        if (!h->leave_out[i] && pattern_hides_all(h->rules[i].pattern))
            h->all[h->all_count++] = i;
}

static void compare_with_all(struct hiding *h, unsigned i)
{
    for (unsigned k = 0; k < h->all_count && k < PASSED_MOST && h->all[k] < h->by[i] && h->all[k] < i; k++)
        if (covers(&h->rules[h->all[k]], &h->rules[i]))
            note(h, i, h->all[k]);
}

/* ---- all others ---- */

static void compare_with_likely(struct hiding *h, const struct rule_index *x, unsigned i)
{
    const struct pattern *p = h->rules[i].pattern;
    unsigned              parameters = pattern_parameters(p), compared = 0, count, below = i;
    struct slice         *texts = arena_alloc_raw(&h->arena, (parameters + 1) * sizeof texts[0]);
    struct rule_wish      wish = { { h->texts, glob_witness(pattern_path(p), h->texts) }, texts, parameters };
    const unsigned       *likely;

    for (unsigned k = 0; k < parameters; k++) {
        char  *room = arena_alloc_raw(&h->arena, GLOB_WITNESS_BYTES);
        size_t length = glob_witness(pattern_parameter(p, k), room);

        texts[k] = (struct slice){ room, length };
    }
    if (h->by[i] < below)
        below = h->by[i];
    count = rule_index_likely(x, &wish, below, &h->arena, &likely, &h->work);
    for (unsigned k = 0; k < count && k < PASSED_MOST && compared < COMPARED_MOST; k++) {
        const struct route_rule *earlier = &h->rules[likely[k]];

        if (!covers(earlier, &h->rules[i]))
            continue;
        compared++;
        if (!pattern_hides_within(earlier->pattern, p, &h->work))
            continue;
        note(h, i, likely[k]);
        break;
    }
    arena_reset(&h->arena);
}

void rules_hidden(const struct route_rule *rules, unsigned count, unsigned *by)
{
    struct hiding      h = { .rules = rules, .count = count, .by = by, .work = WORK_MOST };
    struct rule_index *x;

    h.leave_out = mem_alloc((count + 1) * sizeof h.leave_out[0]);
    h.all = mem_alloc((count + 1) * sizeof h.all[0]);
    h.texts = mem_alloc(GLOB_WITNESS_BYTES);
    for (unsigned i = 0; i < count; i++) {
        by[i] = count;
        h.leave_out[i] = rules[i].pattern == NULL;
    }
    find_equals(&h);
    find_all(&h);
    x = rule_index_of(rules, count, h.leave_out);
    for (unsigned i = 0; i < count; i++) {
        if (rules[i].pattern == NULL)
            continue;
        compare_with_all(&h, i);
        if (pattern_path(rules[i].pattern) != NULL && h.work > 0)
            compare_with_likely(&h, x, i);
    }
    rule_index_free(x);
    arena_free(&h.arena);
    free(h.texts);
    free(h.all);
    free(h.leave_out);
}
