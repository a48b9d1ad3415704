/*
 * A member of an object, by its own bytes.
 */
#include "http/json_member.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_members(void **state)
{
    static const struct {
        const char *name, *object, *found; /* of the member "body"; NULL: none */
    } rows[] = {
        { "a_long_number", "{\"body\":12345678901234567890123}", "12345678901234567890123" },
        { "blanks_around_it", "{ \"id\" : 1 ,\r\n\"body\" :\t[ 1, 2 ] }", "[ 1, 2 ]" },
        { "not_the_one_within_another", "{\"a\":{\"body\":1},\"body\":2}", "2" },
        { "nor_within_a_list", "{\"a\":[{\"body\":1}]}", NULL },
        { "nor_within_a_text", "{\"a\":\"\\\",\\\"body\\\":1\",\"body\":3}", "3" },
        { "a_text_that_ends_in_a_backslash", "{\"a\":\"\\\\\",\"body\":4}", "4" },
        { "a_text_as_it_is_written", "{\"body\":\"}\\u00e4,\"}", "\"}\\u00e4,\"" },
        { "brackets_in_texts", "{\"body\":{\"]\":\"{\"},\"b\":1}", "{\"]\":\"{\"}" },
        { "another_spelling", "{\"b\\u006Fdy\":5}", "5" },
        { "a_name_that_only_begins_so", "{\"bodyx\":1,\"bod\":2}", NULL },
        { "a_name_outside_of_ascii", "{\"b\\u016fdy\":1}", NULL },
        { "a_value_is_no_name", "{\"a\":\"body\"}", NULL },
        { "the_last_of_two", "{\"body\":1,\"body\":2}", "2" },
        { "none_in_nothing", "{}", NULL },
        { "cut_short", "{\"bo", NULL },
        { "cut_after_its_name", "{\"body\"", NULL },
        { "cut_in_a_text", "{\"body\":\"\\", "\"\\" },
        { "no_object", "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice found = json_member(slice_of(rows[i].object), SLICE("body"));

        if (rows[i].found == NULL ? found.ptr != NULL : !slice_eq(found, slice_of(rows[i].found)))
            fail_msg("%s: " SLICE_FMT, rows[i].name, SLICE_ARG(found));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_members) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
