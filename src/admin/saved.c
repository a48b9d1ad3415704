/*
 * /saved: calls that were not made, waiting that nobody had to do, bytes that were not loaded, today.
 *
 * Waiting is estimated: each answer out of the cache would have taken as long as that API took on average since the
 * start, and what was asked of it waited in its queue.
 */
#include "admin/saved.h"

#include "admin/internal.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/traffic.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { UPSTREAMS_AT_ONCE = 32 };

struct beginning { /* of the day, of one upstream */
    char               *name;
    struct saved_counts counts;
};

struct saved {
    pthread_mutex_t   lock;                        /* of all that follows: main alone writes it */
    int64_t           since_wall_ns, next_wall_ns; /* the next day's beginning */
    uint64_t          shared;
    struct beginning *beginnings;
    unsigned          count;
};

/* Local midnight after that; an hour where the calendar does not say. */
static int64_t next_midnight_ns(int64_t wall_ns)
{
    const time_t t = (time_t)(wall_ns / NS_PER_SEC);
    struct tm    parts = { 0 };
    int64_t      next_ns;

    if (localtime_r(&t, &parts) == NULL)
        return wall_ns + 3600 * NS_PER_SEC;
    parts.tm_mday++;
    parts.tm_hour = parts.tm_min = parts.tm_sec = 0;
    parts.tm_isdst = -1;
    next_ns = (int64_t)mktime(&parts) * NS_PER_SEC;
    return next_ns > wall_ns ? next_ns : wall_ns + 3600 * NS_PER_SEC;
}

static void forget_day(struct saved *s)
{
    for (unsigned i = 0; i < s->count; i++)
        free(s->beginnings[i].name);
    free(s->beginnings);
    s->beginnings = NULL;
    s->count = 0;
}

static void begin_day(struct saved *s, int64_t now_wall_ns)
{
    s->since_wall_ns = now_wall_ns;
    s->next_wall_ns = next_midnight_ns(now_wall_ns);
    s->shared = counter_sum(COUNTER_COLLAPSED);
}

struct saved *saved_open(int64_t now_wall_ns)
{
    struct saved *s = mem_alloc(sizeof *s);

    pthread_mutex_init(&s->lock, NULL);
    begin_day(s, now_wall_ns);
    return s;
}

void saved_close(struct saved *s)
{
    if (s == NULL)
        return;
    forget_day(s);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Since the start, or since the configuration has the upstream. */
static struct saved_counts counts_of(const struct config_upstream *up)
{
    struct traffic_sum  sum = { 0 };
    struct saved_counts c = { 0 };

    traffic_gather(&sum, up->traffic);
    for (unsigned i = 0; i < TRAFFIC_CELLS; i++) {
        const unsigned outcome = i % TRAFFIC_OUTCOMES;
        const bool     is_served = outcome == TRAFFIC_HIT || outcome == TRAFFIC_STALE;

        c.requests += outcome != TRAFFIC_OWN ? sum.requests[i] : 0;
        c.served += is_served ? sum.requests[i] : 0;
        c.bytes += is_served || outcome == TRAFFIC_REVALIDATED ? sum.sent[i] : 0;
    }
    return c;
}

void saved_tick(struct saved *s, const struct config *config, int64_t now_wall_ns)
{
    if (now_wall_ns < s->next_wall_ns && now_wall_ns >= s->since_wall_ns) /* or the clock was set back */
        return;
    pthread_mutex_lock(&s->lock);
    forget_day(s);
    begin_day(s, now_wall_ns);
    s->beginnings = mem_alloc((config->upstream_count + 1) * sizeof *s->beginnings);
    for (; s->count < config->upstream_count; s->count++)
        s->beginnings[s->count] = (struct beginning){ mem_copy(slice_of(config->upstreams[s->count].route.name)),
                                                      counts_of(&config->upstreams[s->count]) };
    pthread_mutex_unlock(&s->lock);
}

int64_t saved_left_ns(const struct saved *s, int64_t now_wall_ns)
{
    return s->next_wall_ns > now_wall_ns ? s->next_wall_ns - now_wall_ns : 0;
}

static uint64_t less(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

struct saved_counts saved_of(struct saved *s, const struct config_upstream *up)
{
    struct saved_counts c = counts_of(up);

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->count; i++) {
        const struct saved_counts *before = &s->beginnings[i].counts;

        /* one that was taken away and came again counts anew */
        if (strcmp(s->beginnings[i].name, up->route.name) == 0 && before->requests <= c.requests)
            c = (struct saved_counts){ less(c.requests, before->requests), less(c.served, before->served),
                                       less(c.bytes, before->bytes) };
    }
    pthread_mutex_unlock(&s->lock);
    return c;
}

uint64_t saved_shared(struct saved *s)
{
    uint64_t before;

    pthread_mutex_lock(&s->lock);
    before = s->shared;
    pthread_mutex_unlock(&s->lock);
    return less(counter_sum(COUNTER_COLLAPSED), before);
}

int64_t saved_since_wall_ns(struct saved *s)
{
    int64_t since;

    pthread_mutex_lock(&s->lock);
    since = s->since_wall_ns;
    pthread_mutex_unlock(&s->lock);
    return since;
}

/* -- the endpoint -- */

struct saving {
    uint64_t requests, calls, bytes;
    double   waiting_s;
};

static double mean_s(const struct histogram_sum *h)
{
    return h->count > 0 ? (double)h->sum_ns / (double)h->count / NS_PER_SEC : 0;
}

static void add(struct admin_call *call, const struct upstream_report_entry *e)
{
    const struct config_upstream *up = config_find_upstream(call->config, e->name);
    struct saving                *total = call->own.state;
    struct traffic_sum            sum = { 0 };
    struct saved_counts           c;

    if (up == NULL)
        return;
    c = saved_of(call->admin->services->saved, up);
    traffic_gather(&sum, up->traffic);
    total->requests += c.requests;
    total->calls += c.served;
    total->bytes += c.bytes;
    total->waiting_s += (double)c.served * (mean_s(&e->took) + mean_s(&sum.queue));
}

static void answer(struct admin_call *call)
{
    struct saved  *s = call->admin->services->saved;
    struct saving *total = call->own.state;
    const time_t   since = (time_t)(saved_since_wall_ns(s) / NS_PER_SEC);
    struct tm      parts;
    char           text[40] = "";

    if (gmtime_r(&since, &parts) != NULL)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    admin_answer_json(call, 200,
                      json_pack("{s:s, s:I, s:I, s:f, s:I}", "since", text, "requests", (json_int_t)total->requests,
                                "calls", (json_int_t)(total->calls + saved_shared(s)), "waiting_s", total->waiting_s,
                                "bytes", (json_int_t)total->bytes));
}

static void page_known(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, report.done);

    if (!admin_resume(call))
        return;
    for (unsigned i = 0; i < call->report.count; i++)
        add(call, &call->report.entries[i]);
    if (!call->report.has_more) {
        answer(call);
        return;
    }
    arena_reset(&call->report.arena);
    admin_ask_upstream(call, page_known);
}

static void run(struct admin_call *call)
{
    call->own = (struct admin_own){ .state = mem_alloc(sizeof(struct saving)), .free = free };
    call->report.most = UPSTREAMS_AT_ONCE;
    admin_ask_upstream(call, page_known);
}

const struct endpoint endpoint_saved = { "/saved", HTTP_GET, run, ON_ADMIN_SOCKET_ALONE };
