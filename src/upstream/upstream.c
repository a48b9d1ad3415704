/*
 * The upstream thread: mail, curl's sockets and timers in one epoll loop.
 *
 * A round is: what the descriptors brought, timers that are due, what curl
 * has finished, and then everything that may be sent now, at once.  Nothing is sent from
 * within a callback of curl's, which must not be entered twice.
 */
#include "upstream/inside.h"

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

/* -- curl's wishes -- */

static struct watch *watch_of(struct upstream *up, curl_socket_t fd)
{
    if ((unsigned)fd >= up->watch_count) {
        unsigned count = up->watch_count > 0 ? up->watch_count : 64;

        while (count <= (unsigned)fd)
            count *= 2;
        up->watches = mem_resize(up->watches, count * sizeof *up->watches);
        memset(up->watches + up->watch_count, 0, (count - up->watch_count) * sizeof *up->watches);
        up->watch_count = count;
    }
    return &up->watches[fd];
}

/* libcurl 7.88 closes a socket by itself, and tells nobody, where a transfer is given up before it has connected: the
 * descriptor is then another's. */
void upstream_socket_opened(struct site *s, curl_socket_t fd)
{
    struct watch *w = watch_of(s->up, fd);

    if (w->connection_of != NULL)
        connection_closed(w->connection_of, fd);
    *w = (struct watch){ .connection_of = s };
}

void upstream_socket_closed(struct upstream *up, curl_socket_t fd)
{
    *watch_of(up, fd) = (struct watch){ 0 };
}

/* False: it is not there any more; see upstream_socket_opened().  By the system call: the thread sanitizer takes the
 * library's for a use of a descriptor that may be another thread's by now, which the kernel does not mind. */
static bool forget(struct upstream *up, curl_socket_t fd, struct watch *w)
{
    struct epoll_event e = { .data.fd = fd };

    w->events = 0;
    return syscall(SYS_epoll_ctl, up->epoll_fd, EPOLL_CTL_DEL, fd, &e) == 0;
}

int upstream_socket(CURL *easy, curl_socket_t fd, int what, void *site, void *socketp)
{
    struct site       *s = site;
    struct upstream   *up = s->up;
    struct watch      *w = watch_of(up, fd);
    struct epoll_event e = { .data.fd = fd };

    (void)easy, (void)socketp;
    if (what == CURL_POLL_REMOVE) {
        w->site = NULL;
        if (w->connection_of == NULL) /* else it stays for the next request on it: see serve_socket() */
            forget(up, fd, w);
        return 0;
    }
    w->site = s;
    if ((what & CURL_POLL_IN) != 0)
        e.events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0)
        e.events |= EPOLLOUT;
    if (e.events == w->events)
        return 0;
    /* A descriptor that curl closed and got again is new to epoll; one that it only changes is not. */
    if (epoll_ctl(up->epoll_fd, EPOLL_CTL_MOD, fd, &e) != 0 && errno == ENOENT)
        epoll_ctl(up->epoll_fd, EPOLL_CTL_ADD, fd, &e);
    w->events = w->connection_of != NULL ? e.events : 0;
    return 0;
}

int upstream_timer(CURLM *multi, long timeout_ms, void *site)
{
    struct site *s = site;

    (void)multi;
    if (timeout_ms < 0)
        timers_clear(&s->up->timers, &s->curl_timer);
    else
        timers_set(&s->up->timers, &s->curl_timer, clock_mono_ns() + timeout_ms * NS_PER_MS);
    return 0;
}

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
void upstream_act(struct site *s, curl_socket_t fd, int what)
{
    int running;

    s->up->holds = true;
    s->up->acted_ns = clock_mono_ns();
    http2_acts_for(s);
    curl_multi_socket_action(s->multi, fd, what, &running);
    gather_end(s->up);
    if (s->streams != s->streams_told) {
        s->streams_told = s->streams;     /* new connections are not overfilled before they have said it, too */
        curl_multi_setopt(s->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)s->streams);
    }
    transfer_reap(s);
    s->up->holds = false;
    waiter_post_held(s->up);
}

static void serve_socket(struct upstream *up, const struct epoll_event *e)
{
    int          fd = e->data.fd, what = 0;
    struct site *s = (unsigned)fd < up->watch_count ? up->watches[fd].site : NULL;

    if (s == NULL) {                  /* idle: most likely closed by the peer */
        if ((unsigned)fd >= up->watch_count || up->watches[fd].connection_of == NULL)
            return;                   /* closed before in this round: the descriptor may be another thread's by now */
        if (forget(up, fd, &up->watches[fd])) {
            connection_stirs(up->watches[fd].connection_of, fd);
        } else {
            connection_closed(up->watches[fd].connection_of, fd);
            upstream_socket_closed(up, fd);
        }
        return;
    }
    if ((e->events & EPOLLIN) != 0)
        what |= CURL_CSELECT_IN;
    if ((e->events & EPOLLOUT) != 0)
        what |= CURL_CSELECT_OUT;
    if ((e->events & (EPOLLERR | EPOLLHUP)) != 0)
        what |= CURL_CSELECT_ERR;
    upstream_act(s, fd, what);
}

static void run_due(struct upstream *up, int64_t now)
{
    timers_run(&up->timers, now);
    for (struct site *s = up->sites; s != NULL; s = s->next)
        if (s->reap)
            transfer_reap(s);
    dispatch_run(up);
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
            serve_socket(up, &events[i]);
    }
    run_due(up, clock_mono_ns());
    now = clock_mono_ns();
    if (timers_next_ns(&up->timers) <= now)
        run_due(up, now);             /* curl's, mostly: what has just been dispatched goes out without another look */
    flight_sweep(up);
}

/* Everything ends; what the writer has of ours is waited for, since it is our memory. */
static void wind_up(struct upstream *up)
{
    for (struct site *s = up->sites; s != NULL; s = s->next) {
        struct flight *next;

        for (struct flight *f = s->flights; f != NULL; f = next) {
            next = f->next_of_site;
            f->keep = false;
            dispatch_withdraw(f);
            if (f->waiting > 0)
                failure_set(flight_failure(f), ATTEMPT_DROPPED, "proxy_internal_error", "Weir is shutting down.");
            if (f->transfer != NULL) {
                struct answer *body_of = f->transfer->answer;

                if (body_of != NULL && body_of->body != NULL)
                    spool_finish(body_of->body, SPOOL_CUT_SHORT);
                transfer_abandon(f->transfer);
            }
            while (f->first != NULL && f->first->at == WAITER_RECEIVING)
                flight_unlink(f->first);
            flight_fail(f, 0);
        }
    }
    for (struct site *s = up->sites; s != NULL; s = s->next)
        while (s->transfers != NULL)
            transfer_abandon(s->transfers);
    for (struct budget *b = up->budgets; b != NULL; b = b->next)
        keep_stop(b);
}

static void *run_thread(void *context)
{
    struct upstream *up = context;

    pthread_setname_np(pthread_self(), "upstream");
    wait_exactly();                   /* its waits are the budgets' */
    up->reader = store_reader_open(up->store);
    while (!up->stopping)
        run_round(up);
    wind_up(up);
    while (up->commits > 0 || up->saves > 0 || up->farewells > 0 || up->flight_count > 0) {
        store_hurry(up->store);
        run_round(up);
    }
    flight_sweep(up);
    mailbox_deliver(up->mailbox);     /* a fetch that was left at the last moment */
    transfer_free_all(up);
    flight_free_idle(up);
    site_free_all(up);
    store_reader_close(up->reader);
    return NULL;
}

/* -- opening and closing -- */

static void curl_begin(void)
{
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free, realloc, strdup, mem_calloc);
}

static void receive_stop(struct mail *m)
{
    CONTAINER_OF(m, struct upstream, stop)->stopping = true;
}

static void upstream_free(struct upstream *up)
{
    if (up == NULL)
        return;
    keep_free(up);
    bust_free(up);
    heard_close(up->heard);
    timers_free(&up->timers);
    arena_free(&up->scratch);
    mailbox_close(up->mailbox);
    if (up->epoll_fd >= 0)
        close(up->epoll_fd);
    free(up->watches);
    free(up->gathered);
    free(up);
}

static int start_thread(struct upstream *up, struct fault *why)
{
    sigset_t all, old;
    int      err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);       /* signals are main's */
    err = pthread_create(&up->thread, NULL, run_thread, up);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err != 0)
        return fault_set_errno(why, err, "cannot start the upstream thread");
    return 0;
}

struct upstream *upstream_open(const struct upstream_start *start, struct fault *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct upstream      *up = mem_alloc(sizeof *up);
    struct epoll_event    e = { .events = EPOLLIN };

    pthread_once(&once, curl_begin);
    up->store = start->store;
    up->state = start->state;
    up->match = start->match;
    up->fake_clock = getenv("WEIR_CLOCK_FILE") != NULL;
    up->random = (uint64_t)clock_wall_ns() | 1;
    up->stop.receive = receive_stop;
    up->heard = heard_open();
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
    keep_load(up);
    if (start_thread(up, why) != 0)
        goto fail;
    return up;
fail:
    upstream_free(up);
    return NULL;
}

void upstream_close(struct upstream *up)
{
    if (up == NULL)
        return;
    mailbox_post(up->mailbox, &up->stop);
    pthread_join(up->thread, NULL);
    upstream_free(up);
}

struct mailbox *upstream_mailbox(struct upstream *up)
{
    return up->mailbox;
}

/* -- asking and telling -- */

struct configure {
    struct mail                           mail;
    struct upstream                      *up;
    struct ref                           *config;
    unsigned                              count;
    const struct upstream_options        *upstreams[];
};

static void receive_configure(struct mail *m)
{
    struct configure *c = CONTAINER_OF(m, struct configure, mail);

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

struct question { struct mail mail; struct upstream *up; struct upstream_report *report; };

static void receive_question(struct mail *m)
{
    struct question        *q = CONTAINER_OF(m, struct question, mail);
    struct upstream_report *r = q->report;

    if (r->forget != NULL)
        hearing_forget(q->up, r->forget);
    report_fill(q->up, r);
    free(q);
    mailbox_post(r->reply_to, &r->done);
}

void upstream_ask(struct upstream *up, struct upstream_report *r)
{
    struct question *q = mem_alloc(sizeof *q);

    q->mail.receive = receive_question;
    q->up = up;
    q->report = r;
    mailbox_post(up->mailbox, &q->mail);
}
