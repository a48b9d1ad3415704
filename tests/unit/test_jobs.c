/*
 * Jobs as they are kept: rows there and back, damaged ones, and the way from one run to the next.
 */
#include "jobs/task.h"

#include "base/clock.h"
#include "tempdir.h"

#include <stdlib.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* One run of the rooms that jobs need; no store, so a row is on the disk when state_submit() returns. */
struct run {
    char         *place;
    struct state *state;
    struct jobs  *jobs;
};

static const struct jobs_options options = {
    .keep_ns = 60 * NS_PER_SEC, .max = 100, .max_share = 1.0, .max_bytes = 1 << 20
};

static void run_start(struct run *r)
{
    const struct state_owner *const owners[] = { &jobs_rows, NULL };
    const struct state_options      at = { .path = r->place };
    struct fault                    why = { "" }, note;

    r->state = state_open(&at, owners, &why, &note);
    if (r->state == NULL)
        fail_msg("%s", why.text);
    r->jobs = jobs_open(r->state, NULL, &options, &why);
    if (r->jobs == NULL)
        fail_msg("%s", why.text);
}

static void run_end(struct run *r)
{
    jobs_close(r->jobs);
    state_close(r->state);
}

static void settle(struct task *t)
{
    bool is_settled;

    do {
        jobs_lock(t->jobs);
        is_settled = !t->row.is_saving && !t->has_coming;
        jobs_unlock(t->jobs);
    } while (!is_settled);
}

/* A POST with a body, whose row is on the disk; a reference. */
static struct task *post(struct jobs *jobs, bool may_repeat, bool own_credential)
{
    struct task *t = task_new(jobs);
    struct fault why;

    t->asked.request = (struct http_request){ .method = HTTP_POST,
                                              .method_name = SLICE("POST"),
                                              .target = SLICE("/api/1?x=y"),
                                              .version_minor = 1 };
    t->asked.shown = t->asked.request.target;
    t->asked.upstream = SLICE("api");
    t->asked.has_body = true;
    http_fields_add(&t->asked.kept, &t->arena, SLICE("X-Odd"), SLICE("\xff\x01"));
    t->asked.peer = (struct peer){ .has_uid = true, .uid = 1000, .gid = (gid_t)-1, .address_bytes = 4 };
    t->card = peer_card_remembered(&t->asked.peer);
    t->may_repeat = may_repeat;
    t->own_credential = own_credential;
    t->has_key = true;
    memset(&t->key, t->id[25], sizeof t->key);
    t->body = (struct task_body){ .bytes = 2000, .spool = spool_new(jobs->directory) };
    for (unsigned i = 0; i < 200; i++)
        spool_write(t->body.spool, "0123456789", 10, &why);
    spool_finish(t->body.spool, SPOOL_WHOLE);
    jobs_lock(jobs);
    assert_true(task_take_bytes(t, 2000, options.max_bytes));
    assert_int_equal(task_add(t, &options), TASK_ROOM);
    task_save(t);
    jobs_unlock(jobs);
    settle(t);
    assert_true(t->row.is_there);
    return t;
}

static struct task *found(struct run *r, const char *id)
{
    struct task *t;

    jobs_lock(r->jobs);
    t = task_find(r->jobs, slice_of(id));
    jobs_unlock(r->jobs);
    return t;
}

static void become(struct task *t, enum task_state state, struct task_answer *a)
{
    jobs_lock(t->jobs);
    task_become(t, state, a);
    jobs_unlock(t->jobs);
    settle(t);
}

static int setup(void **state)
{
    struct run *r = mem_alloc(sizeof *r);

    r->place = tempdir_make();
    run_start(r);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct run *r = *state;

    run_end(r);
    tempdir_remove(r->place);
    free(r);
    return 0;
}

static void test_a_row_there_and_back(void **state)
{
    struct run  *r = *state;
    struct task *t = post(r->jobs, true, false), *back;
    struct slice row;

    t->answer = task_answer_problem(PROBLEM_UPSTREAM_FAILED, "why");
    row = row_of_task(t, TASK_FAILED);
    back = row_read(r->jobs, slice_of(t->id), row);
    assert_non_null(back);
    assert_int_equal(back->state, TASK_FAILED);
    assert_int_equal(back->number, t->number);
    assert_int_equal(back->body.bytes, 2000);
    assert_true(back->body.is_in_file);
    assert_true(slice_eq(back->asked.request.target, t->asked.request.target));
    assert_true(slice_eq(back->asked.request.fields.items[0].value, SLICE("\xff\x01")));
    assert_int_equal(back->asked.peer.uid, 1000);
    assert_true(slice_eq(back->answer->body.text, t->answer->body.text));
    task_release(back);
    for (size_t length = 0; length < row.len; length++) /* each way to be cut short */
        assert_null(row_read(r->jobs, slice_of(t->id), slice_sub(row, 0, length)));
    assert_null(row_read(r->jobs, SLICE("short"), row));
    free((char *)(uintptr_t)row.ptr);
    task_release(t);
}

static void test_a_damaged_row_is_no_task(void **state)
{
    struct run  *r = *state;
    struct task *t = post(r->jobs, true, false), *back;
    struct slice row = row_of_task(t, TASK_QUEUED);
    char        *bytes = (char *)(uintptr_t)row.ptr;

    for (size_t i = 0; i < row.len; i++) { /* a byte that is another: whatever it is, nothing else is touched */
        bytes[i] = (char)(bytes[i] ^ 0x80);
        back = row_read(r->jobs, slice_of(t->id), row);
        task_release(back);
        bytes[i] = (char)(bytes[i] ^ 0x80);
    }
    free(bytes);
    task_release(t);
}

enum then { THEN_QUEUED, THEN_MAY_BE_DONE, THEN_CREDENTIAL_GONE };

static const struct {
    const char *name;
    bool        may_repeat, own_credential, marked, row_says_sent;
    enum then   then;
} lives[] = {
    { "queued_is_queued", false, false, false, false, THEN_QUEUED },
    { "marked_may_have_been_done", false, false, true, false, THEN_MAY_BE_DONE },
    { "the_row_says_so_too", false, false, false, true, THEN_MAY_BE_DONE },
    { "what_may_be_repeated_is_sent_again", true, false, false, true, THEN_QUEUED },
    { "without_its_credential_it_cannot_go_on", true, true, false, false, THEN_CREDENTIAL_GONE },
    { "done_or_not_counts_more", false, true, true, false, THEN_MAY_BE_DONE },
};

static void test_from_one_run_to_the_next(void **state)
{
    struct run *r = *state;

    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        struct task *t = post(r->jobs, lives[i].may_repeat, lives[i].own_credential);
        char         id[TASK_ID_LENGTH + 1];
        const char  *problem = lives[i].then == THEN_MAY_BE_DONE ? "*may-have-been-done*" : "*credential-gone*";

        memcpy(id, t->id, sizeof id);
        if (lives[i].marked)
            atomic_store(&r->jobs->marks[t->slot], t->number);
        if (lives[i].row_says_sent)
            become(t, TASK_RUNNING, NULL);
        task_release(t);
        run_end(r);
        run_start(r);
        t = found(r, id);
        assert_non_null(t);
        settle(t);
        if ((t->state == TASK_QUEUED) != (lives[i].then == THEN_QUEUED))
            fail_msg("%s: is %s", lives[i].name, task_state_name(t->state));
        if (t->state == TASK_FAILED && !slice_matches(slice_of(problem), t->answer->body.text))
            fail_msg("%s: says " SLICE_FMT, lives[i].name, SLICE_ARG(t->answer->body.text));
    }
}

/* As after `weirctl restore`: the copy does not know what was sent since. */
static void test_without_marks_all_may_have_been_done(void **state)
{
    struct run  *r = *state;
    struct task *t;
    char         harmful[TASK_ID_LENGTH + 1], harmless[TASK_ID_LENGTH + 1];

    t = post(r->jobs, false, false);
    memcpy(harmful, t->id, sizeof harmful);
    task_release(t);
    t = post(r->jobs, true, false);
    memcpy(harmless, t->id, sizeof harmless);
    task_release(t);
    assert_int_equal(unlinkat(r->jobs->directory, "marks", 0), 0);
    run_end(r);
    run_start(r);
    settle(found(r, harmful));
    assert_int_equal(found(r, harmful)->state, TASK_FAILED);
    assert_int_equal(found(r, harmless)->state, TASK_QUEUED);
}

static void test_what_has_ended_gives_its_bytes_back(void **state)
{
    struct run  *r = *state;
    struct task *first = post(r->jobs, true, false), *second = post(r->jobs, true, false);

    jobs_lock(r->jobs);
    assert_int_equal(r->jobs->bytes, 4000);
    assert_false(task_take_bytes(second, options.max_bytes - 3999, options.max_bytes));
    jobs_unlock(r->jobs);
    become(first, TASK_DONE, task_answer_problem(PROBLEM_UPSTREAM_FAILED, "stands for an answer"));
    jobs_lock(r->jobs);
    assert_false(task_take_bytes(second, options.max_bytes - 3999, options.max_bytes)); /* nobody has read it */
    first->was_read = true;
    assert_true(task_take_bytes(second, options.max_bytes - 3999, options.max_bytes));
    jobs_unlock(r->jobs);
    settle(first);
    assert_int_equal(first->state, TASK_EXPIRED);
    become(second, TASK_GONE, NULL);
    assert_null(found(r, second->id));
    assert_int_equal(r->jobs->bytes, 0);
    assert_int_equal(r->jobs->count, 0);
    task_release(first);
    task_release(second);
}

static void test_the_first_end_counts(void **state)
{
    struct run  *r = *state;
    struct task *t = post(r->jobs, true, false);

    jobs_lock(r->jobs);
    task_become(t, TASK_CANCELLED, NULL);
    task_become(t, TASK_DONE, task_answer_problem(PROBLEM_UPSTREAM_FAILED, "too late"));
    task_become(t, TASK_RUNNING, NULL);
    jobs_unlock(r->jobs);
    settle(t);
    assert_int_equal(t->state, TASK_CANCELLED);
    assert_null(t->answer);
    task_release(t);
}

static void test_numbers_of_changes_grow_over_runs(void **state)
{
    struct run  *r = *state;
    struct task *t = post(r->jobs, true, false);
    uint64_t     before;

    become(t, TASK_DONE, task_answer_problem(PROBLEM_UPSTREAM_FAILED, "x"));
    before = t->seq;
    become(t, TASK_GONE, NULL);
    task_release(t);
    run_end(r);
    run_start(r);
    t = post(r->jobs, true, false);
    assert_true(t->seq > before);
    task_release(t);
}

static enum task_room add_one_of(struct run *r, const struct peer *who, const struct jobs_options *o)
{
    struct task   *t = task_new(r->jobs);
    enum task_room room;

    t->asked.peer = *who;
    t->card = peer_card_remembered(who);
    jobs_lock(r->jobs);
    room = task_add(t, o);
    jobs_unlock(r->jobs);
    task_release(t);
    return room;
}

static void test_what_one_user_may_have(void **state)
{
    static const struct peer here = { .has_uid = true, .uid = 7, .address = { 127, 0, 0, 1 }, .address_bytes = 4 },
                             root = { .has_uid = true, .uid = 0, .address = { 127, 0, 0, 1 }, .address_bytes = 4 },
                             there = { .address = { 10, 0, 0, 1 }, .address_bytes = 4 },
                             else_where = { .address = { 10, 0, 0, 2 }, .address_bytes = 4 };
    static const struct {
        const char        *name;
        unsigned           max;
        double             share;
        const struct peer *first; /* has as many as there may be of one */
        unsigned           of_first;
        const struct peer *second;
        enum task_room     then;
    } cases[] = {
        { "all_of_it", 4, 1.0, &here, 4, &root, TASK_NO_ROOM },
        { "half_leaves_half", 4, 0.5, &here, 2, &root, TASK_ROOM },
        { "a_part_of_one_is_one", 5, 0.5, &here, 3, &root, TASK_ROOM },
        { "one_he_may_always_have", 4, 0.0, &here, 1, &root, TASK_ROOM },
        { "an_address_is_a_user_where_none_is_known", 4, 0.5, &there, 2, &else_where, TASK_ROOM },
        { "a_user_is_not_his_address", 4, 0.5, &here, 2, &there, TASK_ROOM },
    };
    struct run *r = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct jobs_options o = { .max = cases[i].max, .max_share = cases[i].share };
        enum task_room            room;
        struct task              *t;

        for (unsigned n = 0; n < cases[i].of_first; n++)
            if (add_one_of(r, cases[i].first, &o) != TASK_ROOM)
                fail_msg("%s: no room for number %u", cases[i].name, n);
        room = add_one_of(r, cases[i].first, &o);
        if (room != (cases[i].of_first == o.max ? TASK_NO_ROOM : TASK_NO_ROOM_OF_USER))
            fail_msg("%s: %d for one more of the first", cases[i].name, (int)room);
        room = add_one_of(r, cases[i].second, &o);
        if (room != cases[i].then)
            fail_msg("%s: %d for one of the second", cases[i].name, (int)room);
        jobs_lock(r->jobs);
        while ((t = TAILQ_FIRST(&r->jobs->all)) != NULL)
            task_drop(t);
        assert_int_equal(r->jobs->count, 0);
        assert_int_equal(r->jobs->users.count, 0);
        jobs_unlock(r->jobs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_row_there_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_one_user_may_have, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_row_is_no_task, setup, teardown),
        cmocka_unit_test_setup_teardown(test_from_one_run_to_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_marks_all_may_have_been_done, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_has_ended_gives_its_bytes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_first_end_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers_of_changes_grow_over_runs, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
