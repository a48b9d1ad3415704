/*
 * "60/min": no window of that length ever sees more.
 *
 * A ring of groups, each with the time of its newest request; a group is free
 * again a whole window after that.  With up to LIMIT_SLOTS requests a window
 * every time has a group of its own, so it is exact.  Above, a group takes in
 * what comes within a five-hundredth of the window of its first: requests are
 * forgotten late, never early, and at most 0.5 % is wasted, the guard
 * included.  Groups free together are spent together, so this does not add up.
 */
#include "budget/limit_kind.h"

#include "base/arena.h"

#include <stdlib.h>

enum {
    GROUPS_A_WINDOW = 500, /* with guard, fewer than LIMIT_SLOTS live at any time */
    WASTE_PART = 201,      /* guard and quantum: a window's 201st, under 0.5 % */
    FIRST_CAPACITY = 4,
    IMAGE_GROUP_BYTES = 16
};

static struct group *group_at(const struct sliding *s, unsigned i)
{
    unsigned at = s->head + i;

    return &s->ring[at < s->capacity ? at : at - s->capacity];
}

static void sliding_init(struct limit *l)
{
    struct sliding *s = &l->is.sliding;
    int64_t         guard_ns;

    *s = (struct sliding){ .quantum_ns = l->count > LIMIT_SLOTS ? l->window_ns / GROUPS_A_WINDOW : 0 };
    guard_ns = l->window_ns / WASTE_PART - s->quantum_ns;
    if (guard_ns > LIMIT_GUARD_NS)
        guard_ns = LIMIT_GUARD_NS;
    s->hold_ns = time_add(l->window_ns, guard_ns);
}

static void sliding_fini(struct limit *l)
{
    free(l->is.sliding.ring);
}

static bool is_over(const struct sliding *s, const struct group *g, int64_t now_ns)
{
    return time_add(g->newest_ns, s->hold_ns) <= now_ns;
}

static void forget(struct sliding *s, int64_t now_ns)
{
    while (s->used > 0 && is_over(s, group_at(s, 0), now_ns)) {
        s->total -= group_at(s, 0)->count;
        s->head = s->head + 1 < s->capacity ? s->head + 1 : 0;
        s->used--;
    }
}

/* The first group that still counts; *live: the units from there on. */
static unsigned first_live(const struct sliding *s, int64_t now_ns, uint64_t *live)
{
    unsigned i = 0;

    *live = s->total;
    while (i < s->used && is_over(s, group_at(s, i), now_ns))
        *live -= group_at(s, i++)->count;
    return i;
}

/* When the `units` oldest of those from group `from` on are free again. */
static int64_t free_at_ns(const struct sliding *s, unsigned from, uint64_t units)
{
    const struct group *g = group_at(s, from);

    for (unsigned i = from; i < s->used; i++) {
        g = group_at(s, i);
        if (units <= g->count)
            break;
        units -= g->count;
    }
    return time_add(g->newest_ns, s->hold_ns);
}

static int64_t sliding_wait_ns(const struct limit *l, uint64_t cost, struct budget_now now)
{
    const struct sliding *s = &l->is.sliding;
    uint64_t              live;
    unsigned              first;

    if (s->total + cost <= l->count)
        return 0;
    first = first_live(s, now.mono_ns, &live);
    if (live + cost <= l->count)
        return 0;
    return free_at_ns(s, first, live + cost - l->count) - now.mono_ns;
}

static void grow(struct sliding *s)
{
    unsigned      capacity = s->capacity > 0 ? s->capacity * 2 : FIRST_CAPACITY;
    struct group *ring = mem_alloc(capacity * sizeof *ring);

    for (unsigned i = 0; i < s->used; i++)
        ring[i] = *group_at(s, i);
    free(s->ring);
    s->ring = ring;
    s->head = 0;
    s->capacity = capacity;
}

/* The two oldest become one, which counts as long as the newer of them: the safe side. */
static void merge_oldest(struct sliding *s)
{
    struct group *gone = group_at(s, 0), *kept = group_at(s, 1);

    kept->first_ns = gone->first_ns;
    kept->count += gone->count;
    s->head = s->head + 1 < s->capacity ? s->head + 1 : 0;
    s->used--;
}

static void put(struct sliding *s, uint64_t cost, int64_t at_ns)
{
    struct group *last = s->used > 0 ? group_at(s, s->used - 1) : NULL;

    s->total += cost;
    if (last != NULL && last->count == 0 && at_ns >= last->newest_ns) {
        *last = (struct group){ at_ns, at_ns, cost }; /* all of it was given back */
        return;
    }
    if (last != NULL && (at_ns <= last->newest_ns || at_ns - last->first_ns < s->quantum_ns)) {
        last->count += cost;
        if (at_ns > last->newest_ns)
            last->newest_ns = at_ns;
        return;
    }
    if (s->used == LIMIT_SLOTS)
        merge_oldest(s);
    else if (s->used == s->capacity)
        grow(s);
    s->used++;
    *group_at(s, s->used - 1) = (struct group){ at_ns, at_ns, cost };
}

static void sliding_spend(struct limit *l, uint64_t cost, struct budget_now now)
{
    forget(&l->is.sliding, now.mono_ns);
    put(&l->is.sliding, cost, now.mono_ns);
}

static void sliding_give_back(struct limit *l, uint64_t cost, struct budget_now spent)
{
    struct sliding *s = &l->is.sliding;
    unsigned        low = 0, high = s->used;
    struct group   *g;

    while (low < high) { /* the first group that reaches up to that time */
        unsigned middle = low + (high - low) / 2;

        if (group_at(s, middle)->newest_ns < spent.mono_ns)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == s->used)
        return;
    g = group_at(s, low);
    if (g->first_ns > spent.mono_ns) /* that group is forgotten: it was free already */
        return;
    if (cost > g->count)
        cost = g->count;
    g->count -= cost;
    s->total -= cost;
}

static uint64_t sliding_left(const struct limit *l, struct budget_now now)
{
    uint64_t live;

    first_live(&l->is.sliding, now.mono_ns, &live);
    return live < l->count ? l->count - live : 0;
}

/* Each unit is free again one hold after it was spent, so what is spent as early as allowed
 * repeats itself with that period. */
static int64_t sliding_predict_ns(const struct limit *l, uint64_t ahead, struct budget_now now)
{
    const struct sliding *s = &l->is.sliding;
    uint64_t              live, left, behind;
    unsigned              first = first_live(s, now.mono_ns, &live);
    int64_t               in_ns = s->hold_ns;

    left = live < l->count ? l->count - live : 0;
    if (ahead < left)
        return 0;
    behind = ahead - left;
    if (live > l->count)
        behind += live - l->count;
    if (behind < live)
        return free_at_ns(s, first, behind + 1) - now.mono_ns;
    if (behind % l->count < live)
        in_ns = free_at_ns(s, first, behind % l->count + 1) - now.mono_ns;
    return time_add(in_ns, time_times(s->hold_ns, behind / l->count));
}

static int64_t sliding_whole_in_ns(const struct limit *l, struct budget_now now)
{
    const struct sliding *s = &l->is.sliding;

    for (unsigned i = s->used; i-- > 0;) {
        const struct group *g = group_at(s, i);

        if (is_over(s, g, now.mono_ns))
            break;
        if (g->count > 0)
            return time_add(g->newest_ns, s->hold_ns) - now.mono_ns;
    }
    return 0;
}

static size_t sliding_image_bytes(const struct limit *l)
{
    return (size_t)l->is.sliding.used * IMAGE_GROUP_BYTES;
}

static size_t sliding_save(const struct limit *l, void *out, struct budget_now now)
{
    const struct sliding *s = &l->is.sliding;
    char                 *to = out;

    for (unsigned i = 0; i < s->used; i++) {
        const struct group *g = group_at(s, i);
        int64_t             age_ns = now.mono_ns - g->newest_ns;

        if (g->count == 0 || is_over(s, g, now.mono_ns))
            continue;
        memcpy(to, &age_ns, sizeof age_ns);
        memcpy(to + sizeof age_ns, &g->count, sizeof g->count);
        to += IMAGE_GROUP_BYTES;
    }
    return (size_t)(to - (char *)out);
}

static bool sliding_restore(struct limit *l, const void *in, size_t bytes, int64_t elapsed_ns, bool same_boot,
                            struct budget_now now)
{
    struct sliding *s = &l->is.sliding;
    const char     *from = in;
    int64_t         age_ns, last_age_ns = INT64_MAX;
    uint64_t        count;

    (void)same_boot; /* ages are what it goes by, and the caller clamped them */
    if (bytes % IMAGE_GROUP_BYTES != 0 || bytes / IMAGE_GROUP_BYTES > LIMIT_SLOTS)
        return false;
    for (size_t at = 0; at < bytes; at += IMAGE_GROUP_BYTES) {
        memcpy(&age_ns, from + at, sizeof age_ns);
        if (age_ns < 0 || age_ns > last_age_ns)
            return false;
        last_age_ns = age_ns;
    }
    s->used = s->head = 0;
    s->total = 0;
    for (size_t at = 0; at < bytes; at += IMAGE_GROUP_BYTES) {
        memcpy(&age_ns, from + at, sizeof age_ns);
        memcpy(&count, from + at + sizeof age_ns, sizeof count);
        age_ns = time_add(age_ns, elapsed_ns);
        if (count > UINT32_MAX)
            count = UINT32_MAX;
        if (age_ns < s->hold_ns)
            put(s, count, now.mono_ns - age_ns);
    }
    return true;
}

const struct limit_kind_ops limit_sliding_ops = {
    .init = sliding_init,
    .fini = sliding_fini,
    .wait_ns = sliding_wait_ns,
    .spend = sliding_spend,
    .give_back = sliding_give_back,
    .predict_ns = sliding_predict_ns,
    .left = sliding_left,
    .whole_in_ns = sliding_whole_in_ns,
    .image_bytes = sliding_image_bytes,
    .save = sliding_save,
    .restore = sliding_restore,
};
