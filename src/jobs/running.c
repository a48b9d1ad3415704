/*
 * An item's exchange, from its request to a body that is whole: as front/ does it for a client.
 */
#include "jobs/internal.h"

#include "base/clock.h"

#include <stdlib.h>

enum { READ_BYTES = 16 * 1024, AT_ONCE_BYTES = 1024 * 1024, HEAD_BYTES = 256 };

/* -- who asks: the batch's own client -- */

static const struct exchange_input *outer_of(void *owner)
{
    return service_input(((struct item *)owner)->batch->outer);
}

static const struct peer *item_known(void *owner)
{
    return outer_of(owner)->known(outer_of(owner)->owner);
}

static const struct peer *item_who(void *owner)
{
    return outer_of(owner)->who(outer_of(owner)->owner);
}

static struct peer_card *item_card(void *owner)
{
    return outer_of(owner)->card(outer_of(owner)->owner);
}

static void item_label(void *owner, struct request_record *record)
{
    outer_of(owner)->label(outer_of(owner)->owner, record);
}

static void item_interim(void *owner, unsigned status, const struct http_fields *fields)
{
    (void)owner;
    (void)status;
    (void)fields;
}

/* -- its answer -- */

static void count(struct item *i)
{
    struct batch *b = i->batch;
    bool          accepted = i->has_answer && wanted_accepts(&b->wanted, i->status);

    i->is_extra = accepted && b->wanted.take > 0 && b->counts.ok == b->wanted.take;
    if (i->is_extra)
        return;
    b->counts.done++;
    b->counts.ok += accepted;
    b->counts.failed += !accepted;
    b->counts.hits += i->is_hit || i->is_twin;
    if (b->race != NULL && accepted && (i->is_hit || i->is_twin))
        service_race_fewer(b->race);
    b->counts.upstream += i->has_answer && !i->is_hit && !i->is_twin;
}

static void begin(struct item *i);

static void done(struct item *i)
{
    struct batch *b = i->batch;
    struct item  *twin;

    if (i->exchange != NULL)
        exchange_close(i->exchange, clock_mono_ns(), true, i->text.length);
    i->exchange = NULL;
    i->state = ITEM_DONE;
    TAILQ_REMOVE(&b->under_way, i, entry);
    b->under_way_count--;
    count(i);
    TAILQ_INSERT_TAIL(&b->done, i, entry);
    b->done_count++;
    twins_keep(i);
    twins_leave(i);
    while ((twin = twins_next(i)) != NULL)
        begin(twin);
    outlet_done(i);
}

static void fail(struct item *i, enum problem_kind kind, const char *detail)
{
    i->has_answer = false;
    i->status = problem_status(kind);
    result_problem(&i->text, i->id, kind, slice_of(detail), &i->arena);
    done(i);
}

/* Of a batch that is a job all is stored. */
static struct http_fields fields_of(const struct item *i, const struct reply *r, struct arena *a)
{
    return outer_of((void *)(uintptr_t)i)->job != NULL ? service_fields_to_keep(i->exchange, a) : r->fields;
}

static void succeed(struct item *i)
{
    const struct reply *r = exchange_reply(i->exchange);
    struct http_fields  fields = fields_of(i, r, &i->arena);
    struct slice        status = http_fields_join(&fields, SLICE("Cache-Status"), &i->arena);

    i->status = r->status;
    i->has_answer = !exchange_is_own_reply(i->exchange);
    i->is_hit = i->has_answer && slice_matches(SLICE("*weir; hit*"), status);
    i->is_stored = slice_matches(SLICE("*weir; *; stored*"), status);
    if (i->has_answer)
        result_head(&i->text, i->id, r->status, &fields, &i->arena);
    else if (r->kind == REPLY_BYTES)
        result_error(&i->text, i->id, r->status, r->bytes, &i->arena);
    else
        result_error(&i->text, i->id, r->status, SLICE("{}"), &i->arena);
    done(i);
}

static void stop_for_now(struct item *i)
{
    i->goes_on = true;
    batch_later(i->batch);
}

static void check_file(struct item *i)
{
    bool ended;

    if (!result_check_file(&i->text, AT_ONCE_BYTES, &ended))
        fail(i, PROBLEM_UPSTREAM_FAILED, "The stored body cannot be read.");
    else if (ended)
        succeed(i);
    else
        stop_for_now(i);
}

static void read_stream(struct item *i)
{
    struct batch *b = i->batch;
    char          piece[READ_BYTES];
    size_t        got = 0;
    int64_t       until = i->text.length + AT_ONCE_BYTES;

    while (i->text.length < until) {
        switch (exchange_read(i->exchange, piece, sizeof piece, &got)) {
        case SPOOL_READ_BYTES:
            if (!result_add(&i->text, i->text.spool == NULL ? service_spool(b->outer) : NULL, piece, got)) {
                fail(i, PROBLEM_NO_RESOURCES, "The answer could not be kept until its turn.");
                return;
            }
            continue;
        case SPOOL_READ_WAIT:
            return;
        case SPOOL_READ_END:
            succeed(i);
            return;
        case SPOOL_READ_CUT:
            fail(i, PROBLEM_UPSTREAM_FAILED, "The answer's body was cut short.");
            return;
        }
    }
    stop_for_now(i);
}

/* What is borrowed of the store is copied at once. */
static void take_reply(struct item *i)
{
    const struct reply *r = exchange_reply(i->exchange);

    switch (r->kind) {
    case REPLY_EMPTY:
        succeed(i);
        return;
    case REPLY_BYTES:
        result_set_bytes(&i->text, arena_copy(&i->arena, r->bytes));
        succeed(i);
        return;
    case REPLY_FILE:
        result_set_file(&i->text, r->fd, r->offset, r->length);
        exchange_reply_taken(i->exchange);
        i->state = ITEM_CHECKING;
        check_file(i);
        return;
    case REPLY_STREAM:
        i->state = ITEM_STREAMING;
        read_stream(i);
        return;
    }
}

/* -- its request -- */

static void ask(struct item *i)
{
    enum exchange_state state;
    struct slice        body = i->asked.body;

    while (i->sent < body.len) {
        size_t taken = exchange_upload(i->exchange, body.ptr + i->sent, body.len - i->sent);

        i->sent += taken;
        if (taken == 0)
            break;
    }
    if (body.ptr != NULL && i->sent == body.len && !i->sent_all) {
        i->sent_all = true;
        exchange_upload_end(i->exchange);
    }
    state = exchange_run(i->exchange);
    if (state == EXCHANGE_READY)
        take_reply(i);
}

void item_go_on(struct item *i)
{
    i->goes_on = false;
    switch (i->state) {
    case ITEM_FOLLOWS:
        break;
    case ITEM_ASKED:
        ask(i);
        break;
    case ITEM_STREAMING:
        read_stream(i);
        break;
    case ITEM_CHECKING:
        check_file(i);
        break;
    case ITEM_DONE:
        break;
    }
}

static void item_wake(void *owner)
{
    struct item  *i = owner;
    struct batch *b = i->batch;

    item_go_on(i);
    b->pump(b);
}

/* Once more, or for the first time: the one that it has followed may have failed. */
static void begin(struct item *i)
{
    struct batch                *b = i->batch;
    const struct exchange_input *outer = service_input(b->outer);
    const struct exchange_input  in = {
         .request = i->asked.request,
         .has_body = i->asked.body.ptr != NULL,
         .body_bytes = (int64_t)i->asked.body.len,
         .head_bytes = HEAD_BYTES,
         .peer = outer->peer,
         .is_tls = outer->is_tls,
         .proxy_user = outer->proxy_user,
         .known = item_known,
         .who = item_who,
         .card = item_card,
         .label = item_label,
         .wake = item_wake,
         .interim = item_interim,
         .batch = service_id(b->outer),
         .race = b->race,
         .job = outer->job,
         .run = outer->run,
         .owner = i,
    };

    i->state = ITEM_ASKED;
    switch (twins_find(i)) {
    case TWIN_NONE:
        break;
    case TWIN_FOLLOWS:
        i->state = ITEM_FOLLOWS;
        return;
    case TWIN_ANSWERED:
        done(i);
        return;
    }
    i->exchange = exchange_open(b->engine, &in);
    if (exchange_begin(i->exchange) == EXCHANGE_READY)
        take_reply(i);
    else if (in.has_body)
        ask(i);
}

static void enter(struct item *i)
{
    TAILQ_INSERT_TAIL(&i->batch->under_way, i, entry);
    i->batch->under_way_count++;
}

void item_start(struct item *i)
{
    enter(i);
    prospect_start(i);
    begin(i);
}

void item_refuse(struct item *i, const char *wrong)
{
    enter(i);
    fail(i, PROBLEM_BATCH_ITEM, wrong);
}
