/*
 * Numbers as text: the same as printf() writes.
 */
#include "base/decimal.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void test_writes_numbers(void **state)
{
    static const struct {
        const char *name;
        uint64_t    n;
        const char *text;
    } rows[] = {
        { "zero_is_one_digit", 0, "0" },
        { "one_digit", 9, "9" },
        { "noughts_stay", 1000, "1000" },
        { "32_bits", UINT32_MAX, "4294967295" },
        { "the_largest", UINT64_MAX, "18446744073709551615" },
    };
    char out[DECIMAL_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!slice_eq(decimal(rows[i].n, out), slice_of(rows[i].text)))
            fail_msg("%s", rows[i].name);
}

static void test_writes_milliseconds(void **state)
{
    static const struct {
        const char *name;
        int64_t     ns;
        const char *text;
    } rows[] = {
        { "nothing", 0, "0.0" },
        { "below_half_a_tenth", 49999, "0.0" },
        { "above_half_a_tenth", 50001, "0.1" },
        { "tie_that_no_double_holds_goes_up", 50000, "0.1" },
        { "tie_that_no_double_holds_goes_down", 150000, "0.1" },
        { "true_tie_goes_to_the_even_digit", 250000, "0.2" },
        { "rounding_carries", 999950001, "1000.0" },
        { "a_second", 1000000000, "1000.0" },
        { "negative", -1250000, "-1.2" },
        { "longest_exact", (INT64_C(1) << 50) - 1, "1125899906.8" },
        { "the_largest", INT64_MAX, "9223372036854.8" },
        { "the_smallest", INT64_MIN, "-9223372036854.8" },
    };
    char out[DECIMAL_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!slice_eq(decimal_ms(rows[i].ns, out), slice_of(rows[i].text)))
            fail_msg("%s", rows[i].name);
}

static void test_agrees_with_printf(void **state)
{
    struct property p = { 1 };

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t     n = property_next(&p) >> property_below(&p, 64);
        bool         near_tie = property_below(&p, 4) == 0;
        int64_t      ns = near_tie ? (int64_t)(n % 1000000) * 50000 + (int64_t)property_below(&p, 3) - 1 : (int64_t)n;
        char         out[DECIMAL_BYTES], expected[64];
        struct slice made = decimal(n, out);

        snprintf(expected, sizeof expected, "%llu", (unsigned long long)n);
        if (!slice_eq(made, slice_of(expected)))
            fail_msg("%s", expected);
        made = decimal_ms(ns, out);
        snprintf(expected, sizeof expected, "%.1f", (double)ns / 1e6);
        if (!slice_eq(made, slice_of(expected)))
            fail_msg("%lld: %s", (long long)ns, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_numbers),
        cmocka_unit_test(test_writes_milliseconds),
        cmocka_unit_test(test_agrees_with_printf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
