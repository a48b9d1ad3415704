/*
 * A flight's turn at the API: what was reserved for it goes with a request of origin/'s, and what comes of that is
 * handed on by events.c.
 *
 * Two mails of other threads may be addressed to a turn (`ready` of the upload, `drained` of the spool).  At its end
 * both are taken back, and then it writes to itself: mail comes in order, so when `farewell` arrives nothing else is on
 * its way and the memory goes.
 */
#include "upstream/internal.h"
#include "upstream/taped.h"
#include "upstream/verdict.h"

#include <stdlib.h>

/* -- beginning -- */

_Static_assert((int)ORIGIN_PIECE_BYTES <= (int)SPOOL_WRITE_BYTES, "a piece is one write of the spool");

static void receive_ready(struct mail *m)
{
    struct turn *t = CONTAINER_OF(m, struct turn, ready);

    if (t->ended || !t->sending.paused)
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

    t->up->pending.farewells--;
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
        .timeout = fetch->patience.timeout,
        .request = &fetch->request,
        .target = bust_target(t, auth_target(fetch, a), a),
        .authority = fetch->authority,
        .auth_name = fetch->auth.header,
        .auth_value = fetch->auth.header.ptr != NULL ? fetch->auth.value : SLICE_NONE,
        .plain = f->ask.plain,
        .no_range = f->ask.plain && fetch->stored.completing,
        .has_body = t->sending.upload != NULL,
        .expects = t->sending.upload != NULL && fetch->expects && !f->ask.unexpecting,
        .body_bytes = t->sending.upload != NULL ? upload_length(t->sending.upload) : 0,
        .fresh = f->ask.dead_connections >= DEAD_CONNECTIONS,
        .script = fetch->script,
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
    t->site->in_flight += !turn_is_played(t);
    if (t->fetch->upload != NULL && t->fetch->request.method != HTTP_HEAD) {
        t->sending.upload = t->fetch->upload;
        t->mailed = true;
        upload_rewind(t->sending.upload);
        upload_set_reader(t->sending.upload, up->mailbox, &t->ready);
    }
    taped_begin(t);
    request = request_of(t);
    made = transfer_start(f->site->origin, &request, up->events, t);
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

void turn_retire(struct turn *t)
{
    static const struct queue_class place;
    struct site                    *s = t->site;

    t->ended = true;
    t->transfer = NULL;
    stall_resumed(t);
    if (t->sending.upload != NULL)
        upload_set_reader(t->sending.upload, NULL, NULL);
    if (t->answer != NULL && t->answer->body != NULL && t->drained_wanted)
        spool_set_drained_mail(t->answer->body, NULL, NULL);
    if (!turn_is_played(t)) {
        forecast_note(t);
        s->in_flight--;
        queue_reconsider(s->budget->queue, &place); /* one is free */
        budget_kick(s->budget);
    }
    LIST_REMOVE(t, entry);
    taped_drop(t);
    answer_release(t->answer);
    t->answer = NULL;
    timers_clear(&t->up->timers, &t->hold);
    metering_close(t->metering);
    t->metering = NULL;
    body_check_close(t->check);
    t->check = NULL;
    verdict_close(t->verdict);
    t->verdict = NULL;
    fetch_release(t->fetch);
    t->fetch = NULL;
    t->sending.upload = NULL;
    if (t->mailed) {
        t->up->pending.farewells++;
        mailbox_post(t->up->mailbox, &t->farewell);
    } else {
        free(t);
    }
}

void turn_abandon(struct turn *t)
{
    if (t->flight != NULL)
        t->flight->turn = NULL;
    t->flight = NULL;
    transfer_stop(t->transfer, STOP_ABANDONED);
}
