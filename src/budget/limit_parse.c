/*
 * "60/min", "10/s burst 20", "5000/day window 00:00 America/Los_Angeles",
 * "5000/h window learned": the kinds of the contract's section 3.
 */
#include "budget/options.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/zone.h"

#include <math.h>
#include <stdlib.h>

#define MOST INT64_C(1000000000)

static const struct {
    struct slice name;
    int64_t      ns;
} units[] = {
    { SLICE("s"), NS_PER_SEC },
    { SLICE("min"), 60 * NS_PER_SEC },
    { SLICE("h"), 3600 * NS_PER_SEC },
    { SLICE("day"), 86400 * NS_PER_SEC },
    { SLICE("month"), 30 * 86400 * NS_PER_SEC },
};

/* The next run of bytes that are no blanks; empty at the end. */
static struct slice next_word(struct slice *rest)
{
    size_t from = 0, to;

    while (from < rest->len && (rest->ptr[from] == ' ' || rest->ptr[from] == '\t'))
        from++;
    to = from;
    while (to < rest->len && rest->ptr[to] != ' ' && rest->ptr[to] != '\t')
        to++;
    struct slice word = slice_sub(*rest, from, to);

    *rest = slice_sub(*rest, to, rest->len);
    return word;
}

static const char *parse_rate(struct slice word, struct limit_options *out)
{
    size_t       slash = slice_find(word, '/', 0);
    struct slice unit = slice_sub(word, slash + 1, word.len);
    int64_t      count;

    if (slash == word.len)
        return "a limit begins with a rate: COUNT/UNIT, as in \"60/min\"";
    if (!slice_to_int64(slice_sub(word, 0, slash), &count) || count < 1 || count > MOST)
        return "the count of a limit is a whole number from 1 to 1000000000";
    out->count = (uint64_t)count;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (slice_eq(unit, units[i].name)) {
            out->window_ns = units[i].ns;
            return NULL;
        }
    }
    return "the unit of a limit is one of s, min, h, day, month";
}

static const char *parse_burst(struct slice *rest, struct limit_options *out)
{
    int64_t burst;

    if (!slice_to_int64(next_word(rest), &burst) || burst < 1 || burst > MOST)
        return "\"burst\" wants a whole number from 1 to 1000000000, as in \"10/s burst 20\"";
    out->kind = LIMIT_BUCKET;
    out->burst = (uint64_t)burst;
    return NULL;
}

static const char *parse_window(struct slice *rest, struct limit_options *out)
{
    struct slice word = next_word(rest), place;
    struct zone *zone;

    if (slice_eq(word, SLICE("learned"))) {
        out->kind = LIMIT_LEARNED;
        return NULL;
    }
    if (!zone_time_of_day(word, &out->start_minute))
        return "\"window\" wants \"learned\" or a time and a zone, as in \"window 00:00 America/Los_Angeles\"";
    place = next_word(rest);
    if (place.len == 0)
        return "a window's time wants a time zone after it, as in \"window 00:00 UTC\"";
    out->kind = LIMIT_FIXED;
    out->zone = mem_copy(place);
    zone = zone_open(out->zone);
    zone_close(zone);
    return zone != NULL ? NULL : "no such time zone: IANA names, as America/Los_Angeles or UTC";
}

bool limit_parse(struct slice text, struct limit_options *out, const char **bad)
{
    struct slice         rest = text, word = next_word(&rest);
    struct limit_options o = *out;

    o.kind = LIMIT_SLIDING;
    o.burst = 0;
    o.start_minute = 0;
    o.zone = NULL;
    *bad = parse_rate(word, &o);
    word = *bad == NULL ? next_word(&rest) : SLICE_NONE;
    if (slice_eq(word, SLICE("burst")))
        *bad = parse_burst(&rest, &o);
    else if (slice_eq(word, SLICE("window")))
        *bad = parse_window(&rest, &o);
    else if (word.len > 0)
        *bad = "after the rate may stand \"burst N\", \"window HH:MM ZONE\" or \"window learned\"";
    if (*bad == NULL && next_word(&rest).len > 0)
        *bad = "there is more text after the limit than belongs to it";
    if (*bad != NULL) {
        free((char *)(uintptr_t)o.zone);
        return false;
    }
    *out = o;
    return true;
}

static bool scale_count(const struct limit_options *o, uint64_t *count)
{
    double scaled = (double)*count * pow(10.0, o->scale);

    if (scaled > (double)MOST)
        return false;
    *count = (uint64_t)scaled;
    if (o->margin > 0.0)
        *count -= (uint64_t)ceil(scaled * o->margin - 1e-6);
    return *count > 0;
}

bool limit_scale(struct limit_options *o)
{
    return scale_count(o, &o->count) && (o->kind != LIMIT_BUCKET || scale_count(o, &o->burst));
}
