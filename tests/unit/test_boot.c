/* Which boot it is: what is taken for an id, and where it is read when /proc does not tell. */
#include "base/boot.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const uint8_t none[BOOT_ID_BYTES];
static const uint8_t some[BOOT_ID_BYTES] = { 0xe5, 0xb2, 0xc4, 0x33, 0x7e, 0x6b, 0x4a, 0x71,
                                             0x91, 0x74, 0x10, 0x8c, 0x1a, 0xa5, 0x49, 0x02 };

static void test_texts(void **state)
{
    static const struct {
        const char *fact, *text;
        bool        is_one;
    } cases[] = {
        { "as the kernel writes it", "e5b2c433-7e6b-4a71-9174-108c1aa54902\n", true },
        { "as systemd writes it", "e5b2c4337e6b4a719174108c1aa54902", true },
        { "nothing", "", false },
        { "an empty line", "\n", false },
        { "a digit short", "e5b2c4337e6b4a719174108c1aa5490", false },
        { "a digit long", "e5b2c4337e6b4a719174108c1aa549020", false },
        { "a specifier that nobody replaced", "%b", false },
        { "no hexadecimal digit", "g5b2c4337e6b4a719174108c1aa54902", false },
        { "a space after it", "e5b2c4337e6b4a719174108c1aa54902 ", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t id[BOOT_ID_BYTES] = { 1 };

        if (boot_parse(cases[i].text, id) != cases[i].is_one ||
            memcmp(id, cases[i].is_one ? some : none, sizeof id) != 0)
            fail_msg("%s", cases[i].fact);
    }
}

static void test_the_environment_tells_where_proc_does_not(void **state)
{
    uint8_t id[BOOT_ID_BYTES] = { 1 }, kernels[BOOT_ID_BYTES];

    (void)state;
    unsetenv(BOOT_ID_VARIABLE);
    boot_read("/nowhere/boot_id", id);
    assert_memory_equal(id, none, sizeof id);
    boot_read(BOOT_ID_FILE, kernels);

    setenv(BOOT_ID_VARIABLE, "e5b2c4337e6b4a719174108c1aa54902", 1);
    boot_read("/nowhere/boot_id", id);
    assert_memory_equal(id, some, sizeof id);
    boot_read(BOOT_ID_FILE, id); /* the kernel's word goes first */
    assert_memory_equal(id, memcmp(kernels, none, sizeof none) != 0 ? kernels : some, sizeof id);
    unsetenv(BOOT_ID_VARIABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_the_environment_tells_where_proc_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
