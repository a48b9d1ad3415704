/*
 * A batch's life: what is asked comes in, items are under way, answers go out, and one function moves all of it.
 *
 * Places are those of items under way, and of those that are done and wait for room in the answer: so a client that
 * does not read stops the asking.  Whoever leaves takes what is queued with him; what is in flight ends as any exchange
 * whose client has left.
 */
#include "jobs/internal.h"

#include "base/clock.h"
#include "http/list.h"

#include <stdlib.h>

enum {
    STARTS_AT_ONCE = 32,
    ASIDE_MOST = 256 /* each has a descriptor */
};

/* -- going on later -- */

static void batch_pump(struct batch *b);

static void free_batch(struct batch *b)
{
    struct engine *e = b->engine;
    struct item   *i;

    while ((i = TAILQ_FIRST(&b->unused)) != NULL) {
        TAILQ_REMOVE(&b->unused, i, entry);
        arena_free(&i->arena);
        free(i);
    }
    free(b);
    engine_let_go(e);
}

static void receive_drained(struct mail *m)
{
    struct batch *b = CONTAINER_OF(m, struct batch, out.drained);

    b->out.waits = false;
    if (!b->closed)
        batch_pump(b);
}

static void receive_again(struct mail *m)
{
    struct batch *b = CONTAINER_OF(m, struct batch, again);

    b->again_posted = false;
    if (!b->closed)
        batch_pump(b);
}

/* All mail of this worker's that was on its way has come. */
static void receive_fence(struct mail *m)
{
    struct batch *b = CONTAINER_OF(m, struct batch, fence);

    b->fenced = true;
    if (b->prospect.asked == 0)
        free_batch(b);
}

static void tell_progress(struct batch *b)
{
    if (!b->closed)
        outlet_tell_progress(b);
    else if (b->fenced)
        free_batch(b);
}

/* -- all that can be done now -- */

static void go_on_with_items(struct batch *b)
{
    struct item *i, *next;

    TAILQ_FOREACH_SAFE (i, &b->under_way, entry, next)
        if (i->goes_on)
            item_go_on(i);
}

static bool is_over(const struct batch *b)
{
    if (b->wanted.take > 0 && b->counts.ok >= b->wanted.take)
        return true;
    return b->in.all_read && b->under_way_count == 0;
}

static bool has_place(const struct batch *b)
{
    return !b->out.ended && !is_over(b) && b->aside_count < ASIDE_MOST &&
           b->under_way_count + b->done_count - b->aside_count < b->wanted.concurrency;
}

/* False: there is none to start. */
static bool start_one(struct batch *b)
{
    struct item *i = item_new(b);
    const char  *wrong;

    if (!input_next(b, i, &wrong)) {
        item_free(i);
        return false;
    }
    if (wrong != NULL)
        item_refuse(i, wrong);
    else
        item_start(i);
    return true;
}

static void start_items(struct batch *b)
{
    for (unsigned n = 0; has_place(b) && outlet_has_room(b); n++) {
        if (n == STARTS_AT_ONCE) {
            batch_later(b);
            return;
        }
        if (!start_one(b))
            return;
        outlet_write(b);
    }
}

static void drop_items(struct batch *b)
{
    struct item *i;

    while ((i = TAILQ_FIRST(&b->under_way)) != NULL)
        item_drop(i);
}

static const char *content_type(const struct batch *b)
{
    static const char *const types[] = { [FORM_JSON] = "application/json",
                                         [FORM_LINES] = "application/x-ndjson",
                                         [FORM_EVENTS] = "text/event-stream" };

    return types[b->out.form];
}

/* Who asks for a form gets it; else it is that of what was asked. */
static enum batch_form form_of(const struct batch *b)
{
    struct http_list l = http_list_of_field(&service_input(b->outer)->request.fields, HTTP_ACCEPT);
    struct slice     wish;

    while (http_list_next(&l, &wish)) {
        if (slice_starts_with(wish, SLICE("application/x-ndjson")) ||
            slice_starts_with(wish, SLICE("application/ndjson")) || slice_starts_with(wish, SLICE("application/jsonl")))
            return FORM_LINES;
        if (slice_starts_with(wish, SLICE("text/event-stream")))
            return FORM_EVENTS;
        if (slice_starts_with(wish, SLICE("application/json")))
            return FORM_JSON;
    }
    return b->in.shape == SHAPE_LINES ? FORM_LINES : FORM_JSON;
}

/* What is asked has come, and is well: from here on the answer's head is said. */
static void answer(struct batch *b)
{
    b->out.answered = true;
    spool_set_pass(b->out.to);
    service_answer(b->outer, 200, content_type(b), b->out.to);
    service_wake(b->outer);
}

static void end_where_over(struct batch *b)
{
    if (b->out.ended || !b->out.answered || !is_over(b))
        return;
    b->in.all_read = true;
    drop_items(b);
    outlet_write(b);
    if (b->done_count == 0 && b->out.early_ones.count == 0 && b->out.early_left == 0)
        outlet_end(b);
}

/* Lines that are answered later are looked at first, as far as that is to be done at once: false. */
static bool check_lines(struct batch *b)
{
    for (unsigned n = 0; n < STARTS_AT_ONCE && !b->refused; n++) {
        struct item *i = item_new(b);
        const char  *wrong;
        const bool   more = input_next(b, i, &wrong);

        if (more && wrong == NULL)
            later_note(b, i);
        item_free(i);
        if (!more)
            return true;
    }
    return b->refused;
}

/* True: there is nothing to be asked here, now or ever. */
static bool goes_later(struct batch *b)
{
    if (b->later.taker != NULL)
        return true;
    if (!later_is_wanted(b))
        return false;
    if (!b->in.ended)
        return b->in.shape == SHAPE_LINES;
    if (b->in.shape == SHAPE_LINES && !check_lines(b)) {
        batch_later(b);
        return true;
    }
    if (b->refused)
        service_wake(b->outer);
    else
        later_take(b);
    return true;
}

static struct race *race_of(const struct wanted *w)
{
    struct race_accept a = { .count = 1, .statuses = { { 200, 299 } } };

    if (w->accepted > 0)
        a.count = w->accepted;
    for (unsigned i = 0; i < w->accepted; i++) {
        a.statuses[i].first = w->accept[i].first;
        a.statuses[i].last = w->accept[i].last;
    }
    return service_race(w->take, &a);
}

static void batch_pump(struct batch *b)
{
    struct input *in = &b->in;

    if (b->refused || b->closed)
        return;
    if (in->shape != SHAPE_LINES) {
        if (!in->ended)
            return;
        if (!in->checked && !input_check(b)) {
            if (b->refused)
                service_wake(b->outer);
            else
                batch_later(b);
            return;
        }
        if (b->refused) {
            service_wake(b->outer);
            return;
        }
    }
    if (goes_later(b))
        return;
    if (b->out.form == FORM_UNKNOWN) {
        b->out.form = form_of(b);
        b->wanted.by_completion |= b->wanted.take > 0 && !b->wanted.has_order;
        b->race = b->wanted.take > 0 ? race_of(&b->wanted) : NULL;
    }
    if (in->ended && !b->out.answered)
        answer(b);
    go_on_with_items(b);
    outlet_write(b);
    start_items(b);
    if (b->refused) {
        service_wake(b->outer);
        return;
    }
    end_where_over(b);
}

static void batch_tick(struct engine_ticker *t, int64_t now_ns)
{
    struct batch *b = CONTAINER_OF(t, struct batch, ticker);

    if (b->progress_at_ns == 0)
        b->progress_at_ns = b->started_ns + b->wanted.progress_ns;
    if (b->wanted.progress_ns == 0 || !b->out.answered || now_ns < b->progress_at_ns)
        return;
    b->progress_at_ns = now_ns + b->wanted.progress_ns;
    if (outlet_tells_progress(b))
        prospect_ask(b, tell_progress);
}

/* -- the service -- */

static bool is_json_or_lines(struct slice type)
{
    return type.ptr == NULL || !slice_starts_with(type, SLICE("multipart/"));
}

static void *batch_open(struct exchange *x)
{
    const struct exchange_input *in = service_input(x);
    struct slice                 path, query, type = http_fields_get(&in->request.fields, HTTP_CONTENT_TYPE);
    struct batch                *b;
    const char                  *wrong;

    http_target_split(in->request.target, &path, &query);
    if (in->request.method != HTTP_POST || !in->has_body || !is_json_or_lines(type)) {
        service_refuse(x, in->request.method != HTTP_POST ? PROBLEM_BATCH_METHOD : PROBLEM_BATCH_NOT_JSON,
                       SLICE("A batch is a POST with a list of URLs or items, an object of them, or lines."));
        return NULL;
    }
    b = mem_alloc(sizeof *b);
    b->outer = x;
    b->engine = service_engine(x);
    b->mailbox = service_mailbox(x);
    b->arena = service_arena(x);
    b->pump = batch_pump;
    b->ticker.tick = batch_tick;
    engine_add_ticker(b->engine, &b->ticker);
    b->again.receive = receive_again;
    b->out.drained.receive = receive_drained;
    b->fence.receive = receive_fence;
    b->started_ns = clock_mono_ns();
    TAILQ_INIT(&b->under_way);
    TAILQ_INIT(&b->done);
    TAILQ_INIT(&b->unused);
    engine_hold(b->engine);
    wanted_begin(&b->wanted, batch_bounds(b));
    wrong = wanted_read_query(&b->wanted, batch_bounds(b), query, b->arena);
    if (wrong != NULL)
        batch_refuse(b, PROBLEM_BATCH_OPTION, slice_of(wrong));
    batch_check_wanted(b);
    later_read_fields(b);
    input_begin(b, type);
    outlet_begin(b);
    return b;
}

static size_t batch_upload(void *handle, const void *bytes, size_t count)
{
    struct batch *b = handle;
    size_t        taken = input_add(b, bytes, count);

    if (b->in.shape == SHAPE_LINES)
        batch_pump(b);
    return taken;
}

static void batch_upload_end(void *handle)
{
    struct batch *b = handle;

    input_end(b);
    batch_pump(b);
}

static void batch_close(void *handle)
{
    struct batch *b = handle;

    b->closed = true;
    later_close(b);
    drop_items(b);
    while (!TAILQ_EMPTY(&b->done))
        item_drop(TAILQ_FIRST(&b->done));
    input_close(b);
    outlet_close(b);
    twins_close(b);
    service_race_release(b->race);
    engine_drop_ticker(&b->ticker);
    mailbox_post(b->mailbox, &b->fence);
}

const struct engine_service jobs_batch = {
    .path = "/.weir/batch",
    .heeds_dry_run = true,
    .open = batch_open,
    .upload = batch_upload,
    .upload_end = batch_upload_end,
    .close = batch_close,
};
