/*
 * What would happen to a request, in the words of one line: weirctl and the page show it as it is.
 */
#include "admin/explaining.h"

#include "base/clock.h"
#include "http/problem.h"

/* "1.2 s", "5 min", "3 h", "30 d": rounded to what is read at a glance. */
static struct slice span(int64_t ns, struct arena *a)
{
    static const struct {
        int64_t     s;
        const char *name;
    } units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" } };
    int64_t s = ns / NS_PER_SEC;

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (s >= 2 * units[i].s || (s >= units[i].s && s % units[i].s == 0))
            return arena_printf(a, "%lld %s", (long long)(s / units[i].s), units[i].name);
    return arena_printf(a, "%.1f s", (double)ns / NS_PER_SEC);
}

static struct slice time_of_day(const struct policy_ttl *t, struct arena *a)
{
    return arena_printf(a, "%02u:%02u %s", t->minute / 60, t->minute % 60, zone_name(t->zone));
}

static struct slice kept_text(const struct explained *o, struct arena *a)
{
    struct slice time;

    if (!o->has_key || !o->decision.may_store || o->kept.kind == TTL_NEVER)
        return SLICE("not kept");
    time = span(o->kept_ns, a);
    switch (o->kept.kind) {
    case TTL_FIXED:
        return ARENA_JOIN(a, SLICE("kept for "), time);
    case TTL_UNTIL:
        return ARENA_JOIN(a, SLICE("kept until "), time_of_day(&o->kept, a));
    case TTL_FOREVER:
        return SLICE("kept for ever");
    case TTL_REVALIDATE:
        return SLICE("kept, and asked about each time");
    case TTL_ORIGIN_ELSE:
        return ARENA_JOIN(a, SLICE("kept as the API says, else for "), time);
    case TTL_ORIGIN_ELSE_UNTIL:
        return ARENA_JOIN(a, SLICE("kept as the API says, else until "), time_of_day(&o->kept, a));
    default:
        return SLICE("kept as the API says");
    }
}

/* "60/min: 60 of 60 used" */
static struct slice limit_text(const struct explained *o, struct arena *a)
{
    const struct upstream_foretelling *f = o->foretold;
    const struct budget_word          *b = &o->fetch->outcome.budget;

    if (f->told_by != NULL && f->told_by[0] != '\0')
        return ARENA_JOIN(a, slice_of(f->limit), SLICE(", "), slice_of(f->told_by), SLICE(" of the API"));
    if (strcmp(f->limit, "queue") == 0)
        return arena_printf(a, "all places at the API are taken: %u under way, %u waiting", f->in_flight, f->waiting);
    if (b->allowed > 0 && strcmp(b->limit, f->limit) == 0)
        return arena_printf(a, "%s: %llu of %llu used", f->limit, (unsigned long long)(b->allowed - b->left),
                            (unsigned long long)b->allowed);
    return slice_of(f->limit);
}

static struct slice sent_text(const struct explained *o, struct arena *a)
{
    const struct upstream_foretelling *f = o->foretold;
    const char                        *what = o->fetch->stored.validating ? ", whether what is stored still holds" : "";
    struct slice                       before = SLICE("");
    struct slice                       cost = f->cost > 0 ? arena_printf(a, ", cost %u", f->cost) : SLICE("");

    if (f->joins)
        before = SLICE("share the answer to an equal request that is under way: ");
    else if (f->wait_ns > 0)
        before = arena_printf(a, "wait " SLICE_FMT " (" SLICE_FMT "), then ", SLICE_ARG(span(f->wait_ns, a)),
                              SLICE_ARG(limit_text(o, a)));
    return arena_printf(a, SLICE_FMT SLICE_FMT "%s" SLICE_FMT ", " SLICE_FMT "; %u attempt%s", SLICE_ARG(before),
                        SLICE_ARG(o->fetch->request.method_name), what, SLICE_ARG(cost), SLICE_ARG(kept_text(o, a)),
                        o->up->fetch.retry.attempts, o->up->fetch.retry.attempts == 1 ? "" : "s");
}

static struct slice early_text(const struct explained *o, struct arena *a)
{
    if (o->early_in_ns == INT64_MAX)
        return SLICE("");
    if (o->early_in_ns == 0)
        return SLICE("; it is late in its life, so a hit has it asked about (prefetch)");
    return ARENA_JOIN(a, SLICE("; in "), span(o->early_in_ns, a), SLICE(" a hit has it asked about (prefetch)"));
}

static struct slice served_text(const struct explained *o, struct arena *a)
{
    const struct decision *d = &o->decision;

    if (o->answer.cache != NULL && strcmp(o->answer.cache, "stale") == 0)
        return arena_printf(a, "serve what is stored, though stale for " SLICE_FMT " (%s): %u",
                            SLICE_ARG(span(d->ttl_ns < 0 ? -d->ttl_ns : 0, a)),
                            o->answer.detail != NULL ? o->answer.detail : "", o->answer.status);
    if (d->ttl_ns == INT64_MAX)
        return arena_printf(a, "serve what is stored, which stays fresh: %u", o->answer.status);
    return arena_printf(a, "serve what is stored, fresh for another " SLICE_FMT ": %u" SLICE_FMT,
                        SLICE_ARG(span(d->ttl_ns, a)), o->answer.status, SLICE_ARG(early_text(o, a)));
}

/* The problem's own words stand in its body. */
static struct slice answered_text(const struct explained *o, struct arena *a)
{
    json_t *problem = o->answer.body.ptr != NULL ? json_loadb(o->answer.body.ptr, o->answer.body.len, 0, NULL) : NULL;
    const char  *title = json_string_value(json_object_get(problem, "title"));
    const char  *detail = json_string_value(json_object_get(problem, "detail"));
    const bool   is_dry = o->answer.detail != NULL && strcmp(o->answer.detail, "dry-run") == 0;
    struct slice text;

    if (o->answer.status == 0)
        return SLICE("be answered by Weir itself");
    text = title != NULL ? arena_printf(a, "answer %u %s: %s", o->answer.status, title, detail != NULL ? detail : "")
                         : arena_printf(a, "answer %u by itself%s", o->answer.status, is_dry ? ", in a dry run" : "");
    json_decref(problem);
    return text;
}

struct slice explaining_would(const struct explained *o, struct arena *a)
{
    switch (o->end) {
    case EXPLAIN_SERVED:
        return served_text(o, a);
    case EXPLAIN_SENT:
        return sent_text(o, a);
    case EXPLAIN_PURGED:
        return SLICE("drop what is stored of this URL for whoever asks");
    case EXPLAIN_ANSWERED:
        break;
    }
    return answered_text(o, a);
}
