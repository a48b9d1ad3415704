/*
 * A worker's share of the tasks: those that came to it.  Those of an earlier run are the first worker's, so that they
 * stand in line as they did.
 */
#include "jobs/task.h"

#include <stdlib.h>

enum { BEGUN_AT_ONCE = 64 };

/* The next ones of an earlier run, a reference each; how many. */
static unsigned next_of_earlier(struct desk *d, struct task *out[BEGUN_AT_ONCE])
{
    unsigned     count = 0;
    struct task *t;

    jobs_lock(d->jobs);
    TAILQ_FOREACH (t, &d->jobs->all, entry) {
        if (t->number <= d->begun || !t->is_loaded || t->state != TASK_QUEUED || t->has_coming)
            continue;
        d->begun = t->number;
        task_acquire(t);
        out[count++] = t;
        if (count == BEGUN_AT_ONCE)
            break;
    }
    jobs_unlock(d->jobs);
    return count;
}

static void begin_some(struct desk *d)
{
    struct task *some[BEGUN_AT_ONCE];
    unsigned     count = d->index == 0 && !d->is_stopping ? next_of_earlier(d, some) : 0;

    for (unsigned i = 0; i < count; i++) {
        perform_start(d, some[i]);
        task_release(some[i]);
    }
    if (count < BEGUN_AT_ONCE)
        engine_let_go(d->engine);
    else
        mailbox_post(d->mailbox, &d->again);
}

static void receive_again(struct mail *m)
{
    begin_some(CONTAINER_OF(m, struct desk, again));
}

static void tick(struct engine_ticker *ticker, int64_t now_ns)
{
    struct desk *d = CONTAINER_OF(ticker, struct desk, ticker);
    unsigned     again = 0;

    for (struct performance *p = LIST_FIRST(&d->performances), *next; p != NULL && again < BEGUN_AT_ONCE; p = next) {
        next = perform_next(p);
        again += perform_again(p, now_ns);
    }
}

void *desk_open(struct engine *e, struct jobs *jobs, struct mailbox *mailbox, unsigned index, unsigned count)
{
    struct desk *d = mem_alloc(sizeof *d);

    d->engine = e;
    d->jobs = jobs;
    d->mailbox = mailbox;
    d->index = index;
    (void)count;
    d->again.receive = receive_again;
    d->ticker.tick = tick;
    engine_add_ticker(e, &d->ticker);
    engine_hold(e); /* until those of an earlier run are begun */
    return d;
}

void desk_begin(void *desk)
{
    begin_some(desk);
}

static void end_those(struct desk *d, bool sent_too)
{
    struct performance *p = LIST_FIRST(&d->performances), *next;

    for (; p != NULL; p = next) {
        next = perform_next(p);
        if (sent_too || !perform_is_sent(p))
            perform_end(p);
    }
}

/* What waits is begun by the next run; what is at the API may come to its end. */
void desk_stop(void *desk)
{
    struct desk *d = desk;

    d->is_stopping = true;
    end_those(d, false);
    for (struct waiting *w = LIST_FIRST(&d->waiting), *next; w != NULL; w = next) {
        next = LIST_NEXT(w, entry);
        w->stop(w);
    }
}

void desk_end(void *desk)
{
    end_those(desk, true);
}

bool desk_is_busy(const void *desk)
{
    return !LIST_EMPTY(&((const struct desk *)desk)->performances);
}

void desk_close(void *desk)
{
    engine_drop_ticker(&((struct desk *)desk)->ticker);
    free(desk);
}
