/*
 * One attempt's life with curl: an easy handle from the pool, the time-outs,
 * pausing for slow clients, and its end.
 *
 * Two mails of other threads may be addressed to a transfer (`ready` of the
 * upload, `drained` of the spool).  At its end both are taken back, and then it
 * writes to itself: mail comes in order, so when `farewell` arrives nothing
 * else is on its way and the memory serves the next attempt.
 */
#include "upstream/inside.h"

#include "base/check.h"
#include "base/counters.h"
#include "base/log.h"

#include <stdlib.h>

#define ANSWERED_NS (3 * NS_PER_SEC)  /* for an API that has answered already to take more of the request */

enum { IDLE_LOOKED_AT = 8 };

/* -- time-outs: progress only stamps the time; the timer looks at the stamp when it fires -- */


struct due { int64_t at_ns; enum stop stop; };

static void consider(struct due *due, int64_t from_ns, int64_t allowed_ns, enum stop stop)
{
    if (allowed_ns > 0 && allowed_ns < INT64_MAX - from_ns && from_ns + allowed_ns < due->at_ns)
        *due = (struct due){ from_ns + allowed_ns, stop };
}

/* STOP_NONE: only some of those who listen give up. */
static void consider_silence(struct due *due, const struct transfer *t)
{
    int64_t next = patience_next_ns(t);

    consider(due, t->progress_ns, patience_ns(t), STOP_READ_TIMEOUT);
    if (next < due->at_ns)
        *due = (struct due){ next, STOP_NONE };
}

static struct due next_due(const struct transfer *t)
{
    const struct timeout_options *o = t->fetch->timeout;
    struct due                    due = { INT64_MAX, STOP_NONE };

    if (!t->receive_paused)
        consider(&due, t->begun_ns + t->paused_ns, o->total_ns, STOP_TOTAL_TIMEOUT);
    if (t->prereqs == 0)              /* curl's own is kept as well: this one also bounds what curl would queue */
        consider(&due, t->begun_ns + NS_PER_SEC, o->connect_ns, STOP_CONNECT_TIMEOUT);
    else if (!t->sent_all && !t->send_paused && !t->expecting)
        consider(&due, t->progress_ns, o->write_ns, STOP_WRITE_TIMEOUT);
    else if (t->sent_all && !t->receive_paused)
        consider_silence(&due, t);
    if (http2_answered_early(t))
        consider(&due, t->progress_ns, ANSWERED_NS, STOP_ANSWERED);
    return due;
}

static void end_transfer(struct transfer *t, CURLcode code, bool added);

static void watch_time(struct transfer *t)
{
    struct due due = next_due(t);

    if (due.at_ns == INT64_MAX)
        timers_clear(&t->up->timers, &t->timer);
    else if (!timer_is_set(&t->timer) || due.at_ns < t->timer.at_ns)
        timers_set(&t->up->timers, &t->timer, due.at_ns);
}

/* The answer is whole, and counts; of the request no more is sent. */
static void end_answered(struct transfer *t)
{
    t->stops = true;
    http2_reset_begin(t);
    end_transfer(t, CURLE_OK, true);
}

static void fire_timer(struct timer *timer)
{
    struct transfer *t = CONTAINER_OF(timer, struct transfer, timer);
    struct due       due = next_due(t);
    int64_t          now = clock_mono_ns();

    if (due.at_ns <= now && due.stop == STOP_ANSWERED) {
        end_answered(t);
        return;
    }
    if (due.at_ns <= now && due.stop != STOP_NONE) {
        transfer_stop(t, due.stop);
        return;
    }
    if (due.at_ns <= now)
        patience_end(t, now);
    if (!t->ended)
        watch_time(t);
}

void transfer_joined(struct transfer *t)
{
    if (t != NULL)
        watch_time(t);
}

/* -- pausing -- */

void transfer_resume(struct transfer *t)
{
    int mask = (t->receive_paused ? CURLPAUSE_RECV : 0) | (t->send_paused || t->held_back ? CURLPAUSE_SEND : 0);

    t->progress_ns = t->up->acted_ns = clock_mono_ns();
    t->site->reap = true;
    watch_time(t);
    curl_easy_pause(t->easy, mask);   /* which brings what libcurl has kept meanwhile */
    gather_end(t->up);
}

static void receive_ready(struct mail *m)
{
    struct transfer *t = CONTAINER_OF(m, struct transfer, ready);

    if (t->ended || !t->send_paused)
        return;
    stall_resumed(t);
    transfer_resume(t);
}

static void receive_drained(struct mail *m)
{
    struct transfer *t = CONTAINER_OF(m, struct transfer, drained);

    t->drained_wanted = false;
    if (t->ended || !t->receive_paused)
        return;
    t->receive_paused = false;
    t->paused_ns += clock_mono_ns() - t->pause_from_ns;
    transfer_resume(t);
}

void transfer_await_readers(struct transfer *t)
{
    t->receive_paused = true;
    t->pause_from_ns = clock_mono_ns();
    t->mailed = true;
    if (!t->drained_wanted) {
        t->drained_wanted = true;
        spool_set_drained_mail(t->answer->body, t->up->mailbox, &t->drained);
    }
}

/* -- what curl asks -- */

/* An error would do the same, but over HTTP/2 the API would hear of it with the next traffic only: see http2.c. */
bool transfer_stops(struct transfer *t)
{
    if (!t->stream)
        return false;
    t->stops = t->site->stops = t->site->reap = true;
    return true;
}

bool transfer_sends(struct transfer *t)
{
    int64_t now = clock_mono_ns();

    if (t->prereqs > 0) {
        t->stop = STOP_SECOND_SENDING;
        return false;
    }
    if (!dispatch_sends(t)) {
        t->stop = STOP_OVER_BUDGET;
        return false;
    }
    t->prereqs++;
    t->site->attempts++;
    counter_add(COUNTER_UPSTREAM_ATTEMPTS, 1);
    if (t->flight != NULL && t->flight->attempt_count > 0) {
        t->site->retries++;
        counter_add(COUNTER_UPSTREAM_RETRIES, 1);
    } else if (t->fetch->refresh_behind) {
        counter_add(COUNTER_REFRESHES, 1);
    }
    t->sent_ns = t->progress_ns = t->paced_ns = now;
    t->sent_wall_ns = clock_wall_ns();
    t->sent_all = t->upload == NULL || upload_length(t->upload) == 0;
    t->expecting = request_expects(t);
    timers_clear(&t->up->timers, &t->timer);
    watch_time(t);
    return true;
}

static size_t upload_part(struct transfer *t, size_t bytes)
{
    t->uploaded_bytes += (int64_t)bytes;
    stall_sent(t, t->progress_ns);
    if (bytes == 0 || t->uploaded_bytes == upload_length(t->upload))
        t->sent_all = true;
    if (t->sent_all)
        watch_time(t);
    return bytes;
}

size_t transfer_read_upload(struct transfer *t, char *buffer, size_t count)
{
    size_t got = 0;

    if (t->upload == NULL)
        return 0;
    t->progress_ns = clock_mono_ns();
    if (expect_holds(t))
        return CURL_READFUNC_PAUSE;
    switch (upload_read(t->upload, buffer, count, &got)) {
    case UPLOAD_BYTES:
        return upload_part(t, got);
    case UPLOAD_END:
        return upload_part(t, 0);
    case UPLOAD_WAIT:
        stall_paused(t);
        return CURL_READFUNC_PAUSE;
    case UPLOAD_BROKEN:
        break;
    }
    t->stop = STOP_UPLOAD_BROKEN;
    return transfer_stops(t) ? CURL_READFUNC_PAUSE : CURL_READFUNC_ABORT;
}

/* -- beginning -- */

static void receive_farewell(struct mail *m);

/* One whose handle has this site's options already, where such a one was used of late. */
static struct transfer *take_idle(const struct site *s)
{
    struct upstream  *up = s->up;
    struct transfer **at = &up->idle_transfers, *t;

    for (int i = 0; i < IDLE_LOOKED_AT && *at != NULL && (*at)->set_for != s->options_number; i++)
        at = &(*at)->next_idle;
    if (*at == NULL || (*at)->set_for != s->options_number)
        at = &up->idle_transfers;
    t = *at;
    if (t != NULL) {
        *at = t->next_idle;
        up->idle_count--;
        return t;
    }
    t = mem_alloc(sizeof *t);
    t->easy = curl_easy_init();
    CHECK(t->easy != NULL);
    return t;
}

static void transfer_free(struct transfer *t)
{
    curl_easy_cleanup(t->easy);
    curl_url_cleanup(t->url);
    free(t);
}

/* So many connections stay: those in use and max_idle_connections more. */
static void bound_idle(struct site *s)
{
    unsigned kept = s->options->max_idle_connections + (s->in_flight > 0 ? s->in_flight - 1 : 0);

    curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, kept > 0 ? (long)kept : 1L);
}

/* curl looks at that bound when a connection comes back, and where several come back before their transfers are reaped
 * it sees the bound as it was: so each one that would be too many is closed by its own end. */
void transfer_plan_reuse(struct transfer *t)
{
    struct site *s = t->site;
    unsigned     in_use = s->in_flight - s->closing;    /* where a closing one is still open it counts as idle */
    unsigned     alive = s->connections - s->dead;
    unsigned     idle = alive > in_use ? alive - in_use : 0;

    if (t->head.http2) {
        /* At an error libcurl would end the request as if that had been all of it: see end_early_one(). */
        if (t->stream && t->upload != NULL && !t->sent_all)
            curl_easy_setopt(t->easy, CURLOPT_KEEP_SENDING_ON_ERROR, 1L);
        return;
    }
    t->hands_back = !t->head.doubtful && idle + s->handed_back < s->options->max_idle_connections + s->waiting;
    t->closes = !t->hands_back;
    s->handed_back += t->hands_back;
    s->closing += t->closes;
    if (t->closes)
        curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
    else if (t->head.chunked || t->head.content_length <= 0 || t->fetch->request.method == HTTP_HEAD
             || http_status_has_no_body(t->head.status))
        curl_easy_setopt(t->easy, CURLOPT_VERBOSE, 1L);     /* for on_word() in request.c */
}

static void link_transfer(struct transfer *t)
{
    struct site *s = t->site;

    t->previous_of_site = NULL;
    t->next_of_site = s->transfers;
    if (s->transfers != NULL)
        s->transfers->previous_of_site = t;
    s->transfers = t;
    s->in_flight++;
    bound_idle(s);
}

static void unlink_transfer(struct transfer *t)
{
    struct site *s = t->site;

    *(t->previous_of_site != NULL ? &t->previous_of_site->next_of_site : &s->transfers) = t->next_of_site;
    if (t->next_of_site != NULL)
        t->next_of_site->previous_of_site = t->previous_of_site;
    s->in_flight--;
    s->handed_back -= t->hands_back;
    s->closing -= t->closes;
    bound_idle(s);
}

void transfer_start(struct flight *f, const struct receipt *receipt, struct budget_now now)
{
    struct upstream *up = f->up;
    struct transfer *t = take_idle(f->site);
    CURL            *easy = t->easy;
    bool             added;

    *t = (struct transfer){ .up = up, .site = f->site, .flight = f, .fetch = f->leader, .easy = easy, .url = t->url,
                            .set_for = t->set_for, .set_large = t->set_large, .set_to = t->set_to };
    fetch_acquire(t->fetch);
    f->transfer = t;
    t->receipt = *receipt;
    t->charge = f->charge;
    t->reserved_ns = t->begun_ns = t->progress_ns = now.mono_ns;
    t->timer.fire = fire_timer;
    t->ready.receive = receive_ready;
    t->drained.receive = receive_drained;
    t->farewell.receive = receive_farewell;
    link_transfer(t);
    if (t->fetch->upload != NULL && t->fetch->request.method != HTTP_HEAD) {
        t->upload = t->fetch->upload;
        t->mailed = true;
        upload_rewind(t->upload);
        upload_set_reader(t->upload, up->mailbox, &t->ready);
    }
    added = request_prepare(t) && curl_multi_add_handle(f->site->multi, easy) == CURLM_OK;
    if (!added) {
        end_transfer(t, CURLE_FAILED_INIT, false);
        return;
    }
    watch_time(t);
}

/* -- the end -- */

static void keep_idle(struct transfer *t)
{
    struct upstream *up = t->up;

    if (up->idle_count >= IDLE_TRANSFERS) {
        transfer_free(t);
        return;
    }
    t->next_idle = up->idle_transfers;
    up->idle_transfers = t;
    up->idle_count++;
}

static void receive_farewell(struct mail *m)
{
    struct transfer *t = CONTAINER_OF(m, struct transfer, farewell);

    t->up->farewells--;
    keep_idle(t);
}

/* For libcurl's buffer: one for large bodies costs each small one that its memory is put together again. */
static void note_size(const struct transfer *t)
{
    struct site *s = t->site;

    if (t->body_bytes > SPOOL_WRITE_BYTES)
        s->large_next = LARGE_NEXT;
    else if (s->large_next > 0)
        s->large_next--;
}

static void retire(struct transfer *t, bool sound)
{
    struct site *s = t->site;

    note_size(t);
    CHECK(t->up->gathers != t);
    t->ended = true;
    connection_left(t);
    stall_resumed(t);
    timers_clear(&t->up->timers, &t->timer);
    timers_clear(&t->up->timers, &t->expect);
    if (t->upload != NULL)
        upload_set_reader(t->upload, NULL, NULL);
    if (t->answer != NULL && t->answer->body != NULL && t->drained_wanted)
        spool_set_drained_mail(t->answer->body, NULL, NULL);
    unlink_transfer(t);
    request_forget(t, sound);
    answer_release(t->answer);
    t->answer = NULL;
    body_check_close(t->check);
    t->check = NULL;
    arena_free(&t->head.arena);
    fetch_release(t->fetch);
    t->fetch = NULL;
    t->upload = NULL;
    queue_reconsider(s->budget->queue, NULL);       /* a slot is free */
    dispatch_kick(s->budget);
    if (t->mailed) {
        t->up->farewells++;
        mailbox_post(t->up->mailbox, &t->farewell);
    } else {
        keep_idle(t);
    }
}

/* There is nothing to look up: four numbers, or an IPv6 address. */
static bool is_address(struct slice authority)
{
    for (size_t i = 0; i < authority.len && authority.ptr[i] != ':'; i++)
        if ((authority.ptr[i] < '0' || authority.ptr[i] > '9') && authority.ptr[i] != '.')
            return authority.ptr[i] == '[';
    return true;
}

/*
 * Where the address that was known refuses, or another one lives there now, the name may have moved: it is looked up at
 * once, not when curl's cache has run out.  From then on each new connection looks it up, until one is made.
 */
static bool may_have_moved(struct transfer *t, CURLcode code)
{
    bool failed = code == CURLE_COULDNT_CONNECT || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_RECV_ERROR
               || code == CURLE_SEND_ERROR || code == CURLE_PEER_FAILED_VERIFICATION;
    struct slice asked = t->fetch->authority;

    if (t->prereqs > 0 || t->connection != NULL)
        return false;
    if (t->fetch->upstream->via.url != NULL) {       /* the proxy's name is all that is looked up here */
        failed = code == CURLE_COULDNT_CONNECT;
        asked = t->fetch->upstream->via.authority;
    }
    if (t->stop == STOP_CONNECT_TIMEOUT || code == CURLE_OPERATION_TIMEDOUT)
        t->site->name_doubtful = true;        /* for the next one: this one's time is up */
    if (t->stop != STOP_NONE || !failed)
        return false;
    t->site->name_doubtful = true;
    return !t->looked_up && !t->up->stopping && !is_address(asked);
}

/* Nothing was sent, and the connection alone was to blame; or the API says that it has done nothing of it. */
static bool goes_on(struct transfer *t, CURLcode code)
{
    bool moved = may_have_moved(t, code);

    if (t->flight == NULL)
        return false;
    return t->stop == STOP_DEAD_CONNECTION || moved
        || (http2_was_not_done(t) && t->flight->undone < UNDONE_AT_ONCE && !t->up->stopping
            && (t->upload == NULL || upload_is_kept(t->upload)));
}

/* The same turn, with what was reserved for it, goes on with another connection. No attempt was made. */
static void go_on(struct transfer *t)
{
    struct flight *f = t->flight;
    struct receipt receipt = t->receipt;
    int64_t        reserved_ns = t->reserved_ns;

    log_debug("upstream_sent_again", " upstream=%s reason=%s", f->site->name,
              t->stop == STOP_DEAD_CONNECTION ? "dead_connection" : t->prereqs > 0 ? "not_done" : "may_have_moved");
    f->dead_connections += t->stop == STOP_DEAD_CONNECTION;
    f->undone += t->prereqs > 0;
    f->transfer = NULL;
    t->flight = NULL;
    retire(t, false);
    transfer_start(f, &receipt, budget_time());
    if (f->transfer != NULL)
        f->transfer->reserved_ns = reserved_ns;
}

static void end_transfer(struct transfer *t, CURLcode code, bool added)
{
    if (added)
        curl_multi_remove_handle(t->site->multi, t->easy);
    http2_reset_end();
    t->site->reap = true;
    t->site->http1 = t->site->http1 || http2_wants_http1(t);
    if (goes_on(t, code)) {
        go_on(t);
        return;
    }
    attempt_ended(t, code);
    retire(t, added && code == CURLE_OK && t->stop == STOP_NONE);
}

void transfer_stop(struct transfer *t, enum stop stop)
{
    t->stop = stop;
    t->stops = true;
    http2_reset_begin(t);
    end_transfer(t, CURLE_ABORTED_BY_CALLBACK, true);
}

void transfer_abandon(struct transfer *t)
{
    if (t->flight != NULL)
        t->flight->transfer = NULL;
    t->flight = NULL;
    transfer_stop(t, STOP_ABANDONED);
}

static void stop_those(struct site *s)
{
    struct transfer *t = s->transfers;

    s->stops = false;
    while (t != NULL && !t->stops)
        t = t->next_of_site;
    if (t != NULL) {
        s->stops = true;              /* there may be more, and the list changes */
        transfer_stop(t, t->stop);
    }
}

/*
 * Those that libcurl would not end before all of the request is sent.  Where the API has reset the stream, or
 * answers that it did not do it, it wants no more, and this is the end.  Else the rest is sent as long as the API
 * takes it: see next_due().
 */
static bool end_early_one(struct site *s)
{
    struct transfer *t = s->transfers;

    while (t != NULL && !((t->stream_closed || t->head.status >= 300) && http2_answered_early(t) && !t->stops))
        t = t->next_of_site;
    if (t != NULL) {
        end_answered(t);
        return true;                  /* there may be more, and the list changes */
    }
    s->early_ends = false;
    for (t = s->transfers; t != NULL; t = t->next_of_site) {
        bool answered = http2_answered_early(t);

        if (answered)
            watch_time(t);
        else                          /* the body is on its way through libcurl */
            s->early_ends = s->early_ends || (t->stream_ended && !t->sent_all);
    }
    return false;
}

void transfer_reap(struct site *s)
{
    int      left;
    CURLMsg *message;

    s->reap = false;
    while ((message = curl_multi_info_read(s->multi, &left)) != NULL) {
        struct transfer *t = NULL;
        CURLcode         code = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
        end_transfer(t, t->stops ? CURLE_ABORTED_BY_CALLBACK : code, true);
    }
    while (s->stops)
        stop_those(s);
    while (s->early_ends && end_early_one(s))
        ;
}

void transfer_free_all(struct upstream *up)
{
    for (struct site *s = up->sites; s != NULL; s = s->next)
        while (s->transfers != NULL)
            transfer_abandon(s->transfers);
    while (up->idle_transfers != NULL) {
        struct transfer *t = up->idle_transfers;

        up->idle_transfers = t->next_idle;
        transfer_free(t);
    }
    up->idle_count = 0;
}
