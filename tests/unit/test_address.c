/*
 * Which addresses a tunnel may lead to.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage out = { .ss_family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET };

    if (out.ss_family == AF_INET)
        assert_int_equal(inet_pton(AF_INET, text, &((struct sockaddr_in *)(void *)&out)->sin_addr), 1);
    else
        assert_int_equal(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)(void *)&out)->sin6_addr), 1);
    return out;
}

static void test_public(void **state)
{
    static const struct {
        const char *address;
        bool        is_public;
    } rows[] = {
        { "93.184.216.34", true },
        { "1.1.1.1", true },
        { "223.255.255.255", true },
        { "0.0.0.0", false },
        { "0.1.2.3", false },
        { "10.0.0.1", false },
        { "9.255.255.255", true },
        { "11.0.0.0", true },
        { "100.64.0.1", false },
        { "100.63.255.255", true },
        { "100.128.0.0", true },
        { "127.0.0.1", false },
        { "127.255.255.254", false },
        { "128.0.0.1", true },
        { "169.254.169.254", false },
        { "169.253.1.1", true },
        { "172.15.255.255", true },
        { "172.16.0.1", false },
        { "172.31.255.255", false },
        { "172.32.0.0", true },
        { "192.0.0.8", false },
        { "192.0.2.1", true },
        { "192.168.1.1", false },
        { "192.169.0.1", true },
        { "198.18.0.1", false },
        { "198.19.255.255", false },
        { "198.20.0.1", true },
        { "224.0.0.1", false },
        { "239.255.255.250", false },
        { "240.0.0.1", false },
        { "255.255.255.255", false },
        { "2606:4700::1111", true },
        { "2001:db8::1", true },
        { "::", false },
        { "::1", false },
        { "::2", false },
        { "::7f00:1", false },
        { "::ffff:127.0.0.1", false },
        { "::ffff:10.1.2.3", false },
        { "::ffff:93.184.216.34", true },
        { "64:ff9b::7f00:1", false },
        { "64:ff9b::a9fe:a9fe", false },
        { "64:ff9b::5db8:d822", true },
        { "64:ff9b:1::1", false },
        { "2002:7f00:1::", false },
        { "2002:c0a8:101::1", false },
        { "2002:5db8:d822::1", true },
        { "2001:0:1::1", false },
        { "2001:1::1", true },
        { "fc00::1", false },
        { "fdff::1", false },
        { "fe00::1", true },
        { "fe80::1", false },
        { "febf::1", false },
        { "fec0::1", false },
        { "ff02::1", false },
        { "100::1", false },
    };
    const struct sockaddr_un elsewhere = { .sun_family = AF_UNIX };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sockaddr_storage sa = address_of(rows[i].address);

        if (address_is_public((struct sockaddr *)&sa) != rows[i].is_public)
            fail_msg("%s", rows[i].address);
    }
    assert_false(address_is_public((const struct sockaddr *)&elsewhere));
}

static void test_listed(void **state)
{
    static const char *const list[] = { "git.corp.example", "10.1.0.0/16", "127.0.0.1", "fd00::/8", "0.0.0.0/x", NULL };
    static const char *const all_v4[] = { "0.0.0.0/0", NULL };
    static const struct {
        const char        *name, *address, *host;
        const char *const *list;
        bool               listed;
    } rows[] = {
        { "host", "192.168.3.4", "git.corp.example", list, true },
        { "host_of_any_case", "192.168.3.4", "GIT.corp.example", list, true },
        { "host_is_whole", "192.168.3.4", "x.git.corp.example", list, false },
        { "network", "10.1.255.3", "a", list, true },
        { "beside_the_network", "10.2.0.1", "a", list, false },
        { "address", "127.0.0.1", "a", list, true },
        { "another_address", "127.0.0.2", "a", list, false },
        { "network_v6", "fd12::1", "a", list, true },
        { "v6_is_no_v4", "::1", "a", list, false },
        { "everything_v4", "192.168.3.4", "a", all_v4, true },
        { "everything_v4_is_no_v6", "fd12::1", "a", all_v4, false },
        { "no_list", "10.1.0.1", "a", NULL, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sockaddr_storage sa = address_of(rows[i].address);

        if (address_is_listed((struct sockaddr *)&sa, slice_of(rows[i].host), rows[i].list) != rows[i].listed)
            fail_msg("%s", rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_public), cmocka_unit_test(test_listed) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
