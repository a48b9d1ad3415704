/*
 * One upstream's limits beside one another: those that say the same, and those that can
 * never be reached.  Called by review.c.
 */
#include "config/snapshot.h"

#include "budget/ledger.h"
#include "config/checks.h"

#include <libconfig.h>
#include <stdlib.h>

static bool same_list(const char *const *a, const char *const *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    for (; *a != NULL && *b != NULL; a++, b++)
        if (strcmp(*a, *b) != 0)
            return false;
    return *a == *b;
}

/* Both count the same requests in the same way. */
static bool same_scope(const struct set_limit *a, const struct set_limit *b)
{
    return a->to.per_credential == b->to.per_credential && slice_eq(slice_of(a->to.match), slice_of(b->to.match)) &&
           same_list(a->methods, b->methods) && same_list(a->cost, b->cost) && same_list(a->estimate, b->estimate) &&
           same_list(a->charge, b->charge) && a->to.scale == b->to.scale;
}

static bool same_rate(const struct limit_options *a, const struct limit_options *b)
{
    return a->kind == b->kind && a->count == b->count && a->window_ns == b->window_ns && a->burst == b->burst &&
           a->start_minute == b->start_minute && slice_eq(slice_of(a->zone), slice_of(b->zone));
}

/* The most that the limit lets through in any time of this length; UINT64_MAX: the API may change it. */
static uint64_t most_within(const struct limit_options *l, int64_t span_ns)
{
    double windows = (double)span_ns / (double)l->window_ns;

    switch (l->kind) {
    case LIMIT_SLIDING:
        return l->count * ((uint64_t)windows + ((double)(uint64_t)windows < windows));
    case LIMIT_BUCKET:
        return l->burst + (uint64_t)((double)l->count * windows);
    case LIMIT_FIXED: /* two windows may meet in it */
        return l->count * ((uint64_t)windows + 2);
    case LIMIT_LEARNED:
        break;
    }
    return UINT64_MAX;
}

/* Whether `other` always refuses first.  A burst is judged by review_burst(). */
static bool is_never_reached(const struct limit_options *l, const struct limit_options *other)
{
    return (l->kind == LIMIT_SLIDING || l->kind == LIMIT_FIXED) && most_within(other, l->window_ns) <= l->count;
}

static void review_pair(struct reader *r, const struct set_limit *first, const struct limit_options *a,
                        const struct set_limit *second, const struct limit_options *b)
{
    struct source_place at = reader_place(first->from), here = reader_place(second->from);

    if (!same_scope(first, second))
        return;
    if (same_rate(a, b))
        reader_warning(r, second->from, NULL, "\"%s\" says what \"%s\" of line %u says; keep one", second->rate,
                       first->rate, at.line);
    else if (is_never_reached(b, a))
        reader_warning(r, second->from, NULL,
                       "\"%s\" can never be reached: \"%s\" of line %u lets fewer through; "
                       "keep the one that the API states",
                       second->rate, first->rate, at.line);
    else if (is_never_reached(a, b))
        reader_warning(r, first->from, NULL,
                       "\"%s\" can never be reached: \"%s\" of line %u lets fewer through; "
                       "keep the one that the API states",
                       first->rate, second->rate, here.line);
}

static bool is_metered(const struct set_limit *set)
{
    return set->estimate != NULL || set->charge != NULL;
}

/* Where it does not fit, the limit's count is 0 from here on. */
static void review_scale(struct reader *r, const struct set_limit *set, struct limit_options *limit)
{
    const uint64_t count = limit->count;

    limit->scale = set->to.scale;
    limit->margin = set->to.margin;
    if (limit->scale > 0 && !is_metered(set))
        reader_error(r, set->from, "scale", "requests have no decimal places; scale goes with estimate and charge");
    if (set->to.full_estimate && (set->estimate == NULL || set->charge == NULL))
        reader_error(r, set->from, "full_estimate",
                     "without estimate and charge nothing is learned that could make an estimate smaller");
    if (limit->margin > 0.5)
        reader_error(r, set->from, "margin", "at most \"50%%\" of a limit can be held back");
    else if (limit_scale(limit))
        return;
    else if (limit->scale == 0)
        reader_error(r, set->from, "margin", "with this margin nothing is left of \"%s\"", set->rate);
    else
        reader_error(r, set->from, "scale",
                     "%llu in %u decimal places is more than 1000000000; a smaller scale is wanted",
                     (unsigned long long)count, limit->scale);
    limit->count = 0;
}

/* The most that could be spent at once by the tightest other limit that counts every request. */
static uint64_t tightest_window(const struct set_limit *set, const struct limit_options *limits, unsigned count)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < count; i++)
        if (limits[i].count > 0 && limits[i].kind != LIMIT_BUCKET && limits[i].count < least && !is_metered(&set[i]) &&
            set[i].to.match == NULL && set[i].methods == NULL && set[i].cost == NULL && !set[i].to.per_credential)
            least = limits[i].count;
    return least;
}

static void review_burst(struct reader *r, const struct set_limit *set, const struct limit_options *limit,
                         uint64_t least)
{
    if (limit->kind == LIMIT_BUCKET && !is_metered(set) && limit->burst > least)
        reader_warning(r, set->from, NULL, "a burst of %llu can never come, another limit allows only %llu",
                       (unsigned long long)limit->burst, (unsigned long long)least);
}

static void review_costs(struct reader *r, const struct set_limit *set, const struct limit_options *limit)
{
    uint64_t     most = limit->kind == LIMIT_BUCKET ? limit->burst : limit->count;
    struct arena a = { 0 };

    for (const char *const *c = set->cost; c != NULL && *c != NULL; c++)
        if (checks_cost(*c, &a).cost > most)
            reader_warning(r, set->from, "cost", "\"%s\" can never be paid: \"%s\" allows %llu at one time", *c,
                           set->rate, (unsigned long long)most);
    arena_free(&a);
}

static void review_name(struct reader *r, const struct set_limit *all, unsigned i)
{
    for (unsigned j = 0; all[i].to.name != NULL && j < i; j++)
        if (all[j].to.name != NULL && strcmp(all[i].to.name, all[j].to.name) == 0)
            reader_error(r, all[i].from, "name", "two limits are called \"%s\"; give this one another name",
                         all[i].to.name);
}

static bool has_limit(const struct set_upstream *u, const char *name)
{
    const struct set_limit *set = u->limits.items;

    for (unsigned i = 0; i < u->limits.count; i++)
        if (slice_eq_nocase(slice_of(set[i].to.name != NULL ? set[i].to.name : set[i].rate), slice_of(name)))
            return true;
    return false;
}

/* One of a budget may be another upstream's. */
static void review_learn(struct reader *r, const struct set_upstream *u)
{
    const struct set_learn *set = u->learn.items;

    for (unsigned i = 0; i < u->learn.count; i++) {
        const char *name = set[i].to.limit;

        if (name != NULL && u->to.fetch.budget == NULL && !has_limit(u, name))
            reader_error(r, set[i].from, "limit", "no limit is called \"%s\"; give one that name", name);
        for (unsigned j = 0; j < i; j++)
            if (slice_eq_nocase(slice_of(name), slice_of(set[j].to.limit)))
                reader_error(r, set[i].from, "limit", "two groups are of %s%s%s; one is enough",
                             name != NULL ? "\"" : "", name != NULL ? name : "requests", name != NULL ? "\"" : "");
    }
}

/* An answer in tokens or money is mostly a long stream: the default bound, meant for short answers, is soon met. */
static void review_streams(struct reader *r, const struct set_upstream *u)
{
    const struct set_limit *set = u->limits.items;

    for (unsigned i = 0; i < u->limits.count; i++) {
        if (!is_metered(&set[i]) || config_setting_get_member(u->from, "max_in_flight") != NULL)
            continue;
        reader_warning(r, set[i].from, NULL,
                       "answers that are metered are mostly streams, and the one after the first %u waits until one of "
                       "them ends (max_in_flight, by default); set max_in_flight to how many may run at one time",
                       u->to.fetch.max_in_flight);
        return;
    }
}

void review_limits(struct reader *r, const struct set_upstream *u)
{
    const struct set_limit *set = u->limits.items;
    unsigned                count = u->limits.count;
    struct limit_options   *limits = mem_alloc((count + 1) * sizeof limits[0]);
    const char             *bad;
    uint64_t                least;

    if (count > LEDGER_MAX_LIMITS)
        reader_error(r, u->from, "limits", "%u limits; an upstream may have %d", count, LEDGER_MAX_LIMITS);
    for (unsigned i = 0; i < count; i++) /* a count of 0: wrong by itself */
        if (set[i].rate == NULL || !limit_parse(slice_of(set[i].rate), &limits[i], &bad))
            limits[i].count = 0;
    for (unsigned i = 0; i < count; i++)
        if (limits[i].count > 0)
            review_scale(r, &set[i], &limits[i]);
    review_streams(r, u);
    review_learn(r, u);
    least = tightest_window(set, limits, count);
    for (unsigned i = 0; i < count; i++) {
        review_name(r, set, i);
        if (limits[i].count == 0)
            continue;
        review_burst(r, &set[i], &limits[i], least);
        review_costs(r, &set[i], &limits[i]);
        for (unsigned j = 0; j < i; j++)
            if (limits[j].count > 0)
                review_pair(r, &set[j], &limits[j], &set[i], &limits[i]);
    }
    for (unsigned i = 0; i < count; i++)
        free((char *)limits[i].zone);
    free(limits);
}
