/*
 * The worker's loop: wait on its epoll, let MHD run, deliver mail, look after what takes too long, and end in good
 * order.
 *
 * MHD has an epoll of its own whose descriptor stands in ours; MHD_run() is
 * called after every wake-up (an MHD thread of its own could hang, see
 * ARCHITECTURE.md).
 */
#include "front/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/wait.h"
#include "front/internal.h"
#include "front/mhd/call.h"
#include "front/mhd/daemon.h"
#include "front/mhd/refuse.h"
#include "front/mhd/shards.h"
#include "front/mhd/slots.h"
#include "front/proxy/door.h"
#include "front/proxy/tunnel.h"

#include <errno.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 256 };

static const int64_t sweep_ns = NS_PER_SEC;

#define LONGEST_WAIT_NS (60 * NS_PER_SEC)

static void sweep(struct worker *w, int64_t now)
{
    if (now < w->sweep.at_ns)
        return;
    w->sweep.at_ns = now + sweep_ns;
    w->sweep.count++;
    shards_touch_all(w);
    engine_tick(w->engine, clock_mono_ns());
    connection_sweep_all(w, now);
    door_sweep(w, now);
    refuse_sweep(w, now);
    tunnel_sweep(w, now);
    if (w->kept.any) {
        w->kept.any = kept_sweep(w->kept.table, w->engine, clock_wall_ns());
        if (!w->kept.any)
            malloc_trim(0); /* there may have been thousands */
    }
}

static int64_t wait_ns(struct worker *w, int64_t now)
{
    int64_t ns = INT64_MAX, due;

    if (!LIST_EMPTY(&w->open) || !LIST_EMPTY(&w->knocks) || !LIST_EMPTY(&w->tunnels) || w->kept.any ||
        !LIST_EMPTY(&w->lingering.list) || engine_is_busy(w->engine))
        ns = w->sweep.at_ns - now;
    if (w->calls.parks)
        ns = NS_PER_MS;
    if (w->stop.is_asked)
        ns = 10 * NS_PER_MS;
    shards_limit_wait(w, &ns);
    due = recorder_due_ns(w->recorder);
    if (engine_due_ns(w->engine) < due)
        due = engine_due_ns(w->engine);
    if (due != INT64_MAX) {
        int64_t left = due - clock_mono_ns();

        if (left < ns)
            ns = left;
    }
    if (ns == INT64_MAX)
        return WAIT_FOR_EVER;
    if (ns < 0)
        return 0;
    return ns < LONGEST_WAIT_NS ? ns : LONGEST_WAIT_NS;
}

static void one_round(struct worker *w)
{
    struct epoll_event events[EVENTS];
    int64_t            now = clock_real_ns();
    int                n = wait_epoll(w->epoll_fd, events, EVENTS, wait_ns(w, now));

    for (int i = 0; i < n; i++) {
        struct watch *watch = events[i].data.ptr;

        if (watch->ready != NULL)
            watch->ready(watch, events[i].events);
    }
    if (engine_due_ns(w->engine) != INT64_MAX)
        engine_run_due(w->engine);
    tunnel_free_ended(w); /* no event of this round speaks of them any more */
    shards_run(w);
    pool_leave();
    w->intake.current = NULL;
    intake_refuse_doomed(w);
    if (recorder_due_ns(w->recorder) <= clock_mono_ns())
        recorder_tend(w->recorder);
    sweep(w, clock_real_ns());
    w->calls.parks = !TAILQ_EMPTY(&w->calls.suspended) && call_park_some(w);
}

static bool is_finished(struct worker *w)
{
    if (!w->stop.is_asked)
        return false;
    door_close_all(w); /* a tunnel has no end that could be waited for */
    tunnel_close_all(w);
    if (!call_any(w) && !engine_is_busy(w->engine)) {
        call_break_endless(w);
        return true;
    }
    if (clock_real_ns() >= w->stop.at_ns) {
        call_break_all(w);
        engine_break(w->engine);
    }
    return false;
}

void *loop_run(void *context)
{
    struct worker *w = context;
    uint64_t       one = 1;

    slots_open();
    intake_start(w);
    while (!is_finished(w))
        one_round(w);
    daemon_stop_all(w);
    slots_close();
    refuse_close_all(w);
    intake_start(NULL);
    /* Mail that was on its way to exchanges and calls has to come before their memory goes. */
    while (!engine_is_idle(w->engine) || !admin_is_idle(w->admin)) {
        struct epoll_event event;

        epoll_wait(w->epoll_fd, &event, 1, 10);
        mailbox_deliver(w->mailbox);
    }
    recorder_flush(w->recorder);
    if (write(w->done_fd, &one, sizeof one) < 0)
        log_error("worker_end_unsignalled", "reason=%s", log_quote(strerror(errno)));
    return NULL;
}
