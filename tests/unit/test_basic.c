/*
 * The user name in a proxy's Basic credentials (RFC 7617).
 */
#include "http/basic.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define A64 "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"

static void test_user(void **state)
{
    static const struct {
        const char *name, *value, *user;
    } rows[] = {
        { "user_and_password", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin" },
        { "scheme_of_any_case", "bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin" },
        { "without_padding", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", "Aladdin" },
        { "empty_password", "Basic Y2k6", "ci" },
        { "more_space", "Basic   Y2k6", "ci" },
        { "colon_in_the_password", "Basic YTpiOmM=", "a" },
        { "utf_8", "Basic w6RubmU6eA==", "\xc3\xa4nne" },
        { "no_colon", "Basic Y2k=", NULL },
        { "empty_user", "Basic Onh5", NULL },
        { "control_character", "Basic YQpiOng=", NULL },
        { "another_scheme", "Bearer Y2k6", NULL },
        { "no_base64", "Basic Y2k6*", NULL },
        { "no_base64_by_length", "Basic Y2k6Y", NULL },
        { "nothing", "", NULL },
        { "scheme_alone", "Basic", NULL },
        { "scheme_and_space", "Basic ", NULL },
        { "too_long", "Basic " A64 A64 A64 "OnY=", NULL },
    };
    struct arena a = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice value = property_exact(slice_of(rows[i].value));
        struct slice user = http_basic_user(value, &a);

        if ((user.ptr == NULL) != (rows[i].user == NULL) || !slice_eq(user, slice_of(rows[i].user)))
            fail_msg("%s: \"%.*s\"", rows[i].name, SLICE_ARG(user));
        property_free(value);
    }
    assert_null(http_basic_user(SLICE_NONE, &a).ptr);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_user) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
