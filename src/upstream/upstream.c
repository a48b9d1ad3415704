/*
 * The upstream thread: mail, origin/'s sockets and timers in one epoll loop.
 *
 * A round is: what the descriptors brought, timers that are due, what curl
 * has finished, and then everything that may be sent now, at once.  Nothing is sent from
 * within a callback of curl's, which must not be entered twice.
 */
#include "upstream/internal.h"

#include "base/check.h"
#include "base/wait.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EVENTS = 64 };

#define FAKE_CLOCK_NS (20 * NS_PER_MS)

/* -- the loop -- */

static int64_t sleep_ns(const struct upstream *up)
{
    int64_t next = timers_next_ns(&up->timers);
    int64_t left = next - clock_mono_ns();
    int64_t most = up->fake_clock ? FAKE_CLOCK_NS : 60 * NS_PER_SEC;

    if (next == INT64_MAX)
        return up->fake_clock ? FAKE_CLOCK_NS : WAIT_FOR_EVER;
    if (left <= 0)
        return 0;
    return left < most ? left : most;
}

/* A short body mostly comes with its head: told of both at once, the worker answers in one piece, without a stream. */
static void origins_act(void *context, bool begins)
{
    struct upstream *up = context;

    up->holds = begins;
    if (!begins)
        waiter_post_held(up);
}

static void run_due(struct upstream *up, int64_t now)
{
    timers_run(&up->timers, now);
    origins_reap(up->origins);
    dispatch_run(up);
    dispatch_review(up);
}

static void run_round(struct upstream *up)
{
    struct epoll_event events[EVENTS];
    int64_t            now;
    int                n = wait_epoll(up->epoll_fd, events, EVENTS, sleep_ns(up));

    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == mailbox_fd(up->mailbox))
            mailbox_deliver(up->mailbox);
        else
            origins_serve(up->origins, &events[i]);
    }
    run_due(up, clock_mono_ns());
    now = clock_mono_ns();
    if (timers_next_ns(&up->timers) <= now)
        run_due(up, now); /* curl's, mostly: what has just been dispatched goes out without another look */
    flight_sweep(up);
}

/* Everything ends; what the writer has of ours is waited for, since it is our memory. */
static void wind_up(struct upstream *up)
{
    EACH_SITE(s, up)
    {
        EACH_FLIGHT_SAFE(f, s)
        {
            f->keep = false;
            flight_withdraw(f);
            if (f->waiting > 0)
                failure_set(flight_failure(f), ATTEMPT_DROPPED, "proxy_internal_error", "Weir is shutting down.");
            if (f->turn != NULL) {
                struct answer *body_of = f->turn->answer;

                if (body_of != NULL && body_of->body != NULL)
                    spool_finish(body_of->body, SPOOL_CUT_SHORT);
                turn_abandon(f->turn);
            }
            while (!TAILQ_EMPTY(&f->waiters) && TAILQ_FIRST(&f->waiters)->at == WAITER_RECEIVING)
                waiter_unlink(TAILQ_FIRST(&f->waiters));
            flight_fail(f, 0);
        }
    }
    EACH_SITE(s, up)
    while (!LIST_EMPTY(&s->turns))
        turn_abandon(LIST_FIRST(&s->turns));
    EACH_BUDGET(b, up)
    keep_stop(b);
}

static bool is_awaiting(const struct upstream *up)
{
    const struct pending *p = &up->pending;

    return p->farewells > 0 || p->commits > 0 || p->saves > 0 || p->namings > 0 || up->flight_count > 0;
}

static void *run_thread(void *context)
{
    struct upstream *up = context;

    pthread_setname_np(pthread_self(), "upstream");
    wait_exactly(); /* its waits are the budgets' */
    up->reader = store_reader_open(up->store);
    while (!up->stopping)
        run_round(up);
    wind_up(up);
    while (is_awaiting(up)) {
        store_hurry(up->store);
        run_round(up);
    }
    flight_sweep(up);
    mailbox_deliver(up->mailbox); /* a fetch that was left at the last moment */
    flight_free_idle(up);
    site_free_all(up);
    store_reader_close(up->reader);
    return NULL;
}

/* -- opening and closing -- */

static void receive_stop(struct mail *m)
{
    CONTAINER_OF(m, struct upstream, stop)->stopping = true;
}

static void free_thread(struct upstream *up)
{
    if (up == NULL)
        return;
    keep_free(up);
    bust_free(up);
    heard_close(up->heard);
    misses_close(up->misses);
    origins_close(up->origins);
    timers_free(&up->timers);
    table_free(&up->wishes);
    table_free(&up->early.by_name);
    arena_free(&up->scratch);
    mailbox_close(up->mailbox);
    if (up->epoll_fd >= 0)
        close(up->epoll_fd);
    free(up);
}

static int start_thread(struct upstream *up, struct fault *why)
{
    sigset_t all, old;
    int      err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are main's */
    err = pthread_create(&up->thread, NULL, run_thread, up);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err != 0)
        return fault_set_errno(why, err, "cannot start the upstream thread");
    return 0;
}

const struct state_owner *const upstream_rows[] = { &keep_rows, &bust_rows, NULL };

struct upstream *upstream_open(const struct upstream_start *start, struct fault *why)
{
    struct upstream   *up = mem_alloc(sizeof *up);
    struct epoll_event e = { .events = EPOLLIN };

    up->store = start->store;
    up->state = start->state;
    up->match = start->match;
    up->fake_clock = getenv("WEIR_CLOCK_FILE") != NULL;
    up->events = &turn_events;
    STAILQ_INIT(&up->held);
    TAILQ_INIT(&up->dirty);
    up->random = (uint64_t)clock_wall_ns() | 1;
    up->stop.receive = receive_stop;
    up->heard = heard_open();
    up->misses = misses_open();
    TAILQ_INIT(&up->early.lives);
    up->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    up->mailbox = up->epoll_fd >= 0 ? mailbox_open() : NULL;
    if (up->mailbox == NULL) {
        fault_set_errno(why, errno, "cannot open descriptors for the upstream thread");
        goto fail;
    }
    e.data.fd = mailbox_fd(up->mailbox);
    if (epoll_ctl(up->epoll_fd, EPOLL_CTL_ADD, e.data.fd, &e) != 0) {
        fault_set_errno(why, errno, "cannot watch the upstream thread's mailbox");
        goto fail;
    }
    up->origins = origins_open(&(struct origins_start){ up->epoll_fd, &up->timers, origins_act, up });
    keep_load(up);
    bust_load(up);
    if (start_thread(up, why) != 0)
        goto fail;
    return up;
fail:
    free_thread(up);
    return NULL;
}

void upstream_close(struct upstream *up)
{
    if (up == NULL)
        return;
    mailbox_post(up->mailbox, &up->stop);
    pthread_join(up->thread, NULL);
    free_thread(up);
}

/* -- asking and telling -- */

struct configure {
    struct mail                    mail;
    struct upstream               *up;
    struct ref                    *config;
    unsigned                       count;
    const struct upstream_options *upstreams[];
};

static void receive_configure(struct mail *m)
{
    struct configure *c = CONTAINER_OF(m, struct configure, mail);

    flight_sweep(c->up);
    site_configure(c->up, c->config, c->upstreams, c->count);
    ref_release(c->config);
    free(c);
}

void upstream_configure(struct upstream *up, struct ref *config, const struct upstream_options *const *upstreams,
                        unsigned count)
{
    struct configure *c = mem_alloc(sizeof *c + count * sizeof c->upstreams[0]);

    c->mail.receive = receive_configure;
    c->up = up;
    c->config = config;
    if (config != NULL)
        ref_acquire(config);
    c->count = count;
    for (unsigned i = 0; i < count; i++)
        c->upstreams[i] = upstreams[i];
    mailbox_post(up->mailbox, &c->mail);
}

struct upstream_question {
    struct mail             mail;
    struct upstream        *up;
    struct upstream_report *report;
};

static void receive_question(struct mail *m)
{
    struct upstream_question *q = CONTAINER_OF(m, struct upstream_question, mail);
    struct upstream_report   *r = q->report;

    if (r->forget != NULL)
        hearing_forget(q->up, r->forget);
    report_fill(q->up, r);
    free(q);
    mailbox_post(r->reply_to, &r->done);
}

void upstream_ask(struct upstream *up, struct upstream_report *r)
{
    struct upstream_question *q = mem_alloc(sizeof *q);

    q->mail.receive = receive_question;
    q->up = up;
    q->report = r;
    mailbox_post(up->mailbox, &q->mail);
}
