/*
 * Durations and sizes as text, in the largest unit that leaves a whole number.
 */
#include "base/clock.h"
#include "config/reader.h"

#include <inttypes.h>

struct unit {
    const char *text;
    int64_t     is;
};

static const struct unit durations[] = {
    { "d", 86400 * NS_PER_SEC }, { "h", 3600 * NS_PER_SEC }, { "m", 60 * NS_PER_SEC },
    { "s", NS_PER_SEC },         { "ms", NS_PER_MS },
};
static const struct unit sizes[] = {
    { "TiB", INT64_C(1) << 40 }, { "GiB", 1 << 30 }, { "MiB", 1 << 20 }, { "KiB", 1 << 10 }, { "B", 1 },
};

/* In the largest unit that leaves a whole number. */
static const char *in_units(int64_t n, const struct unit *units, size_t count, char *buffer)
{
    size_t i = 0;

    while (i + 1 < count && (n == 0 ? i + 2 < count : n % units[i].is != 0))
        i++;
    snprintf(buffer, 32, "%" PRId64 "%s", n / units[i].is, units[i].text);
    return buffer;
}

const char *units_duration(int64_t ns, char *buffer)
{
    if (ns == INT64_MAX)
        return "forever";
    return in_units(ns, durations, sizeof durations / sizeof durations[0], buffer);
}

const char *units_size(int64_t bytes, char *buffer)
{
    return in_units(bytes, sizes, sizeof sizes / sizeof sizes[0], buffer);
}

bool units_parse_size(const char *text, int64_t *bytes)
{
    size_t  digits = strspn(text, "0123456789");
    int64_t n;

    if (!slice_to_int64((struct slice){ text, digits }, &n))
        return false;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (strcmp(text + digits, sizes[i].text) != 0)
            continue;
        if (n > INT64_MAX / sizes[i].is)
            return false;
        *bytes = n * sizes[i].is;
        return true;
    }
    return false;
}
