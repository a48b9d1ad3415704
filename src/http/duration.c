/*
 * The one reader of durations, so that a setting and a header mean the same
 * by "5m".
 */
#include "http/duration.h"

#include "base/clock.h"

static const struct {
    const char *text;
    int64_t     ns;
} units[] = {
    { "ms", NS_PER_MS },        { "s", NS_PER_SEC },         { "m", 60 * NS_PER_SEC },
    { "h", 3600 * NS_PER_SEC }, { "d", 86400 * NS_PER_SEC },
};

bool http_duration_parse(struct slice text, int64_t *ns)
{
    size_t  digits = 0;
    int64_t count;

    if (slice_eq(text, SLICE("forever"))) {
        *ns = INT64_MAX;
        return true;
    }
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    if (!slice_to_int64(slice_sub(text, 0, digits), &count))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!slice_eq(slice_sub(text, digits, text.len), slice_of(units[i].text)))
            continue;
        if (count > (INT64_MAX - 1) / units[i].ns)
            return false;
        *ns = count * units[i].ns;
        return true;
    }
    return false;
}
