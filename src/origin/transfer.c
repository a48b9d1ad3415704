/*
 * The life of an exchange: an easy handle from the pool, its beginning, and every way in which it ends.
 */
#include "origin/internal.h"

#include "base/check.h"
#include "base/ref.h"

#include <stdlib.h>

enum { IDLE_LOOKED_AT = 8 };

static void end_transfer(struct transfer *t, CURLcode code, bool added);

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
    struct due       due = sending_due(t);
    int64_t          now = clock_mono_ns();

    if (due.at_ns > now) {
        transfer_wire_watch(t);
        return;
    }
    if (due.stop == STOP_ANSWERED) {
        end_answered(t);
        return;
    }
    if (due.stop != STOP_NONE) {
        transfer_wire_stop(t, due.stop);
        return;
    }
    t->events->silent(t->owner, t->progress_ns, now);
}

/* -- beginning -- */

/* One whose handle has this origin's options already, where such a one was used of late. */
static struct transfer *take_idle(const struct origin *o)
{
    struct origins   *all = o->all;
    struct transfer **at = &all->idle, *t;

    for (int i = 0; i < IDLE_LOOKED_AT && *at != NULL && (*at)->set_for != o->options_number; i++)
        at = &(*at)->next_idle;
    if (*at == NULL || (*at)->set_for != o->options_number)
        at = &all->idle;
    t = *at;
    if (t != NULL) {
        *at = t->next_idle;
        all->idle_count--;
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

static void keep_idle(struct transfer *t)
{
    struct origins *all = t->all;

    if (all->idle_count >= IDLE_TRANSFERS) {
        transfer_free(t);
        return;
    }
    t->next_idle = all->idle;
    all->idle = t;
    all->idle_count++;
}

/*
 * So many connections stay: those in use and max_idle_connections more.  curl looks at that bound when a connection
 * comes back, and where several come back before their transfers are reaped it sees the bound as it was: so each one
 * that would be too many is closed by its own end (connection_plan()).
 */
static void bound_idle(struct origin *o)
{
    unsigned kept = o->options->max_idle_connections + (o->in_flight > 0 ? o->in_flight - 1 : 0);

    curl_multi_setopt(o->multi, CURLMOPT_MAXCONNECTS, kept > 0 ? (long)kept : 1L);
}

static void link_transfer(struct transfer *t)
{
    struct origin *o = t->origin;

    LIST_INSERT_HEAD(&o->transfers, t, entry);
    o->in_flight++;
    bound_idle(o);
}

static void unlink_transfer(struct transfer *t)
{
    struct origin *o = t->origin;

    LIST_REMOVE(t, entry);
    o->in_flight--;
    o->handed_back -= t->wire.hands_back;
    o->closing -= t->wire.closes;
    bound_idle(o);
}

struct transfer *transfer_wire_start(struct origin *o, const struct origin_request *ask,
                                     const struct origin_events *events, void *owner)
{
    struct transfer *t = take_idle(o);

    *t = (struct transfer){ .all = o->all,
                            .origin = o,
                            .events = events,
                            .owner = owner,
                            .ask = *ask,
                            .easy = t->easy,
                            .url = t->url,
                            .set_for = t->set_for,
                            .set_large = t->set_large,
                            .set_to = t->set_to };
    t->begun_ns = t->progress_ns = clock_mono_ns();
    t->timer.fire = fire_timer;
    link_transfer(t);
    if (!request_prepare(t) || curl_multi_add_handle(o->multi, t->easy) != CURLM_OK) {
        end_transfer(t, CURLE_FAILED_INIT, false);
        return NULL;
    }
    t->ask.target = SLICE_NONE; /* curl has its own */
    transfer_wire_watch(t);
    return t;
}

/* -- the end -- */

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
    bool failed = code == CURLE_COULDNT_CONNECT || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_RECV_ERROR ||
                  code == CURLE_SEND_ERROR || code == CURLE_PEER_FAILED_VERIFICATION;
    struct slice asked = t->ask.authority;

    if (t->prereqs > 0 || t->wire.connection != NULL)
        return false;
    if (t->ask.options->via.url != NULL) { /* the proxy's name is all that is looked up here */
        failed = code == CURLE_COULDNT_CONNECT;
        asked = t->ask.options->via.authority;
    }
    if (t->stop == STOP_CONNECT_TIMEOUT || code == CURLE_OPERATION_TIMEDOUT)
        t->origin->name_doubtful = true; /* for the next one: this one's time is up */
    if (t->stop != STOP_NONE || !failed)
        return false;
    t->origin->name_doubtful = true;
    return !t->looked_up && !is_address(asked);
}

static enum again may_go_on(struct transfer *t, CURLcode code)
{
    bool moved = may_have_moved(t, code);

    if (t->stop == STOP_DEAD_CONNECTION)
        return AGAIN_DEAD_CONNECTION;
    return moved ? AGAIN_MOVED : http2_was_not_done(t) ? AGAIN_NOT_DONE : AGAIN_NO;
}

static struct transfer_end end_of(struct transfer *t, CURLcode code)
{
    struct transfer_end end = { .sent = t->prereqs > 0, .answered = t->head.final, .stop = t->stop };
    bool                early = t->stop == STOP_NONE && http2_answered_early(t); /* a reset after it cuts nothing */
    bool                is_end = (code == CURLE_OK || early) && !tls_end_is_cut(t) && !http2_is_cut(t);

    end.complete = t->head.final && (transfer_has_no_body(t) || is_end);
    end.undone = http2_was_not_done(t);
    end.again = may_go_on(t, code);
    return end;
}

/* For libcurl's buffer: one for large bodies costs each small one that its memory is put together again. */
static void note_size(const struct transfer *t)
{
    struct origin *o = t->origin;

    if (t->body_bytes > ORIGIN_PIECE_BYTES)
        o->large_next = LARGE_NEXT;
    else if (o->large_next > 0)
        o->large_next--;
}

static void end_transfer(struct transfer *t, CURLcode code, bool added)
{
    struct origin      *o = t->origin;
    struct transfer_end end;

    if (added)
        curl_multi_remove_handle(o->multi, t->easy);
    http2_reset_end();
    origin_reap_soon(o);
    o->http1 = o->http1 || http2_wants_http1(t);
    t->code = code;
    end = end_of(t, code);
    CHECK(o->all->gathers != t);
    note_size(t);
    connection_left(t);
    timers_clear(o->all->start.timers, &t->timer);
    timers_clear(o->all->start.timers, &t->sending.patience);
    unlink_transfer(t);
    t->events->end(t->owner, t, &end);
    request_forget(t, added && code == CURLE_OK && t->stop == STOP_NONE);
    arena_free(&t->head.out.arena);
    keep_idle(t);
}

void transfer_wire_stop(struct transfer *t, enum stop stop)
{
    t->stop = stop;
    t->stops = true;
    http2_reset_begin(t);
    end_transfer(t, CURLE_ABORTED_BY_CALLBACK, true);
}

static void stop_those(struct origin *o)
{
    struct transfer *t = LIST_FIRST(&o->transfers);

    o->stops = false;
    while (t != NULL && !t->stops)
        t = LIST_NEXT(t, entry);
    if (t != NULL) {
        o->stops = true; /* there may be more, and the list changes */
        transfer_wire_stop(t, t->stop);
    }
}

/*
 * Those that libcurl would not end before all of the request is sent.  Where the API has reset the stream, or
 * answers that it did not do it, it wants no more, and this is the end.  Else the rest is sent as long as the API
 * takes it: see sending_due().
 */
static bool end_early_one(struct origin *o)
{
    struct transfer *t = LIST_FIRST(&o->transfers);

    while (t != NULL && !((t->stream.closed || t->head.out.status >= 300) && http2_answered_early(t) && !t->stops))
        t = LIST_NEXT(t, entry);
    if (t != NULL) {
        end_answered(t);
        return true; /* there may be more, and the list changes */
    }
    o->early_ends = false;
    LIST_FOREACH (t, &o->transfers, entry) {
        bool answered = http2_answered_early(t);

        if (answered)
            transfer_wire_watch(t);
        else /* the body is on its way through libcurl */
            o->early_ends = o->early_ends || (t->stream.ended && !t->sending.all);
    }
    return false;
}

void transfer_reap(struct origin *o)
{
    int      left;
    CURLMsg *message;

    LIST_TAKE(o, reap);
    while ((message = curl_multi_info_read(o->multi, &left)) != NULL) {
        struct transfer *t = NULL;
        CURLcode         code = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
        end_transfer(t, t->stops ? CURLE_ABORTED_BY_CALLBACK : code, true);
    }
    while (o->stops)
        stop_those(o);
    while (o->early_ends && end_early_one(o))
        ;
}

void transfers_free_idle(struct origins *all)
{
    while (all->idle != NULL) {
        struct transfer *t = all->idle;

        all->idle = t->next_idle;
        transfer_free(t);
    }
    all->idle_count = 0;
}
