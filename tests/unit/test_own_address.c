/*
 * Which connections lead back to Weir itself.
 */
#include "base/own_address.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_leads_back(void **state)
{
    static const struct {
        const char *name, *here, *there;
        unsigned    port;
        bool        own;
    } rows[] = {
        { "its_address", "127.0.0.1", "127.0.0.1", 8080, true },
        { "its_address_mapped", "::ffff:127.0.0.1", "::ffff:127.0.0.1", 8080, true },
        { "another_port", "127.0.0.1", "127.0.0.1", 8081, false },
        { "another_loopback_address", "127.0.0.1", "127.0.0.2", 8080, false },
        { "another_address_of_this_machine", "192.0.2.7", "192.0.2.7", 8080, false },
        { "its_ipv6_address", "::1", "::1", 8080, true },
        { "another_machine", "192.0.2.7", "192.0.2.8", 3128, false },
        { "all_by_this_machines_address", "192.0.2.7", "192.0.2.7", 3128, true },
        { "all_by_loopback", "127.0.0.1", "127.0.0.9", 3128, true },
        { "all_by_ipv6", "2001:db8::1", "2001:db8::1", 3128, true },
    };

    (void)state;
    assert_false(own_address_is("127.0.0.1", "127.0.0.1", 8080));
    own_address_add("127.0.0.1", 8080);
    own_address_add("::1", 8080);
    own_address_add("0.0.0.0", 3128);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (own_address_is(rows[i].here, rows[i].there, rows[i].port) != rows[i].own)
            fail_msg("%s", rows[i].name);
    for (unsigned i = 0; i < 100; i++)
        own_address_add("127.0.0.1", 9000 + i);
    assert_true(own_address_is("127.0.0.1", "127.0.0.1", 9000));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_leads_back) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
