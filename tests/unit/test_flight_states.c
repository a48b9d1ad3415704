/*
 * What a flight may become: the table of moves, whole.
 */
#include "upstream/states.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static const struct {
    const char       *name;
    enum flight_state from, to;
} allowed[] = {
    { "a_new_one_stands_apart_to_be_named", FLIGHT_NEW, FLIGHT_NAMING },
    { "a_new_one_stands_in_line", FLIGHT_NEW, FLIGHT_WAITING },
    { "a_new_one_has_a_script", FLIGHT_NEW, FLIGHT_SENDING },
    { "a_new_one_is_refused", FLIGHT_NEW, FLIGHT_OVER },
    { "a_named_one_stands_in_line", FLIGHT_NAMING, FLIGHT_WAITING },
    { "one_that_is_being_named_is_left", FLIGHT_NAMING, FLIGHT_OVER },
    { "one_in_line_is_sent", FLIGHT_WAITING, FLIGHT_SENDING },
    { "one_in_line_is_stored_by_now", FLIGHT_WAITING, FLIGHT_ENDING },
    { "one_in_line_is_left", FLIGHT_WAITING, FLIGHT_OVER },
    { "a_pause_ends_in_line", FLIGHT_PAUSING, FLIGHT_WAITING },
    { "a_pause_is_longer_than_anybody_waits", FLIGHT_PAUSING, FLIGHT_ENDING },
    { "a_pause_is_left", FLIGHT_PAUSING, FLIGHT_OVER },
    { "what_was_not_sent_stands_in_line_again", FLIGHT_SENDING, FLIGHT_WAITING },
    { "what_failed_pauses", FLIGHT_SENDING, FLIGHT_PAUSING },
    { "a_head_is_given_out", FLIGHT_SENDING, FLIGHT_STREAMING },
    { "what_failed_for_good_ends", FLIGHT_SENDING, FLIGHT_ENDING },
    { "what_is_sent_is_left", FLIGHT_SENDING, FLIGHT_OVER },
    { "a_body_ends", FLIGHT_STREAMING, FLIGHT_ENDING },
    { "a_body_is_left", FLIGHT_STREAMING, FLIGHT_OVER },
    { "what_has_ended_is_over", FLIGHT_ENDING, FLIGHT_OVER },
};

enum { ALLOWED = sizeof allowed / sizeof *allowed };

static const char *what_is_allowed(enum flight_state from, enum flight_state to)
{
    for (size_t i = 0; i < ALLOWED; i++)
        if (allowed[i].from == from && allowed[i].to == to)
            return allowed[i].name;
    return NULL;
}

static void test_each_move_of_the_table_is_one_of_these(void **state)
{
    (void)state;
    for (int from = 0; from < FLIGHT_STATES; from++)
        for (int to = 0; to < FLIGHT_STATES; to++) {
            const char *name = what_is_allowed(from, to), *why = flight_move(from, to);

            if ((name != NULL) != (why != NULL))
                fail_msg("from %d to %d: %s", from, to, name != NULL ? name : why);
        }
}

/* A head that was given out is never taken back: what follows it is its body's end. */
static void test_no_way_leads_back_from_a_head(void **state)
{
    (void)state;
    for (int to = 0; to < FLIGHT_STREAMING; to++) {
        assert_null(flight_move(FLIGHT_STREAMING, to));
        assert_null(flight_move(FLIGHT_ENDING, to));
    }
}

static void test_all_are_reached_and_all_end(void **state)
{
    bool reached[FLIGHT_STATES] = { [FLIGHT_NEW] = true };

    (void)state;
    for (int round = 0; round < FLIGHT_STATES; round++)
        for (int from = 0; from < FLIGHT_STATES; from++)
            for (int to = 0; to < FLIGHT_STATES; to++)
                reached[to] = reached[to] || (reached[from] && flight_move(from, to) != NULL);
    for (int at = 0; at < FLIGHT_STATES; at++) {
        assert_true(reached[at]);
        assert_null(flight_move(FLIGHT_OVER, at));
        assert_null(flight_move(at, FLIGHT_NEW));
        assert_null(flight_move(at, at));
        if (at != FLIGHT_OVER)
            assert_non_null(flight_move(at, FLIGHT_OVER));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_move_of_the_table_is_one_of_these),
        cmocka_unit_test(test_no_way_leads_back_from_a_head),
        cmocka_unit_test(test_all_are_reached_and_all_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
