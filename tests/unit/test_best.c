/*
 * The best of many lines.
 */
#include "admin/best.h"

#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void add(void *context, struct slice line)
{
    char *all = context;

    strncat(all, line.ptr, line.len);
}

static void test_which_are_kept(void **state)
{
    static const struct {
        const char *name, *lines; /* a digit is a line of that worth, a letter after it tells two apart */
        size_t      most;
        const char *best;
    } rows[] = {
        { "none", "", 3, "" },
        { "fewer_than_there_is_room_for", "1a3a", 3, "3a1a" },
        { "all", "1a3a2a", 3, "3a2a1a" },
        { "the_best", "1a9a5a7a3a", 2, "9a7a" },
        { "one", "1a9a5a", 1, "9a" },
        { "of_two_alike_the_first", "5a5b5c", 2, "5a5b" },
        { "in_falling_order", "9a8a7a6a", 2, "9a8a" },
        { "in_rising_order", "1a2a3a4a", 2, "4a3a" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char        all[64] = "";
        struct best b;

        best_init(&b, rows[i].most);
        for (const char *l = rows[i].lines; *l != '\0'; l += 2)
            if (best_wants(&b, *l - '0'))
                best_put(&b, *l - '0', (struct slice){ l, 2 });
        if (b.met != strlen(rows[i].lines) / 2 || best_take(&b, add, all) != strlen(rows[i].best) / 2 ||
            strcmp(all, rows[i].best) != 0)
            fail_msg("%s: %s", rows[i].name, all);
        best_free(&b);
    }
}

/* However many are met, no more than `most` are held. */
static void test_memory_is_bounded(void **state)
{
    struct best b;

    (void)state;
    best_init(&b, 10);
    for (int i = 0; i < 100000; i++) {
        if (best_wants(&b, i * 7919 % 100003))
            best_put(&b, i * 7919 % 100003, SLICE("x"));
        assert_true(b.heap.count <= 10);
    }
    best_free(&b); /* with lines in it: nothing is left over */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_are_kept),
        cmocka_unit_test(test_memory_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
