/*
 * What a request hears that the budget or the queue turned away: the true cause, until when,
 * and what would help.
 */
#include "engine/internal.h"

#include "base/clock.h"

/* "12.3 s", "5 min 10 s", "3 h 5 min", "2 d 3 h". */
static struct slice in_words(struct exchange *x, int64_t ns)
{
    static const struct {
        int64_t     s;
        const char *name;
    } units[] = {
        { 86400, "d" },
        { 3600, "h" },
        { 60, "min" },
        { 1, "s" },
    };
    int64_t s = (ns + NS_PER_SEC - 1) / NS_PER_SEC;

    for (size_t i = 0; i + 1 < sizeof units / sizeof *units; i++)
        if (s >= units[i].s)
            return arena_printf(&x->arena, "%lld %s %lld %s", (long long)(s / units[i].s), units[i].name,
                                (long long)(s % units[i].s / units[i + 1].s), units[i + 1].name);
    return arena_printf(&x->arena, "%.1f s", (double)ns / NS_PER_SEC);
}

/* The limit of that name, where it begins anew at a time of day; else NULL. */
static const struct limit_options *daily(const struct exchange *x, const char *name)
{
    const struct upstream_options *o = &x->up->fetch;

    for (unsigned i = 0; name != NULL && i < o->limit_count; i++)
        if (strcmp(o->limits[i].name, name) == 0 && o->limits[i].kind == LIMIT_FIXED)
            return &o->limits[i];
    return NULL;
}

/* What costs more than its limit ever allows waits for ever. */
static bool is_never(const struct fetch *f)
{
    return f->said.wait_ns >= INT64_MAX / 2 && !f->said.queue_full && f->said.blocked_by == NULL;
}

/* What bounds the requests at the API. Over HTTP/2 it may be the first though the second is less. */
static struct slice bound(struct exchange *x, const struct upstream_options *o)
{
    if (o->max_in_flight == 0)
        return arena_printf(&x->arena, "max_connections = %u", o->origin.max_connections);
    if (o->max_in_flight <= o->origin.max_connections)
        return arena_printf(&x->arena, "max_in_flight = %u", o->max_in_flight);
    return arena_printf(&x->arena, "max_in_flight = %u, max_connections = %u", o->max_in_flight,
                        o->origin.max_connections);
}

static struct slice detail(struct exchange *x)
{
    const struct fetch            *f = x->fetch;
    const struct upstream_options *o = &x->up->fetch;
    const struct limit_options    *day = daily(x, f->said.limit);
    const char                    *name = x->up->route.name;
    struct slice                   wait = is_never(f) ? SLICE("") : in_words(x, f->said.wait_ns);

    if (f->said.queue_full)
        return arena_printf(&x->arena,
                            "The queue of upstream %s is full: %u requests wait there (queue.max_length); "
                            "try again later, or raise it.",
                            name, o->queue.max_length);
    if (is_never(f))
        return arena_printf(&x->arena,
                            "This request can never pass the limit \"%s\" of upstream %s, since it costs "
                            "more than that allows at any time. To try again is of no use: the limit's cost setting "
                            "is wrong.",
                            f->said.limit != NULL ? f->said.limit : "", name);
    if (f->said.blocked_by != NULL)
        return arena_printf(&x->arena,
                            "Upstream %s itself asked to wait (%s), for another " SLICE_FMT ", longer than "
                            "this request may; try again then. Where the API is wrong, weirctl limits forget %s drops "
                            "what it said.",
                            name, f->said.blocked_by, SLICE_ARG(wait), name);
    if (day != NULL)
        return arena_printf(&x->arena,
                            "The limit \"%s\" of upstream %s is used up; it begins anew at %02u:%02u %s, in " SLICE_FMT
                            ", longer than this request may wait.",
                            f->said.limit, name, day->start_minute / 60, day->start_minute % 60,
                            day->zone != NULL ? day->zone : "UTC", SLICE_ARG(wait));
    if (f->said.limit == NULL || strcmp(f->said.limit, "queue") == 0)
        return arena_printf(&x->arena,
                            "All requests that may be at upstream %s at one time (" SLICE_FMT ") are under "
                            "way, and as long as that API takes of late this one would wait for another " SLICE_FMT
                            ", longer than it may; try again then, or raise queue.max_wait or Weir-Max-Wait.",
                            name, SLICE_ARG(bound(x, o)), SLICE_ARG(wait));
    return arena_printf(&x->arena,
                        "The limit \"%s\" of upstream %s would make this request wait for " SLICE_FMT
                        ", longer than it may; try again then, or raise queue.max_wait or Weir-Max-Wait.",
                        f->said.limit, name, SLICE_ARG(wait));
}

enum step refused_reply(struct exchange *x)
{
    const struct fetch *f = x->fetch;
    enum problem_kind   kind = f->said.queue_full           ? PROBLEM_QUEUE_FULL
                               : f->said.blocked_by != NULL ? PROBLEM_UPSTREAM_WAIT
                                                            : PROBLEM_OVER_BUDGET;

    return reply_problem(x, &(struct problem){ .kind = kind,
                                               .reason = "over-budget",
                                               .retry_after_ns = is_never(f) ? -1 : f->said.wait_ns,
                                               .blocked_by = f->said.queue_full ? NULL : f->said.blocked_by,
                                               .limit = f->said.limit != NULL ? f->said.limit : "queue",
                                               .detail = detail(x) });
}
