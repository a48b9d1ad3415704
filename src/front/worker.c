/*
 * The life of a worker, and its mail: what other threads have for it.
 */
#include "front/worker.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "front/internal.h"
#include "front/loop.h"
#include "front/mhd/call.h"
#include "front/mhd/daemon.h"
#include "front/proxy/door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct handoff { /* an accepted socket on its way to its worker */
    struct mail    mail;
    struct worker *worker;
    struct arrival arrival;
};

struct reconfiguration {
    struct mail    mail;
    struct worker *worker;
    struct config *config; /* a reference */
};

/* One for all workers; the last one tells. */
struct reopening {
    _Atomic unsigned left;
    struct mailbox  *reply_to; /* NULL: nobody waits */
    struct mail     *done;
};

struct reopening_mail {
    struct mail       mail;
    struct worker    *worker;
    struct reopening *all;
};

/* Its first bytes may: admin/run.c. */
static bool brings_descriptors(const struct arrival *a)
{
    return a->address.ss_family == AF_UNIX && (a->kind == LISTENER_ADMIN || a->kind == LISTENER_QUERY);
}

static void receive_handoff(struct mail *m)
{
    struct handoff *h = CONTAINER_OF(m, struct handoff, mail);

    if (!listener_is_admin(h->arrival.kind))
        counter_add(COUNTER_CONNECTIONS, 1);
    if (h->arrival.kind == LISTENER_PROXY || brings_descriptors(&h->arrival))
        door_open(h->worker, &h->arrival);
    else
        daemon_serve(h->worker, &h->arrival);
    free(h);
}

void worker_adopt(struct worker *w, int fd, enum listener_kind kind, const struct sockaddr *sa, socklen_t len)
{
    struct handoff *h = mem_alloc(sizeof *h);

    h->mail.receive = receive_handoff;
    h->worker = w;
    h->arrival.fd = fd;
    h->arrival.kind = kind;
    memcpy(&h->arrival.address, sa, len);
    h->arrival.address_bytes = len;
    atomic_fetch_add_explicit(&w->connections, 1, memory_order_relaxed);
    mailbox_post(w->mailbox, &h->mail);
}

static void receive_configuration(struct mail *m)
{
    struct reconfiguration *r = CONTAINER_OF(m, struct reconfiguration, mail);
    struct worker          *w = r->worker;

    config_release(w->config);
    w->config = r->config;
    engine_configure(w->engine, w->config);
    recorder_configure(w->recorder, w->config);
    free(r);
}

static void receive_reopening(struct mail *m)
{
    struct reopening_mail *r = CONTAINER_OF(m, struct reopening_mail, mail);
    struct reopening      *all = r->all;

    recorder_reopen(r->worker->recorder);
    free(r);
    if (atomic_fetch_sub(&all->left, 1) > 1)
        return;
    if (all->reply_to != NULL)
        mailbox_post(all->reply_to, all->done);
    free(all);
}

void workers_reopen_logs(struct worker *workers, unsigned count, struct mailbox *reply_to, struct mail *done)
{
    struct reopening *all = mem_alloc(sizeof *all);

    *all = (struct reopening){ .left = count, .reply_to = reply_to, .done = done };
    for (unsigned i = 0; i < count; i++) {
        struct reopening_mail *r = mem_alloc(sizeof *r);

        *r = (struct reopening_mail){ { .receive = receive_reopening }, &workers[i], all };
        mailbox_post(workers[i].mailbox, &r->mail);
    }
}

void worker_configure(struct worker *w, struct config *config)
{
    struct reconfiguration *r = mem_alloc(sizeof *r);

    r->mail.receive = receive_configuration;
    r->worker = w;
    r->config = config;
    config_acquire(config);
    mailbox_post(w->mailbox, &r->mail);
}

static void receive_stop(struct mail *m)
{
    struct worker *w = CONTAINER_OF(m, struct worker, stop.mail);

    w->stop.is_asked = true;
    w->stop.at_ns = clock_real_ns() + w->stop.grace_ns;
    recorder_end_watches(w->recorder);
    engine_stop(w->engine);
}

static void receive_hurry(struct mail *m)
{
    CONTAINER_OF(m, struct worker, stop.hurry)->stop.at_ns = 0;
}

void worker_stop(struct worker *w, int64_t grace_ns)
{
    w->stop.grace_ns = grace_ns;
    mailbox_post(w->mailbox, &w->stop.mail);
}

void worker_hurry(struct worker *w)
{
    mailbox_post(w->mailbox, &w->stop.hurry);
}

static void on_mail(struct watch *watch, uint32_t events)
{
    (void)events;
    mailbox_deliver(CONTAINER_OF(watch, struct worker, mail_watch)->mailbox);
}

int worker_start(struct worker *w, const struct front_services *services, struct front_shared *shared,
                 struct config *config, unsigned index, int done_fd, struct fault *why)
{
    char name[16]; /* the kernel's bound */

    *w = (struct worker){ .services = services, .shared = shared, .epoll_fd = -1, .done_fd = done_fd };
    STAILQ_INIT(&w->mhd.shards[0]);
    STAILQ_INIT(&w->mhd.shards[1]);
    TAILQ_INIT(&w->calls.suspended);
    w->stop.mail.receive = receive_stop;
    w->stop.hurry.receive = receive_hurry;
    w->mail_watch.ready = on_mail;
    config_acquire(config);
    w->config = config;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->mailbox = mailbox_open();
    if (w->epoll_fd < 0 || w->mailbox == NULL ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, mailbox_fd(w->mailbox),
                  &(struct epoll_event){ .events = EPOLLIN, .data.ptr = &w->mail_watch }) != 0) {
        fault_set_errno(why, errno, "cannot start a worker");
        goto fail;
    }
    if (daemon_start(w, why) != 0)
        goto fail;
    w->leaves = shared->has_proxy ? leaf_cache_open(services->authority) : NULL;
    w->kept.table = kept_open();
    w->recorder = recorder_open(services->engine.records, index, config);
    w->engine = engine_open(&services->engine, w->mailbox, config, w->recorder, index, config->workers);
    w->admin = admin_open(&services->admin, w->mailbox, w->recorder);
    if (pthread_create(&w->thread, NULL, loop_run, w) != 0) {
        fault_set(why, "cannot start a worker thread");
        goto fail;
    }
    snprintf(name, sizeof name, "worker %u", index % 1000);
    pthread_setname_np(w->thread, name);
    return 0;
fail:
    daemon_stop_all(w);
    worker_free(w);
    return -1;
}

void worker_free(struct worker *w)
{
    call_free_unused(w);
    leaf_cache_close(w->leaves);
    kept_close(w->kept.table);
    admin_close(w->admin);
    engine_close(w->engine);
    recorder_close(w->recorder);
    mailbox_close(w->mailbox);
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    free(w->intake.by_fd);
    config_release(w->config);
}
