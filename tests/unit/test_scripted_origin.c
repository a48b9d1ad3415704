/*
 * The upstream thread without libcurl and without a socket: a script stands beneath origin/origin.h in the place of
 * origin/, none of which is linked.
 */
#include "rig.h"

#include "base/clock.h"
#include "base/ref.h"
#include "head.h"
#include "origin/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* -- the script -- */

struct line { /* what becomes of one request; the last line holds for all that follow */
    enum again           again;
    enum attempt_outcome failed_as; /* where no head comes */
    unsigned             interim;   /* a 1xx before the head; 0: none */
    unsigned             status;    /* 0: no head comes */
    const char          *fields, *body;
    bool                 is_cut; /* the body breaks off */
};

enum { LINES = 4 };

static const struct line *script;
static unsigned           asked, asked_afresh; /* the upstream thread's until it is closed */

struct origins {
    struct origins_start start;
};
struct origin {
    struct origins *all;
};
struct transfer {
    struct origin              *origin;
    const struct origin_events *events;
    void                       *owner;
    const struct line          *line;
    struct timer                timer;
    bool                        sent, answered;
};

struct origins *origins_open(const struct origins_start *start)
{
    struct origins *all = mem_alloc(sizeof *all);

    all->start = *start;
    return all;
}

void origins_close(struct origins *all)
{
    free(all);
}

void origins_serve(struct origins *all, const struct epoll_event *e)
{
    (void)all, (void)e;
    fail_msg("a script has no descriptor");
}

void origins_reap(struct origins *all)
{
    (void)all;
}

struct origin *origin_open(struct origins *all, const char *name, const unsigned *waiting)
{
    struct origin *o = mem_alloc(sizeof *o);

    (void)name, (void)waiting;
    o->all = all;
    return o;
}

void origin_configure(struct origin *o, const struct origin_options *options)
{
    (void)o, (void)options;
}

void origin_close(struct origin *o)
{
    free(o);
}

struct origin_known origin_known(const struct origin *o)
{
    (void)o;
    return (struct origin_known){ .streams = 1 };
}

static void end(struct transfer *t, struct transfer_end how)
{
    how.sent = t->sent;
    how.answered = t->answered;
    timers_clear(t->origin->all->start.timers, &t->timer);
    t->events->end(t->owner, t, &how);
    free(t);
}

static enum stop give_head(struct transfer *t)
{
    const struct line   *l = t->line;
    struct transfer_head head = {
        .status = l->status,
        .content_length = l->body != NULL ? (int64_t)strlen(l->body) : -1,
        .may_wait = true,
        .sent_wall_ns = clock_wall_ns(),
        .came_wall_ns = clock_wall_ns(),
    };
    struct head made;
    enum stop   stop;

    made = head_of(l->fields != NULL ? l->fields : "");
    head.fields = http_fields_copy(&made.fields, &head.arena);
    head_free(&made);
    t->answered = true;
    stop = t->events->head(t->owner, &head);
    arena_free(&head.arena);
    return stop;
}

static enum stop act(struct transfer *t)
{
    const struct line *l = t->line;
    enum stop          stop = t->events->sends(t->owner);
    struct http_fields none = { 0 };
    struct arena       a = { 0 };

    if (stop != STOP_NONE)
        return stop;
    t->sent = l->again == AGAIN_NO || l->again == AGAIN_NOT_DONE;
    if (l->interim != 0)
        t->events->interim(t->owner, l->interim, &none, &a);
    arena_free(&a);
    if (l->status == 0)
        return STOP_NONE;
    stop = give_head(t);
    if (stop != STOP_NONE || l->body == NULL)
        return stop;
    assert_true(t->events->takes(t->owner));
    return t->events->body(t->owner, l->body, l->is_cut ? strlen(l->body) / 2 : strlen(l->body));
}

static void fire(struct timer *timer)
{
    struct transfer            *t = CONTAINER_OF(timer, struct transfer, timer);
    const struct origins_start *start = &t->origin->all->start;
    enum stop                   stop;

    start->acts(start->context, true);
    stop = act(t);
    end(t, (struct transfer_end){ .complete = t->answered && stop == STOP_NONE && !t->line->is_cut,
                                  .undone = t->line->again == AGAIN_NOT_DONE,
                                  .again = t->line->again,
                                  .stop = stop });
    start->acts(start->context, false);
}

struct transfer *transfer_start(struct origin *o, const struct origin_request *ask, const struct origin_events *events,
                                void *owner)
{
    struct transfer *t = mem_alloc(sizeof *t);

    t->origin = o;
    t->events = events;
    t->owner = owner;
    t->line = &script[asked < LINES ? asked : LINES - 1];
    t->timer.fire = fire;
    asked++;
    asked_afresh += ask->fresh;
    timers_set(o->all->start.timers, &t->timer, clock_mono_ns());
    return t;
}

void transfer_stop(struct transfer *t, enum stop stop)
{
    end(t, (struct transfer_end){ .stop = stop });
}

void transfer_resume_source(struct transfer *t)
{
    (void)t;
}

void transfer_resume_body(struct transfer *t)
{
    (void)t;
}

void transfer_watch(struct transfer *t)
{
    (void)t;
}

void failure_set(struct failure *f, enum attempt_outcome outcome, const char *token, const char *format, ...)
{
    va_list args;

    *f = (struct failure){ .outcome = outcome, .token = token };
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
}

void transfer_failure(const struct transfer *t, struct failure *f)
{
    failure_set(f, t->line->failed_as, "connection_refused", "as the script has it");
}

/* -- the tests -- */

#define WHOLE \
    { \
        .status = 200, .fields = "Cache-Control: max-age=60\n", .body = "hello" \
    }
#define SAME(...) \
    { \
        __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__ \
    }

static const struct row {
    const char      *name;
    unsigned         attempts; /* allowed */
    struct line      lines[LINES];
    enum fetch_event event;
    const char      *body; /* NULL: it is cut */
    unsigned         requests, told, afresh;
} rows[] = {
    { "a_whole_answer", 1, SAME(WHOLE), FETCH_HEAD, "hello", 1, 1, 0 },
    { "a_failure_is_tried_again",
      3,
      { { .failed_as = ATTEMPT_REFUSED }, { .failed_as = ATTEMPT_DROPPED }, WHOLE, WHOLE },
      FETCH_HEAD,
      "hello",
      3,
      3,
      0 },
    { "as_often_as_it_may_be", 2, SAME({ .failed_as = ATTEMPT_REFUSED }), FETCH_FAILED, NULL, 2, 2, 0 },
    { "what_was_not_done_is_no_attempt",
      1,
      { { .again = AGAIN_NOT_DONE }, WHOLE, WHOLE, WHOLE },
      FETCH_HEAD,
      "hello",
      2,
      1,
      0 },
    { "a_dead_connection_is_none_either",
      1,
      { { .again = AGAIN_DEAD_CONNECTION }, { .again = AGAIN_DEAD_CONNECTION }, WHOLE, WHOLE },
      FETCH_HEAD,
      "hello",
      3,
      1,
      1 },
    { "a_listed_status_is_tried_again",
      2,
      { { .status = 503, .body = "no" }, WHOLE, WHOLE, WHOLE },
      FETCH_HEAD,
      "hello",
      2,
      2,
      0 },
    { "a_body_that_breaks_off", 3, SAME({ .status = 200, .body = "hello", .is_cut = true }), FETCH_HEAD, NULL, 1, 1,
      0 },
};

static void run_row(const struct row *row)
{
    static const unsigned on[] = { 503, 0 };
    struct rig            r;
    struct fetch         *f;

    script = row->lines;
    asked = asked_afresh = 0;
    rig_open(&r, NULL, NULL);
    r.options.retry.attempts = row->attempts;
    r.options.retry.statuses = on;
    r.options.retry.status_count = 1;
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    rig_submit(&r, f);
    if (rig_await(&r, f) != row->event)
        fail_msg("%s: event %d", row->name, (int)f->event);
    if (row->event == FETCH_HEAD && row->body != NULL)
        rig_expect_body(&r, f, row->body);
    if (row->event == FETCH_HEAD && row->body == NULL) {
        char   text[16];
        size_t got;

        assert_int_equal(rig_body(&r, f, text, sizeof text, &got), SPOOL_READ_CUT);
    }
    if (f->outcome.attempt_count != row->told)
        fail_msg("%s: %u attempts told", row->name, f->outcome.attempt_count);
    rig_leave(&r, f);
    rig_close(&r);
    if (asked != row->requests || asked_afresh != row->afresh)
        fail_msg("%s: %u requests, %u afresh", row->name, asked, asked_afresh);
}

static void test_what_a_flight_makes_of_a_script(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        run_row(&rows[i]);
}

static void test_a_103_is_passed_on(void **state)
{
    static const struct line lines[LINES] = SAME({ .interim = 103, .status = 204 });
    struct rig               r;
    struct fetch            *f;

    (void)state;
    script = lines;
    asked = 0;
    rig_open(&r, NULL, NULL);
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    rig_expect(&r, f, FETCH_HEAD, 204);
    assert_int_equal(r.interims, 1);
    assert_int_equal(r.last_interim, 103);
    rig_leave(&r, f);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_flight_makes_of_a_script),
        cmocka_unit_test(test_a_103_is_passed_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
