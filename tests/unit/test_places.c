/*
 * How many places a client may have: counted where it arrives, given back where it leaves.
 */
#include "front/net/places.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS = 4 };

static void test_a_client_has_its_part(void **state)
{
    struct places *p = places_open();
    int            fds[PAIRS][2];

    (void)state;
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds[i]), 0);
    assert_true(places_take(p, fds[0][0], 2));
    assert_true(places_take(p, fds[1][0], 2));
    assert_false(places_take(p, fds[2][0], 2));
    places_leave(p, fds[2][0]); /* took none: nothing is given back */
    assert_false(places_take(p, fds[2][0], 2));
    places_leave(p, fds[0][0]);
    places_leave(p, fds[0][0]); /* only once */
    assert_true(places_take(p, fds[2][0], 2));
    assert_false(places_take(p, fds[3][0], 2));
    for (int i = 0; i < PAIRS; i++) {
        places_leave(p, fds[i][0]);
        close(fds[i][0]);
        close(fds[i][1]);
    }
    places_close(p);
}

/* A descriptor beyond the table: nobody is refused for that. */
static void test_what_cannot_be_counted_is_let_in(void **state)
{
    struct places *p = places_open();

    (void)state;
    assert_true(places_take(p, 1 << 30, 1));
    places_leave(p, 1 << 30);
    places_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_has_its_part),
        cmocka_unit_test(test_what_cannot_be_counted_is_let_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
