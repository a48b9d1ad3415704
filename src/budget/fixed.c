/*
 * Windows that are spent and then begin anew at once: at a wall-clock time
 * in a time zone ("5000/day window 00:00 America/Los_Angeles"), or when the
 * API's headers say ("5000/h window learned").
 *
 * The end of a window is kept with it, so that a wall clock that steps back
 * finds the same window, and its end, again; but for no longer than a window, by the monotonic clock.
 */
#include "budget/limit_kind.h"

#include "base/clock.h"

#include <string.h>

#define DAY_NS  (INT64_C(86400) * NS_PER_SEC)
#define HOUR_NS (INT64_C(3600) * NS_PER_SEC)
/* A window that begins later than this is no step of the clock: the date was wrong. */
#define FAR_NS (26 * HOUR_NS)
/* Two times of reset that lie this near to each other are one, told in whole seconds. */
#define SAME_RESET_NS (2 * NS_PER_SEC)
/* What is spent this shortly before the end (at most a 200th of the window) may be counted by the API
 * in the next window, so it counts in both. */
#define LATE_NS NS_PER_SEC

enum { LATE_PART = 200, IMAGE_BYTES = 40, IS_TOLD = 1, IS_DOUBTFUL = 2, OWN_SHIFT = 8 };
#define OWN_MOST (UINT64_MAX >> OWN_SHIFT)

static int64_t floor_to(int64_t value, int64_t step)
{
    int64_t over = value % step;

    return value - (over < 0 ? over + step : over);
}

/* Midnights (or the minute given) in the zone, every window_ns / 1 day of them. */
static void day_window(const struct limit *l, int64_t wall_s, int64_t *begin_s, int64_t *end_s)
{
    int64_t days = l->window_ns / DAY_NS, length_s = days * 86400, start_s = (int64_t)l->start_minute * 60;
    int64_t local_s = wall_s + zone_offset_s(l->zone, wall_s, NULL);
    int64_t from_s = floor_to(local_s - start_s, length_s) + start_s;

    *begin_s = zone_to_utc_s(l->zone, from_s);
    *end_s = zone_to_utc_s(l->zone, from_s + length_s);
    if (*begin_s > wall_s) { /* local times that come twice, or never */
        *end_s = *begin_s;
        *begin_s = zone_to_utc_s(l->zone, from_s - length_s);
    } else if (*end_s <= wall_s) {
        *begin_s = *end_s;
        *end_s = zone_to_utc_s(l->zone, from_s + 2 * length_s);
    }
}

/* Shorter than a day: counted from the start minute with the offset of the moment. */
static void short_window(const struct limit *l, int64_t wall_ns, int64_t *begin_ns, int64_t *end_ns)
{
    int64_t offset_ns = zone_offset_s(l->zone, wall_ns / NS_PER_SEC, NULL) * NS_PER_SEC;
    int64_t start_ns = (int64_t)l->start_minute * 60 * NS_PER_SEC;

    *begin_ns = floor_to(wall_ns + offset_ns - start_ns, l->window_ns) + start_ns - offset_ns;
    *end_ns = *begin_ns + l->window_ns;
}

static void window_at(const struct limit *l, int64_t wall_ns, int64_t *begin_ns, int64_t *end_ns)
{
    int64_t begin_s, end_s;

    if (l->window_ns % DAY_NS != 0) {
        short_window(l, wall_ns, begin_ns, end_ns);
        return;
    }
    day_window(l, floor_to(wall_ns, NS_PER_SEC) / NS_PER_SEC, &begin_s, &end_s);
    *begin_ns = begin_s * NS_PER_SEC;
    *end_ns = end_s * NS_PER_SEC;
}

/* When nothing was spent for a whole window (a day may have 25 hours), no window of the API's holds what was spent
 * before, wherever the wall clock has gone: it locks nobody out for longer. */
static int64_t over_at_mono_ns(const struct limit *l, const struct fixed *f)
{
    return time_add(f->spent_mono_ns, time_add(l->window_ns, l->window_ns % DAY_NS == 0 ? HOUR_NS : 0));
}

/* Until the window is over. */
static int64_t ends_in_ns(const struct limit *l, const struct fixed *f, struct budget_now now)
{
    const int64_t by_wall_ns = f->end_ns - now.wall_ns, by_mono_ns = over_at_mono_ns(l, f) - now.mono_ns;

    return f->used > 0 && by_mono_ns < by_wall_ns ? by_mono_ns : by_wall_ns;
}

/* The window as it is at `now`: begun anew where the last one has ended. */
static struct fixed fixed_now(const struct limit *l, struct budget_now now)
{
    struct fixed f = l->is.fixed;
    int64_t      begin_ns, end_ns;
    const bool   is_over = f.used > 0 && now.mono_ns >= over_at_mono_ns(l, &f);

    if (f.end_ns != 0 && now.wall_ns < f.end_ns && now.wall_ns >= f.begin_ns - FAR_NS && !is_over)
        return f;
    window_at(l, now.wall_ns, &begin_ns, &end_ns);
    if (f.end_ns == 0 || now.wall_ns >= f.end_ns || is_over) {
        f.used = f.own = !is_over && now.wall_ns - f.end_ns < l->window_ns ? f.late : 0;
        f.late = 0;
        f.is_doubtful = false;
    }
    f.begin_ns = begin_ns;
    f.end_ns = end_ns;
    return f;
}

static void window_init(struct limit *l)
{
    l->is.fixed = (struct fixed){ 0 };
}

static void window_fini(struct limit *l)
{
    (void)l;
}

static uint64_t left_in(const struct limit *l, const struct fixed *f)
{
    uint64_t count = limit_count(l);

    return f->used < count ? count - f->used : 0;
}

static int64_t wait_until(const struct limit *l, const struct fixed *f, uint64_t ahead, int64_t ends_in_ns)
{
    uint64_t left = left_in(l, f);

    if (ahead < left)
        return 0;
    return time_add(ends_in_ns, time_times(l->window_ns, (ahead - left) / limit_count(l)));
}

static int64_t fixed_wait_ns(const struct limit *l, uint64_t cost, struct budget_now now)
{
    struct fixed f = fixed_now(l, now);

    return cost <= left_in(l, &f) ? 0 : ends_in_ns(l, &f, now);
}

static void use(const struct limit *l, struct fixed *f, uint64_t cost, int64_t now_ns)
{
    int64_t late_ns = l->window_ns / LATE_PART < LATE_NS ? l->window_ns / LATE_PART : LATE_NS;

    f->used = f->used + cost >= f->used ? f->used + cost : UINT64_MAX;
    f->own = f->own + cost >= f->own ? f->own + cost : UINT64_MAX;
    if (f->is_doubtful || now_ns >= f->end_ns - late_ns)
        f->late += cost;
}

static void fixed_spend(struct limit *l, uint64_t cost, struct budget_now now)
{
    l->is.fixed = fixed_now(l, now);
    use(l, &l->is.fixed, cost, now.wall_ns);
    l->is.fixed.spent_mono_ns = now.mono_ns;
}

/* Only what was spent in this window may be spent in it once more. */
static void unuse(struct fixed *f, uint64_t cost, int64_t spent_ns)
{
    if (f->end_ns != 0 && spent_ns >= f->begin_ns && spent_ns < f->end_ns) {
        f->used -= cost < f->used ? cost : f->used;
        f->own -= cost < f->own ? cost : f->own;
    }
}

static void fixed_give_back(struct limit *l, uint64_t cost, struct budget_now spent)
{
    unuse(&l->is.fixed, cost, spent.wall_ns);
}

static int64_t fixed_predict_ns(const struct limit *l, uint64_t ahead, struct budget_now now)
{
    struct fixed f = fixed_now(l, now);

    return wait_until(l, &f, ahead, ends_in_ns(l, &f, now));
}

static uint64_t fixed_left(const struct limit *l, struct budget_now now)
{
    struct fixed f = fixed_now(l, now);

    return left_in(l, &f);
}

static int64_t fixed_whole_in_ns(const struct limit *l, struct budget_now now)
{
    struct fixed f = fixed_now(l, now);

    return f.used > 0 ? ends_in_ns(l, &f, now) : 0;
}

static size_t window_image_bytes(const struct limit *l)
{
    (void)l;
    return IMAGE_BYTES;
}

static size_t save_window(const struct fixed *f, void *out, int64_t begin_ns, int64_t end_ns)
{
    uint64_t values[IMAGE_BYTES / sizeof(uint64_t)] = { (uint64_t)begin_ns, (uint64_t)end_ns, f->used, f->late,
                                                        (f->own < OWN_MOST ? f->own : OWN_MOST) << OWN_SHIFT |
                                                            (f->end_is_told ? IS_TOLD : 0) |
                                                            (f->is_doubtful ? IS_DOUBTFUL : 0) };

    memcpy(out, values, sizeof values);
    return sizeof values;
}

static bool load_window(struct fixed *f, const void *in, size_t bytes)
{
    uint64_t values[IMAGE_BYTES / sizeof(uint64_t)];

    if (bytes != sizeof values)
        return false;
    memcpy(values, in, sizeof values);
    if ((int64_t)values[1] < (int64_t)values[0])
        return false;
    *f = (struct fixed){ .begin_ns = (int64_t)values[0],
                         .end_ns = (int64_t)values[1],
                         .used = values[2],
                         .late = values[3],
                         .own = values[4] >> OWN_SHIFT,
                         .end_is_told = (values[4] & IS_TOLD) != 0,
                         .is_doubtful = (values[4] & IS_DOUBTFUL) != 0 };
    return true;
}

static size_t fixed_save(const struct limit *l, void *out, struct budget_now now)
{
    struct fixed f = fixed_now(l, now);

    return save_window(&f, out, f.begin_ns, f.end_ns);
}

/* Over a reboot nobody knows whether the wall clock is right: an hour more, to be sure, but no longer than a
 * window from now, when it is over in any case.  What is spent until then may belong to the next window. */
static bool fixed_restore(struct limit *l, const void *in, size_t bytes, int64_t elapsed_ns, bool same_boot,
                          struct budget_now now)
{
    struct fixed f;

    (void)elapsed_ns;
    if (!load_window(&f, in, bytes))
        return false;
    if (!same_boot && f.end_ns != 0 && f.used > 0) {
        f.end_ns = time_add(f.end_ns, HOUR_NS);
        if (f.end_ns > time_add(now.wall_ns, l->window_ns))
            f.end_ns = time_add(now.wall_ns, l->window_ns);
        f.is_doubtful = true;
    }
    f.spent_mono_ns = now.mono_ns; /* at the latest */
    l->is.fixed = f;
    return true;
}

/* -- window learned: begins with the first request, or when the API says; monotonic time -- */

static struct fixed learned_now(const struct limit *l, struct budget_now now)
{
    struct fixed f = l->is.fixed;

    if (f.end_ns != 0 && now.mono_ns < f.end_ns)
        return f;
    f.used = f.end_ns != 0 && now.mono_ns - f.end_ns < l->window_ns ? f.late : 0;
    return (struct fixed){ .begin_ns = now.mono_ns,
                           .used = f.used,
                           .own = f.used,
                           .end_ns = time_add(now.mono_ns, time_add(l->window_ns, LIMIT_GUARD_NS)) };
}

static int64_t learned_wait_ns(const struct limit *l, uint64_t cost, struct budget_now now)
{
    struct fixed f = learned_now(l, now);
    uint64_t     count = limit_count(l);

    if (cost > count) /* of less than one request costs, the whole window goes */
        cost = count;
    return cost <= left_in(l, &f) ? 0 : f.end_ns - now.mono_ns;
}

static void learned_spend(struct limit *l, uint64_t cost, struct budget_now now)
{
    l->is.fixed = learned_now(l, now);
    use(l, &l->is.fixed, cost, now.mono_ns);
}

static void learned_give_back(struct limit *l, uint64_t cost, struct budget_now spent)
{
    unuse(&l->is.fixed, cost, spent.mono_ns);
}

static int64_t learned_predict_ns(const struct limit *l, uint64_t ahead, struct budget_now now)
{
    struct fixed f = learned_now(l, now);

    return wait_until(l, &f, ahead, f.end_ns - now.mono_ns);
}

static uint64_t learned_left(const struct limit *l, struct budget_now now)
{
    struct fixed f = learned_now(l, now);

    return left_in(l, &f);
}

static int64_t learned_whole_in_ns(const struct limit *l, struct budget_now now)
{
    struct fixed f = learned_now(l, now);

    return f.used > 0 ? f.end_ns - now.mono_ns : 0;
}

static size_t learned_save(const struct limit *l, void *out, struct budget_now now)
{
    struct fixed f = learned_now(l, now);

    if (f.used == 0 && !f.end_is_told)
        return save_window(&f, out, 0, 0);
    return save_window(&f, out, f.begin_ns - now.mono_ns, f.end_ns - now.mono_ns);
}

static bool learned_restore(struct limit *l, const void *in, size_t bytes, int64_t elapsed_ns, bool same_boot,
                            struct budget_now now)
{
    struct fixed f;
    int64_t      shift_ns = now.mono_ns - elapsed_ns;

    (void)same_boot;
    if (!load_window(&f, in, bytes))
        return false;
    if (f.end_ns != 0) {
        f.begin_ns = time_add(f.begin_ns, shift_ns);
        f.end_ns = time_add(f.end_ns, shift_ns);
    }
    l->is.fixed = f;
    return true;
}

/*
 * A reset near the one known is the same window: it may only tighten, which
 * the limit's caps do.  A later one means that the API began a window, and the
 * API's word is what this kind of limit goes by.  An earlier one counts
 * only where the end was Weir's own guess.
 */
void limit_learned_told(struct limit *l, const struct limit_word *w, struct budget_now now)
{
    struct fixed *f = &l->is.fixed;
    int64_t       reset_ns = time_add(now.mono_ns, time_add(w->reset_in_ns, LIMIT_GUARD_NS));
    uint64_t      left = w->remaining > 0 ? (uint64_t)w->remaining : 0, count = limit_count(l);
    uint64_t      used = left < count ? count - left : 0;

    *f = learned_now(l, now);
    if (f->end_is_told && reset_ns < f->end_ns - SAME_RESET_NS)
        return;
    if (f->end_is_told && reset_ns > f->end_ns + SAME_RESET_NS) {
        f->begin_ns = now.mono_ns;
        /* Where the API allows more than is configured, the one that this answers is still counted. */
        f->used = used == 0 && w->allowed > 0 && (uint64_t)w->allowed > l->count ? 1 : used;
        f->own = f->used > 0 ? 1 : 0;
    } else if (used > f->used) {
        f->used = used;
    }
    f->end_ns = f->end_is_told && f->end_ns > reset_ns ? f->end_ns : reset_ns;
    f->end_is_told = true;
}

void limit_learned_forget(struct limit *l)
{
    struct fixed *f = &l->is.fixed;

    if (f->end_ns == 0)
        return;
    if (f->used > f->own)
        f->used = f->own;
    if (f->end_is_told)
        f->end_ns = time_add(f->begin_ns, time_add(l->window_ns, LIMIT_GUARD_NS));
    f->end_is_told = false;
}

const struct limit_kind_ops limit_fixed_ops = {
    .init = window_init,
    .fini = window_fini,
    .wait_ns = fixed_wait_ns,
    .spend = fixed_spend,
    .give_back = fixed_give_back,
    .predict_ns = fixed_predict_ns,
    .left = fixed_left,
    .whole_in_ns = fixed_whole_in_ns,
    .image_bytes = window_image_bytes,
    .save = fixed_save,
    .restore = fixed_restore,
};

const struct limit_kind_ops limit_learned_ops = {
    .init = window_init,
    .fini = window_fini,
    .wait_ns = learned_wait_ns,
    .spend = learned_spend,
    .give_back = learned_give_back,
    .predict_ns = learned_predict_ns,
    .left = learned_left,
    .whole_in_ns = learned_whole_in_ns,
    .image_bytes = window_image_bytes,
    .save = learned_save,
    .restore = learned_restore,
};
