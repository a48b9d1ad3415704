/*
 * What origin/ tells of a turn's transfer, handed to whom it concerns: the one table of its events.
 */
#include "upstream/internal.h"
#include "upstream/taped.h"

#include "base/counters.h"
#include "base/log.h"

/* -- sending -- */

static enum stop on_sends(void *owner)
{
    struct turn *t = owner;

    if (turn_is_played(t)) {
        t->sent = true;
        t->sent_ns = clock_mono_ns();
        return STOP_NONE;
    }
    if (!dispatch_sends(t))
        return STOP_OVER_BUDGET;
    t->sent = true;
    t->sent_ns = t->sending.asked_ns = t->sending.paced_ns = clock_mono_ns();
    t->site->counts.attempts++;
    counter_add(COUNTER_UPSTREAM_ATTEMPTS, 1);
    if (t->flight != NULL && t->flight->past.attempt_count > 0) {
        t->site->counts.retries++;
        t->site->counts.retried[attempt_kind(t->flight->past.last)]++;
        counter_add(COUNTER_UPSTREAM_RETRIES, 1);
    } else if (t->fetch->manner.is_early) {
        early_sent(t);
    } else if (t->fetch->manner.refresh_behind) {
        counter_add(COUNTER_REFRESHES, 1);
    }
    return STOP_NONE;
}

static void on_interim(void *owner, unsigned status, struct http_fields *fields, struct arena *arena)
{
    struct turn *t = owner;

    if (status == 100 || t->flight == NULL) /* 100 was for us */
        return;
    taped_interim(t, status, fields);
    attempt_interim(t, status, fields, arena);
}

/* Whoever waits for the word of it. */
static void on_wants_body(void *owner)
{
    static const struct http_fields none;
    struct turn                    *t = owner;
    struct flight                  *f = t->flight;

    if (!t->fetch->expects || f == NULL || f->ask.continued)
        return;
    f->ask.unexpecting = f->ask.continued = true;
    EACH_WAITER(w, f)
    if (w->fetch->expects)
        waiter_post_interim(w, 100, &none);
}

static enum body_source on_source(void *owner, void *buffer, size_t count, size_t *got)
{
    struct turn *t = owner;

    t->sending.asked_ns = clock_mono_ns();
    switch (upload_read(t->sending.upload, buffer, count, got)) {
    case UPLOAD_BYTES:
        stall_sent(t, *got);
        taped_sent(t, buffer, *got);
        return SOURCE_BYTES;
    case UPLOAD_END:
        return SOURCE_END;
    case UPLOAD_WAIT:
        stall_paused(t);
        return SOURCE_WAIT;
    case UPLOAD_BROKEN:
        break;
    }
    return SOURCE_BROKEN;
}

/* -- what comes -- */

static enum stop on_head(void *owner, struct transfer_head *head)
{
    struct turn *t = owner;
    bool         goes_on;

    t->may_wait = head->may_wait;
    t->chunked = head->chunked;
    taped_head(t, head);
    goes_on = attempt_head(t, head);
    taped_body(t);
    return goes_on ? STOP_NONE : t->stop;
}

static void await_readers(struct turn *t)
{
    t->mailed = true;
    if (!t->drained_wanted) {
        t->drained_wanted = true;
        spool_set_drained_mail(t->answer->body, t->up->mailbox, &t->drained);
    }
}

static bool on_takes(void *owner)
{
    struct turn *t = owner;

    if (attempt_takes(t))
        return true;
    await_readers(t);
    return false;
}

static enum stop on_body(void *owner, const char *bytes, size_t count)
{
    struct turn *t = owner;

    taped_came(t, count);
    return attempt_body(t, bytes, count) ? STOP_NONE : t->stop;
}

static void on_trailer(void *owner, struct slice name, struct slice value)
{
    taped_trailer(owner, name, value);
    attempt_trailer(owner, name, value);
}

/* -- nothing comes -- */

static int64_t on_listens(void *owner, int64_t since_ns, bool *ends)
{
    return patience_until(owner, since_ns, ends);
}

static void on_silent(void *owner, int64_t since_ns, int64_t now_ns)
{
    struct turn *t = owner;

    patience_end(t, since_ns, now_ns);
    if (!t->ended)
        transfer_watch(t->transfer);
}

/* -- the end -- */

/* Nothing was sent, and the connection alone was to blame; or the API says that it has done nothing of it. */
static bool goes_on(const struct turn *t, const struct transfer_end *end)
{
    if (t->flight == NULL)
        return false;
    switch (end->again) {
    case AGAIN_DEAD_CONNECTION:
        return true;
    case AGAIN_MOVED:
        return !t->up->stopping;
    case AGAIN_NOT_DONE:
        return t->flight->ask.undone < UNDONE_AT_ONCE && !t->up->stopping &&
               (t->sending.upload == NULL || upload_is_kept(t->sending.upload));
    case AGAIN_NO:
        break;
    }
    return false;
}

/* The same turn, with what was reserved for it, goes on with another connection. No attempt was made. */
static void go_on(struct turn *t, const struct transfer_end *end)
{
    static const char *const reasons[] = { [AGAIN_DEAD_CONNECTION] = "dead_connection",
                                           [AGAIN_MOVED] = "may_have_moved",
                                           [AGAIN_NOT_DONE] = "not_done" };
    struct flight           *f = t->flight;
    struct receipt           receipt = t->receipt;
    int64_t                  reserved_ns = t->reserved_ns;

    log_debug("upstream_sent_again", " upstream=%s reason=%s", f->site->name, reasons[end->again]);
    f->ask.dead_connections += end->again == AGAIN_DEAD_CONNECTION;
    f->ask.undone += end->sent;
    f->turn = NULL;
    t->flight = NULL;
    turn_retire(t);
    turn_start(f, &receipt, budget_time());
    if (f->turn != NULL)
        f->turn->reserved_ns = reserved_ns;
}

static void on_end(void *owner, struct transfer *transfer, const struct transfer_end *end)
{
    struct turn *t = owner;

    t->transfer = transfer;
    t->stop = end->stop;
    if (goes_on(t, end)) {
        go_on(t, end);
        return;
    }
    attempt_ended(t, end);
    turn_retire(t);
}

const struct origin_events turn_events = {
    .sends = on_sends,
    .interim = on_interim,
    .wants_body = on_wants_body,
    .source = on_source,
    .head = on_head,
    .takes = on_takes,
    .body = on_body,
    .trailer = on_trailer,
    .listens = on_listens,
    .silent = on_silent,
    .end = on_end,
};
