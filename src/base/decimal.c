/*
 * Digits are made from the last one on, at the end of the caller's buffer.
 *
 * printf() rounds the double, not the nanoseconds: the two agree but for ties (0.25 ms is "0.2", 0.15 ms
 * is "0.1" since the double is a little less) and where a double no longer tells one nanosecond from the next.
 * Those are left to printf().
 */
#include "base/decimal.h"

#include <stdio.h>

#define TENTH_NS INT64_C(100000)    /* of a millisecond */
#define EXACT_NS (INT64_C(1) << 50) /* 13 days */

static char *put_digits(char *end, uint64_t n)
{
    do {
        *--end = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return end;
}

struct slice decimal(uint64_t n, char out[DECIMAL_BYTES])
{
    char *end = out + DECIMAL_BYTES, *begin = put_digits(end, n);

    return (struct slice){ begin, (size_t)(end - begin) };
}

struct slice decimal_ms(int64_t ns, char out[DECIMAL_BYTES])
{
    char   *end = out + DECIMAL_BYTES, *begin;
    int64_t tenths;

    if (ns < 0 || ns >= EXACT_NS || ns % TENTH_NS == TENTH_NS / 2)
        return (struct slice){ out, (size_t)snprintf(out, DECIMAL_BYTES, "%.1f", (double)ns / 1e6) };
    tenths = (ns + TENTH_NS / 2) / TENTH_NS;
    *--end = (char)('0' + tenths % 10);
    *--end = '.';
    begin = put_digits(end, (uint64_t)tenths / 10);
    return (struct slice){ begin, (size_t)(out + DECIMAL_BYTES - begin) };
}
