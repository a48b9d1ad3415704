/*
 * Who may use an upstream: users, groups and networks of the setting access.
 */
#include "engine/admission.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#define V4(a, b, c, d) .address = { a, b, c, d }, .address_bytes = 4
#define USER(n) \
    { \
        .kind = ACCESS_USER, .id = (n) \
    }
#define GROUP(n) \
    { \
        .kind = ACCESS_GROUP, .id = (n) \
    }
#define NETWORK(n, ...) \
    { \
        .kind = ACCESS_NETWORK, .bits = (n), __VA_ARGS__ \
    }

static const struct peer ann = { .has_uid = true, .uid = 1000001, .gid = 1000007 }, /* a unix socket */
    ann_by_tcp = { .has_uid = true, .uid = 1000001, .gid = (gid_t)-1, V4(127, 0, 0, 1) },
                         nobody = { V4(192, 168, 7, 9) },
                         six = { .address = { 0x20, 1, 0xd, 0xb8, [15] = 1 }, .address_bytes = 16 };

static void test_rules(void **state)
{
    static const struct {
        const char          *name;
        const struct peer   *peer;
        struct config_access to;
        bool                 yes;
    } rows[] = {
        { "user", &ann, USER(1000001), true },
        { "another_user", &ann, USER(1000002), false },
        { "user_by_tcp", &ann_by_tcp, USER(1000001), true },
        { "user_that_is_not_known", &nobody, USER(0), false },
        { "user_that_does_not_exist", &ann, USER(UINT32_MAX), false },
        { "group_of_the_socket", &ann, GROUP(1000007), true },
        { "another_group", &ann, GROUP(1000008), false },
        { "group_is_not_told_by_tcp", &ann_by_tcp, GROUP(1000007), false },
        { "group_that_does_not_exist", &ann_by_tcp, GROUP(UINT32_MAX), false },
        { "group_of_nobody", &nobody, GROUP(0), false },
        { "address", &nobody, NETWORK(32, V4(192, 168, 7, 9)), true },
        { "another_address", &nobody, NETWORK(32, V4(192, 168, 7, 8)), false },
        { "network", &nobody, NETWORK(16, V4(192, 168, 0, 0)), true },
        { "network_whose_rest_is_not_zero", &nobody, NETWORK(16, V4(192, 168, 1, 1)), true },
        { "another_network", &nobody, NETWORK(16, V4(192, 169, 0, 0)), false },
        { "bits_within_a_byte", &nobody, NETWORK(29, V4(192, 168, 7, 8)), true },
        { "bits_beyond_it", &nobody, NETWORK(29, V4(192, 168, 7, 16)), false },
        { "everybody", &nobody, NETWORK(0, V4(0, 0, 0, 0)), true },
        { "everybody_of_the_other_family", &six, NETWORK(0, V4(0, 0, 0, 0)), false },
        { "ipv6", &six, NETWORK(32, .address = { 0x20, 1, 0xd, 0xb8 }, .address_bytes = 16), true },
        { "another_ipv6", &six, NETWORK(128, .address = { 0x20, 1, 0xd, 0xb8, [15] = 2 }, .address_bytes = 16), false },
        { "unix_sockets_have_no_address", &ann, NETWORK(0, V4(0, 0, 0, 0)), false },
    };
    struct groups *groups = groups_open();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct config_upstream up = { .has_access = true, .access = &rows[i].to, .access_count = 1 };

        if (admission_allows(&up, rows[i].peer, groups, 1) != rows[i].yes)
            fail_msg("%s", rows[i].name);
    }
    groups_close(groups);
}

static void test_lists(void **state)
{
    static const struct config_access   both[] = { USER(1000002), NETWORK(8, V4(192, 0, 0, 0)) };
    static const struct config_upstream all = { .has_access = false }, none = { .has_access = true },
                                        two = { .has_access = true, .access = both, .access_count = 2 };
    struct groups *groups = groups_open();

    (void)state;
    assert_true(admission_allows(&all, &nobody, groups, 1));
    assert_false(admission_allows(&none, &nobody, groups, 1));
    assert_true(admission_allows(&two, &nobody, groups, 1));
    assert_false(admission_allows(&two, &ann, groups, 1));
    groups_close(groups);
}

/* Of the user that runs the test, and of more users than the table has places. */
static void test_groups_of_the_system(void **state)
{
    struct groups *g = groups_open();
    struct passwd *me = getpwuid(geteuid());

    (void)state;
    assert_non_null(me);
    for (int64_t now = 1; now < 200 * NS_PER_SEC; now += 70 * NS_PER_SEC) {
        assert_true(groups_have(g, me->pw_uid, me->pw_gid, now));
        assert_false(groups_have(g, me->pw_uid, 1000007, now));
        for (uint32_t uid = 1000000; uid < 1000040; uid++)
            assert_false(groups_have(g, uid, me->pw_gid, now));
        assert_true(groups_have(g, me->pw_uid, me->pw_gid, now));
    }
    groups_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_groups_of_the_system),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
