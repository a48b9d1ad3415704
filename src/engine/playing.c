/*
 * Answers from a snapshot, in the API's place (mode = "replay"): nothing else is looked at, neither the cache nor a
 * budget, nor a credential that Weir would add, and nothing is sent.
 *
 * What is whole is answered here, as a hit is: its body is in memory, or a file that the kernel sends.  What needs
 * time or ends otherwise (a pace, a 1xx head, trailers, a failure, a cut) is told by origin/script.h through the
 * upstream thread.
 *
 * What is not recorded is a 504 that names the nearest, or goes the way of any other request (`miss`).
 */
#include "base/clock.h"
#include "config/mode.h"
#include "engine/internal.h"
#include "http/hop.h"
#include "origin/script.h"
#include "policy/validate.h"
#include "tape/shift.h"

enum {
    SCRIPT_MOST_BYTES = 64 * 1024 * 1024 /* of a body that does not go out as it stands */
};

/* -- what is the same in both ways -- */

/* End to end, with a Date: what came without one is dated by its arrival (RFC 9110 6.6.1), as it was then. */
static struct http_fields fields_of(const struct exchange *x, const struct snapshot_exchange *e, struct arena *a)
{
    struct http_fields end_to_end = http_fields_end_to_end(&e->response, a);
    struct http_fields f = http_fields_copy(&end_to_end, a);
    char               date[HTTP_DATE_BYTES];

    if (http_fields_find(&f, HTTP_DATE, 0) < 0) {
        http_date_format((e->time_ms + e->took_ms) / 1000, date);
        http_fields_add_id(&f, a, HTTP_DATE, arena_copy(a, slice_of(date)));
    }
    if (tape_options(playing_tape(x))->time == TAPE_NOW)
        shift_times(&f, (clock_wall_ns() / NS_PER_MS - e->time_ms) / 1000, a);
    return f;
}

static bool has_content(const struct exchange *x, const struct snapshot_exchange *e)
{
    return x->in.request.method != HTTP_HEAD && !http_status_has_no_body(e->status);
}

/* -- as it stands -- */

static bool goes_as_it_stands(const struct exchange *x, const struct snapshot_exchange *e)
{
    const bool paced = e->timing_count > 0 && tape_options(playing_tape(x))->timing;

    return e->end == SNAPSHOT_WHOLE && e->status >= 200 && e->interim_count == 0 && e->trailers.count == 0 && !paced;
}

/* Of a HEAD: what the API said. */
static int64_t told_length(const struct http_fields *f)
{
    int64_t length;

    return slice_to_int64(http_fields_get(f, HTTP_CONTENT_LENGTH), &length) && length >= 0 ? length : -1;
}

static bool is_conditional(const struct http_fields *f)
{
    return http_fields_find(f, HTTP_IF_NONE_MATCH, 0) >= 0 || http_fields_find(f, HTTP_IF_MODIFIED_SINCE, 0) >= 0;
}

/* The client has this one already, and nobody asked the API that way. */
static bool has_it(struct exchange *x, const struct snapshot_exchange *e, const struct http_fields *fields)
{
    const struct stored_response r = { .head = { .status = e->status, .fields = *fields } };

    return e->status == 200 && is_conditional(&x->in.request.fields) && !is_conditional(&e->request) &&
           policy_precondition(&x->in.request, &r) == PRECONDITION_NOT_MODIFIED;
}

static void give_content(struct reply *r, struct tape_answer *found)
{
    r->length = (int64_t)found->body.bytes;
    if (found->body.bytes == 0 || found->exchange.body.name.ptr == NULL) {
        r->kind = REPLY_EMPTY;
        r->length = 0;
    } else if (found->body.kept.ptr != NULL) {
        r->kind = REPLY_BYTES;
        r->bytes = found->body.kept;
    } else {
        r->kind = REPLY_FILE;
        r->fd = found->body.fd;
        r->offset = (int64_t)found->body.from;
        found->body.fd = -1;
    }
}

static enum step reply_as_it_stands(struct exchange *x, struct tape_answer *found)
{
    struct reply *r = &x->reply;

    *r = (struct reply){ .status = found->exchange.status, .kind = REPLY_EMPTY, .fd = -1, .length = -1 };
    r->fields = fields_of(x, &found->exchange, &x->arena);
    if (has_it(x, &found->exchange, &r->fields)) {
        r->status = 304;
        r->fields = policy_304_fields(&r->fields, &x->arena);
    } else if (has_content(x, &found->exchange)) {
        give_content(r, found);
    } else {
        r->length = r->status == 204 ? 0 : told_length(&r->fields);
    }
    http_fields_remove(&r->fields, HTTP_CONTENT_LENGTH);
    x->finish = (struct finish){ .of_api = true };
    return STEP_FINISH;
}

/* -- through the upstream thread -- */

static const struct script_interim *interims_of(const struct snapshot_exchange *e, struct arena *a)
{
    struct script_interim *all = arena_alloc(a, (e->interim_count + 1) * sizeof *all);

    for (unsigned i = 0; i < e->interim_count; i++)
        all[i] = (struct script_interim){ e->interims[i].status, http_fields_copy(&e->interims[i].fields, a) };
    return all;
}

/* The snapshot says how much had come by then, a script how much came. */
static const struct script_piece *pieces_of(const struct snapshot_exchange *e, struct arena *a)
{
    struct script_piece *all = arena_alloc(a, (e->timing_count + 1) * sizeof *all);

    for (unsigned i = 0; i < e->timing_count; i++) {
        uint64_t before = i > 0 ? e->timing[i - 1].bytes : 0, now = e->timing[i].bytes;

        all[i] = (struct script_piece){ e->timing[i].at_ms * NS_PER_MS, now > before ? (int64_t)(now - before) : 0 };
    }
    return all;
}

static bool read_body(const struct snapshot_bytes *b, struct arena *a, struct slice *out)
{
    char    *bytes = arena_alloc_raw(a, (size_t)b->bytes + 1);
    uint64_t at = 0;

    if (b->kept.ptr != NULL) {
        *out = arena_copy(a, b->kept);
        return true;
    }
    while (at < b->bytes) {
        ssize_t n = snapshot_body_read(b, at, bytes + at, (size_t)(b->bytes - at));

        if (n <= 0)
            return false;
        at += (uint64_t)n;
    }
    *out = (struct slice){ bytes, (size_t)b->bytes };
    return true;
}

/* Stands in the fetch's own memory.  NULL: its body cannot be read. */
static const struct origin_script *script_of(const struct exchange *x, const struct tape_answer *found, struct arena *a)
{
    const struct snapshot_exchange *e = &found->exchange;
    struct origin_script           *s = arena_alloc(a, sizeof *s);

    *s = (struct origin_script){
        .interims = interims_of(e, a),
        .interim_count = e->interim_count,
        .status = e->status,
        .trailers = http_fields_copy(&e->trailers, a),
        .sent_wall_ns = e->time_ms * NS_PER_MS,
        .came_wall_ns = (e->time_ms + e->took_ms) * NS_PER_MS,
        .is_cut = e->end != SNAPSHOT_WHOLE,
        .failed_as = tape_outcome_of(e->end),
    };
    if (e->status != 0)
        s->fields = fields_of(x, e, a);
    if (tape_options(playing_tape(x))->timing) {
        s->pieces = pieces_of(e, a);
        s->piece_count = e->timing_count;
    }
    if (e->body.name.ptr == NULL)
        return s;
    return found->body.bytes <= SCRIPT_MOST_BYTES && read_body(&found->body, a, &s->body) ? s : NULL;
}

static enum step reply_unusable(struct exchange *x, const char *why)
{
    return reply_problem(x, &(struct problem){ .kind = PROBLEM_SNAPSHOT_UNUSABLE,
                                               .reason = "replay",
                                               .retry_after_ns = -1,
                                               .detail = arena_copy(&x->arena, slice_of(why)) });
}

static enum step ask_script(struct exchange *x, struct tape_answer *found)
{
    struct fetch *f = asking_fill(x);

    f->script = script_of(x, found, &f->arena);
    if (f->script == NULL) {
        fetch_leave(x->engine->services->upstream, f);
        return reply_unusable(x,
                              "The body of the recorded answer cannot be read, or is too long to be replayed with its "
                              "pace or its failure.");
    }
    f->owner = x;
    x->fetch = f;
    asking_submit(x, f);
    x->at = STEP_AWAIT;
    return STEP_SUSPEND;
}

/* -- what is not recorded -- */

static enum step reply_missing(struct exchange *x, const struct snapshot_nearest *n)
{
    struct slice detail = SLICE("Nothing is recorded in this snapshot.");

    if (n->method.ptr != NULL)
        detail = arena_printf(&x->arena, "The nearest that is recorded: " SLICE_FMT " " SLICE_FMT "; " SLICE_FMT ".",
                              SLICE_ARG(n->method), SLICE_ARG(n->url), SLICE_ARG(n->difference));
    counter_add(COUNTER_NOT_RECORDED, 1);
    x->log.counter = COUNTER_UNAVAILABLE;
    return reply_problem(x, &(struct problem){ .kind = PROBLEM_NOT_RECORDED,
                                               .reason = "replay",
                                               .retry_after_ns = -1,
                                               .detail = detail });
}

/* Its body was taken to be looked for, and is what there is to send. */
static void send_on(struct exchange *x)
{
    if (!x->in.has_body || x->play.body == NULL)
        return;
    x->body.upload = upload_of(x->play.body, x->play.body_bytes);
    upload_set_worker(x->body.upload, x->engine->mailbox, &x->body.room);
    x->play.body = NULL;
    x->body.collecting = true; /* for the key, where it is part of that */
}

/* A client that replays on its own is not let through where the upstream's mode would hold it. */
static bool is_held_back(const struct exchange *x)
{
    return playing_tape(x) == x->play.own && !config_mode_lets_all(config_mode_now(x->up, x->log.started_wall_ns));
}

static enum step go_on_without(struct exchange *x, const struct snapshot_nearest *nearest)
{
    if (tape_options(playing_tape(x))->miss == TAPE_MISS_ERROR || is_held_back(x))
        return reply_missing(x, nearest);
    send_on(x);
    x->play.missed = true;
    return STEP_KEY;
}

/* -- the step -- */

static struct slice url_of(struct exchange *x)
{
    return arena_printf(&x->arena, SLICE_FMT "://" SLICE_FMT SLICE_FMT, SLICE_ARG(x->up->fetch.origin.scheme),
                        SLICE_ARG(playing_authority(x, &x->arena)), SLICE_ARG(x->route.target));
}

static enum step reply_found(struct exchange *x, struct tape_answer *found)
{
    enum step next;

    counter_add(COUNTER_REPLAYED, 1);
    x->log.cache = "replay";
    x->log.counter = COUNTER_OWN;
    x->auth.names = x->auth.adds = false;
    next = goes_as_it_stands(x, &found->exchange) ? reply_as_it_stands(x, found) : ask_script(x, found);
    snapshot_body_close(&found->body);
    return next;
}

enum step step_replay(struct exchange *x)
{
    struct tape            *tape = playing_tape(x);
    struct snapshot_nearest nearest;
    struct tape_answer      found;
    struct fault            why = { "" };

    if (tape == NULL || !tape_plays(tape))
        return reply_unusable(x,
                              "This upstream's mode is replay, and no snapshot is open: the upstream's snapshot.path "
                              "names one.");
    if (x->in.has_body && !x->body.ended) {
        x->play.collects = true;
        return STEP_SUSPEND;
    }
    x->play.collects = false;
    if (x->play.too_long)
        return reply_unusable(x, "The request's body is too long to be looked for: over 64 MiB.");
    switch (tape_find(tape,
                      &(struct snapshot_request){ .method = x->in.request.method_name,
                                                  .url = url_of(x),
                                                  .fields = &x->in.request.fields,
                                                  .body = { x->play.body, x->play.body_bytes } },
                      &found, &nearest, &x->arena, &why)) {
    case SNAPSHOT_FOUND:
        return reply_found(x, &found);
    case SNAPSHOT_MISSED:
        return go_on_without(x, &nearest);
    case SNAPSHOT_BROKEN:
        break;
    }
    return reply_unusable(x, why.text);
}
