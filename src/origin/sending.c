/*
 * The way of a request out, as libcurl asks for it, and for how long anything may take.
 *
 * Time-outs: progress only stamps the time; the timer looks at the stamp when it fires.
 *
 * Expect: 100-continue (RFC 9110 10.1.1): nothing of a body is asked for before the API has said 100, or nothing for
 * EXPECT_NS.  Over HTTP/1.1 libcurl waits so by itself before it asks for the body; over HTTP/2 it asks at once, and is
 * held here.
 */
#include "origin/internal.h"

#include "base/ref.h"

#define EXPECT_NS   NS_PER_SEC
#define ANSWERED_NS (3 * NS_PER_SEC) /* for an API that has answered already to take more of the request */

/* -- time-outs -- */

static void consider(struct due *due, int64_t from_ns, int64_t allowed_ns, enum stop stop)
{
    if (allowed_ns > 0 && allowed_ns < INT64_MAX - from_ns && from_ns + allowed_ns < due->at_ns)
        *due = (struct due){ from_ns + allowed_ns, stop };
}

static void consider_silence(struct due *due, const struct transfer *t)
{
    bool    ends = false;
    int64_t at_ns = t->events->listens(t->owner, t->progress_ns, &ends);

    if (at_ns < due->at_ns)
        *due = (struct due){ at_ns, ends ? STOP_READ_TIMEOUT : STOP_NONE };
}

struct due sending_due(const struct transfer *t)
{
    const struct timeout_options *o = t->ask.timeout;
    struct due                    due = { INT64_MAX, STOP_NONE };

    if (!t->receive_paused)
        consider(&due, t->begun_ns + t->paused_ns, o->total_ns, STOP_TOTAL_TIMEOUT);
    if (t->prereqs == 0) /* curl's own is kept as well: this one also bounds what curl would queue */
        consider(&due, t->begun_ns + NS_PER_SEC, o->connect_ns, STOP_CONNECT_TIMEOUT);
    else if (!t->sending.all && !t->sending.paused && !t->sending.expects)
        consider(&due, t->progress_ns, o->write_ns, STOP_WRITE_TIMEOUT);
    else if (t->sending.all && !t->receive_paused)
        consider_silence(&due, t);
    if (http2_answered_early(t))
        consider(&due, t->progress_ns, ANSWERED_NS, STOP_ANSWERED);
    return due;
}

void transfer_wire_watch(struct transfer *t)
{
    struct due due = sending_due(t);

    if (due.at_ns == INT64_MAX)
        timers_clear(t->all->start.timers, &t->timer);
    else if (!timer_is_set(&t->timer) || due.at_ns < t->timer.at_ns)
        timers_set(t->all->start.timers, &t->timer, due.at_ns);
}

/* -- pausing -- */

void sending_resume(struct transfer *t)
{
    int mask = (t->receive_paused ? CURLPAUSE_RECV : 0) |
               (t->sending.paused || t->sending.held_back ? CURLPAUSE_SEND : 0);

    t->progress_ns = t->all->acted_ns = clock_mono_ns();
    origin_reap_soon(t->origin);
    transfer_wire_watch(t);
    curl_easy_pause(t->easy, mask); /* which brings what libcurl has kept meanwhile */
    gather_end(t->all);
}

void transfer_wire_resume_source(struct transfer *t)
{
    t->sending.paused = false;
    sending_resume(t);
}

void transfer_wire_resume_body(struct transfer *t)
{
    if (!t->receive_paused)
        return;
    t->receive_paused = false;
    t->paused_ns += clock_mono_ns() - t->pause_from_ns;
    sending_resume(t);
}

/* An error would do the same, but over HTTP/2 the API would hear of it with the next traffic only: see http2.c. */
bool sending_stops(struct transfer *t)
{
    if (!t->stream.is)
        return false;
    transfer_stop_soon(t);
    return true;
}

/* -- the request -- */

bool sending_begins(struct transfer *t)
{
    if (t->prereqs > 0) {
        t->stop = STOP_SECOND_SENDING;
        return false;
    }
    t->stop = t->events->sends(t->owner);
    if (t->stop != STOP_NONE)
        return false;
    t->prereqs++;
    t->sent_ns = t->progress_ns = clock_mono_ns();
    t->sent_wall_ns = clock_wall_ns();
    t->sending.all = !t->ask.has_body || t->ask.body_bytes == 0;
    t->sending.expects = t->ask.expects;
    timers_clear(t->all->start.timers, &t->timer);
    transfer_wire_watch(t);
    return true;
}

static void fire_expect(struct timer *timer)
{
    struct transfer *t = CONTAINER_OF(timer, struct transfer, sending.patience);

    t->sending.held_back = false;
    sending_resume(t);
}

/* The API has not said yet that it wants the body. */
static bool is_held(struct transfer *t)
{
    if (t->sending.expects && !t->sending.heard_100 && clock_mono_ns() < t->sent_ns + EXPECT_NS) {
        t->sending.held_back = true;
        t->sending.patience.fire = fire_expect;
        timers_set(t->all->start.timers, &t->sending.patience, t->sent_ns + EXPECT_NS);
        return true;
    }
    t->sending.expects = false;
    if (!t->sending.asked)
        t->events->wants_body(t->owner);
    t->sending.asked = true;
    return false;
}

/* From within curl's callback: the loop goes on with it. */
void sending_heard(struct transfer *t)
{
    t->sending.heard_100 = true;
    if (t->sending.held_back)
        timers_set(t->all->start.timers, &t->sending.patience, clock_mono_ns());
}

static size_t part(struct transfer *t, size_t bytes)
{
    t->sending.bytes += (int64_t)bytes;
    if (bytes == 0 || t->sending.bytes == t->ask.body_bytes)
        t->sending.all = true;
    if (t->sending.all)
        transfer_wire_watch(t);
    return bytes;
}

size_t sending_read(struct transfer *t, char *buffer, size_t count)
{
    size_t got = 0;

    if (!t->ask.has_body)
        return 0;
    t->progress_ns = clock_mono_ns();
    if (is_held(t))
        return CURL_READFUNC_PAUSE;
    switch (t->events->source(t->owner, buffer, count, &got)) {
    case SOURCE_BYTES:
        return part(t, got);
    case SOURCE_END:
        return part(t, 0);
    case SOURCE_WAIT:
        t->sending.paused = true;
        return CURL_READFUNC_PAUSE;
    case SOURCE_BROKEN:
        break;
    }
    t->stop = STOP_UPLOAD_BROKEN;
    return sending_stops(t) ? CURL_READFUNC_PAUSE : CURL_READFUNC_ABORT;
}
