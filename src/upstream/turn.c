/*
 * A flight's turn at the API: what was reserved for it goes with a request of origin/'s, and what comes of that is
 * handed to attempt.c.
 *
 * Two mails of other threads may be addressed to a turn (`ready` of the upload, `drained` of the spool).  At its end
 * both are taken back, and then it writes to itself: mail comes in order, so when `farewell` arrives nothing else is on
 * its way and the memory goes.
 */
#include "upstream/inside.h"

#include "base/counters.h"
#include "base/log.h"

#include <stdlib.h>

/* -- what is asked of it -- */

static enum stop on_sends(void *owner)
{
    struct turn *t = owner;

    if (!dispatch_sends(t))
        return STOP_OVER_BUDGET;
    t->sent = true;
    t->sent_ns = t->asked_ns = t->paced_ns = clock_mono_ns();
    t->site->attempts++;
    counter_add(COUNTER_UPSTREAM_ATTEMPTS, 1);
    if (t->flight != NULL && t->flight->attempt_count > 0) {
        t->site->retries++;
        counter_add(COUNTER_UPSTREAM_RETRIES, 1);
    } else if (t->fetch->refresh_behind) {
        counter_add(COUNTER_REFRESHES, 1);
    }
    return STOP_NONE;
}

static void on_interim(void *owner, unsigned status, struct http_fields *fields, struct arena *arena)
{
    struct turn *t = owner;

    if (status != 100 && t->flight != NULL)          /* 100 was for us */
        attempt_interim(t, status, fields, arena);
}

/* Whoever waits for the word of it. */
static void on_wants_body(void *owner)
{
    static const struct http_fields none;
    struct turn   *t = owner;
    struct flight *f = t->flight;

    if (!t->fetch->expects || f == NULL || f->continued)
        return;
    f->unexpecting = f->continued = true;
    for (struct fetch_links *w = f->first; w != NULL; w = w->next)
        if (w->fetch->expects)
            waiter_post_interim(w, 100, &none);
}

static enum body_source on_source(void *owner, void *buffer, size_t count, size_t *got)
{
    struct turn *t = owner;

    t->asked_ns = clock_mono_ns();
    switch (upload_read(t->upload, buffer, count, got)) {
    case UPLOAD_BYTES:
        stall_sent(t, *got);
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

static enum stop on_head(void *owner, struct transfer_head *head)
{
    struct turn *t = owner;

    t->may_wait = head->may_wait;
    t->chunked = head->chunked;
    return attempt_head(t, head) ? STOP_NONE : t->stop;
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

    return attempt_body(t, bytes, count) ? STOP_NONE : t->stop;
}

static void on_trailer(void *owner, struct slice name, struct slice value)
{
    attempt_trailer(owner, name, value);
}

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

/* -- beginning -- */

_Static_assert((int)ORIGIN_PIECE_BYTES <= (int)SPOOL_WRITE_BYTES, "a piece is one write of the spool");

static void on_end(void *owner, struct transfer *, const struct transfer_end *);

static const struct origin_events events = {
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

static void receive_ready(struct mail *m)
{
    struct turn *t = CONTAINER_OF(m, struct turn, ready);

    if (t->ended || !t->upload_paused)
        return;
    stall_resumed(t);
    transfer_resume_source(t->transfer);
}

static void receive_drained(struct mail *m)
{
    struct turn *t = CONTAINER_OF(m, struct turn, drained);

    t->drained_wanted = false;
    if (!t->ended)
        transfer_resume_body(t->transfer);
}

static void receive_farewell(struct mail *m)
{
    struct turn *t = CONTAINER_OF(m, struct turn, farewell);

    t->up->farewells--;
    free(t);
}

/* Its target is in up->scratch. */
static struct origin_request request_of(struct turn *t)
{
    const struct fetch  *fetch = t->fetch;
    const struct flight *f = t->flight;
    struct arena        *a = &t->up->scratch;

    return (struct origin_request){
        .options = &fetch->upstream->origin,
        .timeout = fetch->timeout,
        .request = &fetch->request,
        .target = bust_target(t, auth_target(fetch, a), a),
        .authority = fetch->authority,
        .auth_name = fetch->auth_header,
        .auth_value = fetch->auth_header.ptr != NULL ? fetch->auth_value : SLICE_NONE,
        .plain = f->plain,
        .no_range = f->plain && fetch->completing,
        .has_body = t->upload != NULL,
        .expects = t->upload != NULL && fetch->expects && !f->unexpecting,
        .body_bytes = t->upload != NULL ? upload_length(t->upload) : 0,
        .fresh = f->dead_connections >= DEAD_CONNECTIONS,
    };
}

void turn_start(struct flight *f, const struct receipt *receipt, struct budget_now now)
{
    struct upstream      *up = f->up;
    struct turn          *t = mem_alloc(sizeof *t);
    struct transfer      *made;
    struct origin_request request;

    t->up = up;
    t->site = f->site;
    t->flight = f;
    t->fetch = f->leader;
    fetch_acquire(t->fetch);
    f->turn = t;
    t->receipt = *receipt;
    t->charge = f->charge;
    t->reserved_ns = t->begun_ns = now.mono_ns;
    t->ready.receive = receive_ready;
    t->drained.receive = receive_drained;
    t->farewell.receive = receive_farewell;
    LIST_INSERT_HEAD(&t->site->turns, t, entry);
    t->site->in_flight++;
    if (t->fetch->upload != NULL && t->fetch->request.method != HTTP_HEAD) {
        t->upload = t->fetch->upload;
        t->mailed = true;
        upload_rewind(t->upload);
        upload_set_reader(t->upload, up->mailbox, &t->ready);
    }
    request = request_of(t);
    made = transfer_start(f->site->origin, &request, &events, t);
    if (made != NULL)
        t->transfer = made;
    arena_reset(&up->scratch);
}

void turn_joined(struct turn *t)
{
    if (t != NULL)
        transfer_watch(t->transfer);
}

/* -- the end -- */

static void retire(struct turn *t)
{
    struct site *s = t->site;

    t->ended = true;
    t->transfer = NULL;
    stall_resumed(t);
    if (t->upload != NULL)
        upload_set_reader(t->upload, NULL, NULL);
    if (t->answer != NULL && t->answer->body != NULL && t->drained_wanted)
        spool_set_drained_mail(t->answer->body, NULL, NULL);
    forecast_note(t);
    LIST_REMOVE(t, entry);
    s->in_flight--;
    answer_release(t->answer);
    t->answer = NULL;
    body_check_close(t->check);
    t->check = NULL;
    fetch_release(t->fetch);
    t->fetch = NULL;
    t->upload = NULL;
    queue_reconsider(s->budget->queue, NULL);       /* a place is free */
    dispatch_kick(s->budget);
    if (t->mailed) {
        t->up->farewells++;
        mailbox_post(t->up->mailbox, &t->farewell);
    } else {
        free(t);
    }
}

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
        return t->flight->undone < UNDONE_AT_ONCE && !t->up->stopping
            && (t->upload == NULL || upload_is_kept(t->upload));
    case AGAIN_NO:
        break;
    }
    return false;
}

/* The same turn, with what was reserved for it, goes on with another connection. No attempt was made. */
static void go_on(struct turn *t, const struct transfer_end *end)
{
    static const char *const reasons[] = { [AGAIN_DEAD_CONNECTION] = "dead_connection",
                                           [AGAIN_MOVED] = "may_have_moved", [AGAIN_NOT_DONE] = "not_done" };
    struct flight *f = t->flight;
    struct receipt receipt = t->receipt;
    int64_t        reserved_ns = t->reserved_ns;

    log_debug("upstream_sent_again", " upstream=%s reason=%s", f->site->name, reasons[end->again]);
    f->dead_connections += end->again == AGAIN_DEAD_CONNECTION;
    f->undone += end->sent;
    f->turn = NULL;
    t->flight = NULL;
    retire(t);
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
    retire(t);
}

void turn_abandon(struct turn *t)
{
    if (t->flight != NULL)
        t->flight->turn = NULL;
    t->flight = NULL;
    transfer_stop(t->transfer, STOP_ABANDONED);
}
