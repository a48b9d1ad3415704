/*
 * What waits for a task, on a worker: it hears of its changes, looks once a tick, says its answer once, and outlives
 * its exchange until no mail is on its way to it.
 */
#include "jobs/task.h"

#include "base/clock.h"
#include "http/prefer.h"

#include <stdio.h>
#include <stdlib.h>

static void look(struct waiting *w)
{
    if (!w->closed)
        w->look(w);
}

static void receive_watch(struct mail *m)
{
    look(CONTAINER_OF(CONTAINER_OF(m, struct task_watch, mail), struct waiting, watch));
}

static void receive_first(struct mail *m)
{
    look(CONTAINER_OF(m, struct waiting, first));
}

static void receive_fence(struct mail *m)
{
    struct waiting *w = CONTAINER_OF(m, struct waiting, fence);
    struct engine  *e = w->desk->engine;

    task_release(w->task);
    if (w->free != NULL)
        w->free(w);
    free(w);
    engine_let_go(e);
}

static void tick(struct engine_ticker *ticker, int64_t now_ns)
{
    struct waiting *w = CONTAINER_OF(ticker, struct waiting, ticker);

    if (w->tick != NULL)
        w->tick(w, now_ns);
    else
        w->look(w);
}

void waiting_begin(struct waiting *w, struct exchange *x, void (*look_at)(struct waiting *))
{
    const struct prefer p = prefer_read(&service_asked(x)->fields);

    w->outer = x;
    w->desk = service_desk(x);
    w->asked_ns = clock_mono_ns();
    w->wait_ns = p.wait_ns > 0 ? p.wait_ns : 0;
    w->look = w->stop = look_at;
    w->watch.mailbox = w->desk->mailbox;
    w->watch.mail.receive = receive_watch;
    w->first.receive = receive_first;
    w->fence.receive = receive_fence;
    w->ticker.tick = tick;
    engine_hold(w->desk->engine);
    engine_add_ticker(w->desk->engine, &w->ticker);
    LIST_INSERT_HEAD(&w->desk->waiting, w, entry);
}

void waiting_look_later(struct waiting *w)
{
    w->outside = true;
    mailbox_post(w->desk->mailbox, &w->first);
}

void waiting_end(struct waiting *w)
{
    w->closed = true;
    LIST_REMOVE(w, entry);
    engine_drop_ticker(&w->ticker);
    jobs_lock(w->desk->jobs);
    task_unwatch(&w->watch);
    jobs_unlock(w->desk->jobs);
    mailbox_post(w->desk->mailbox, &w->fence);
}

bool waiting_is_over(const struct waiting *w, int64_t ns)
{
    return w->desk->is_stopping || clock_mono_ns() - w->asked_ns >= ns;
}

void waiting_answered(struct waiting *w)
{
    w->answered = true;
    if (w->outside)
        service_wake(w->outer);
}

void waiting_refuse(struct waiting *w, enum problem_kind kind, const char *detail)
{
    service_refuse(w->outer, kind, slice_of(detail));
    waiting_answered(w);
}

void waiting_say(struct waiting *w, unsigned status, json_t *shown, int64_t retry_s)
{
    char *text = json_dumps(shown, JSON_COMPACT), seconds[24];

    json_decref(shown);
    service_text(w->outer, status, "application/json", slice_of(text));
    free(text);
    snprintf(seconds, sizeof seconds, "%lld", (long long)retry_s);
    if (retry_s > 0)
        service_add_field(w->outer, "Retry-After", slice_of(seconds));
}

bool waiting_is_up_to_date(struct waiting *w)
{
    const int64_t now = clock_mono_ns();
    bool          is_fresh;

    jobs_lock(w->desk->jobs);
    w->watch.armed = true;
    is_fresh = task_outlook_is_fresh(w->task, w->looks_ns > 0 ? w->looks_ns : now);
    jobs_unlock(w->desk->jobs);
    if (w->looks_ns == 0)
        w->looks_ns = now;
    return is_fresh || w->desk->is_stopping || now - w->looks_ns >= NS_PER_SEC;
}

void waiting_say_state(struct waiting *w, unsigned status)
{
    const int64_t now = clock_wall_ns();
    json_t       *shown;
    int64_t       retry_s;

    jobs_lock(w->desk->jobs);
    shown = task_show(w->outer, w->task, now);
    retry_s = status != 202 && TASK_HAS_ENDED(task_state_at(w->task, now)) ? 0 : task_retry_s(w->task, now);
    jobs_unlock(w->desk->jobs);
    waiting_say(w, status, shown, retry_s);
}
