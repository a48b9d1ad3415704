/*
 * Reading TZif files (RFC 8536): the transitions of the 64-bit block, and the
 * rule in the footer (a POSIX TZ string) for all time after the last of them.
 */
#include "base/zone.h"

#include "base/arena.h"
#include "base/files.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 44,
    TYPE_BYTES = 6,
    FILE_MOST_BYTES = 256 * 1024,
    DAY_S = 86400,
    LOCAL_MARGIN_S = 26 * 3600 /* no offset is larger, the most a rule may say included */
};

struct rule_date { /* a day of the year and a time of that day */
    char    form;  /* 'M': month.week.day, 'J': 1 to 365, 'n': 0 to 365 */
    int     month, week, day;
    int32_t time_s;
};

struct rule {
    bool             given, has_summer;
    int32_t          standard_s, summer_s; /* to add to UTC */
    struct rule_date begins, ends;         /* of summer time */
};

struct zone {
    unsigned    references;
    char       *name;
    int64_t    *at_s;     /* transitions, ascending */
    int32_t    *offset_s; /* after each of them */
    size_t      count;
    int32_t     first_offset_s;
    struct rule rule;
};

/* -- calendar -- */

static bool is_leap(int64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

/* Days from 1970-01-01 to January 1 of the year. */
static int64_t days_to_year(int64_t y)
{
    int64_t p = y - 1;

    return 365 * (y - 1970) + (p / 4 - 492) - (p / 100 - 19) + (p / 400 - 4);
}

static int64_t year_of(int64_t utc_s)
{
    int64_t days = utc_s / DAY_S - (utc_s % DAY_S < 0);
    int64_t y = 1970 + days / 366;

    while (days_to_year(y + 1) <= days)
        y++;
    while (days_to_year(y) > days)
        y--;
    return y;
}

static int64_t days_to_month(int64_t y, int month)
{
    static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };

    return days_to_year(y) + before[month - 1] + (month > 2 && is_leap(y));
}

/* RFC 8536 3.3.1, POSIX 8.3: local time in seconds. */
static int64_t rule_local_s(const struct rule_date *d, int64_t y)
{
    int64_t day = days_to_year(y);

    if (d->form == 'M') {
        int64_t first = days_to_month(y, d->month), next, weekday;

        next = d->month < 12 ? days_to_month(y, d->month + 1) : days_to_year(y + 1);
        weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
        day = first + (d->day - weekday + 7) % 7 + 7 * (d->week - 1);
        while (day >= next)
            day -= 7;
    } else {
        day += d->day;
        if (d->form == 'J')
            day += -1 + (d->day >= 60 && is_leap(y));
    }
    return day * DAY_S + d->time_s;
}

/* -- the footer -- */

static const char *skip_name(const char *p)
{
    const char *from = p;

    if (*p == '<') {
        while (*p != '\0' && *p != '>')
            p++;
        return *p == '>' ? p + 1 : NULL;
    }
    while (isalpha((unsigned char)*p))
        p++;
    return p - from >= 3 ? p : NULL;
}

static const char *read_number(const char *p, int most, int *out)
{
    const char *from = p;

    for (*out = 0; isdigit((unsigned char)*p) && *out <= most; p++)
        *out = *out * 10 + (*p - '0');
    return p > from && *out <= most ? p : NULL;
}

/* [+-]hh[:mm[:ss]]; hours up to 167 (RFC 8536 3.3.1). */
static const char *read_time(const char *p, int32_t *out)
{
    int32_t sign = *p == '-' ? -1 : 1;
    int     part;
    int32_t unit = 3600;

    if (*p == '-' || *p == '+')
        p++;
    if ((p = read_number(p, 167, &part)) == NULL)
        return NULL;
    *out = part * unit;
    while (*p == ':' && unit > 1) {
        unit /= 60;
        if ((p = read_number(p + 1, 59, &part)) == NULL)
            return NULL;
        *out += part * unit;
    }
    *out *= sign;
    return p;
}

static const char *read_date(const char *p, struct rule_date *d)
{
    if (*p++ != ',')
        return NULL;
    d->form = *p == 'M' || *p == 'J' ? *p++ : 'n';
    d->time_s = 2 * 3600;
    if (d->form == 'M') {
        if ((p = read_number(p, 12, &d->month)) == NULL || d->month < 1 || *p != '.' ||
            (p = read_number(p + 1, 5, &d->week)) == NULL || d->week < 1 || *p != '.' ||
            (p = read_number(p + 1, 6, &d->day)) == NULL)
            return NULL;
    } else if ((p = read_number(p, 365, &d->day)) == NULL || (d->form == 'J' && d->day < 1)) {
        return NULL;
    }
    return *p == '/' ? read_time(p + 1, &d->time_s) : p;
}

/* POSIX signs are west-positive. */
static bool read_rule(const char *p, struct rule *r)
{
    int32_t west_s;

    if ((p = skip_name(p)) == NULL || (p = read_time(p, &west_s)) == NULL)
        return false;
    *r = (struct rule){ .given = true, .standard_s = -west_s, .summer_s = -west_s + 3600 };
    if (*p == '\0')
        return true;
    if ((p = skip_name(p)) == NULL)
        return false;
    if (*p != ',') {
        if ((p = read_time(p, &west_s)) == NULL)
            return false;
        r->summer_s = -west_s;
    }
    r->has_summer = true;
    return (p = read_date(p, &r->begins)) != NULL && (p = read_date(p, &r->ends)) != NULL && *p == '\0';
}

/* -- the file -- */

static int64_t read_be(const unsigned char *p, unsigned bytes)
{
    uint64_t v = (p[0] & 0x80) != 0 ? UINT64_MAX : 0;

    while (bytes-- > 0)
        v = v << 8 | *p++;
    return (int64_t)v;
}

struct zone_block {
    int64_t isut, isstd, leap, time, type, chars;
};

static bool read_header(const unsigned char *p, size_t left, struct zone_block *b)
{
    if (left < HEADER_BYTES || memcmp(p, "TZif", 4) != 0)
        return false;
    *b = (struct zone_block){ read_be(p + 20, 4), read_be(p + 24, 4), read_be(p + 28, 4),
                              read_be(p + 32, 4), read_be(p + 36, 4), read_be(p + 40, 4) };
    return b->isut >= 0 && b->isstd >= 0 && b->leap >= 0 && b->time >= 0 && b->type > 0 && b->chars >= 0 &&
           b->isut <= 256 && b->isstd <= 256 && b->leap <= 10000 && b->time <= 10000 && b->type <= 256 &&
           b->chars <= 10000;
}

static size_t block_bytes(const struct zone_block *b, size_t time_bytes)
{
    return (size_t)b->time * (time_bytes + 1) + (size_t)b->type * TYPE_BYTES + (size_t)b->chars +
           (size_t)b->leap * (time_bytes + 4) + (size_t)b->isstd + (size_t)b->isut;
}

/* Times, their types, and the types' offsets. */
static bool read_block(struct zone *z, const unsigned char *p, const struct zone_block *b, unsigned time_bytes)
{
    const unsigned char *kinds = p + (size_t)b->time * time_bytes, *types = kinds + b->time;

    z->count = (size_t)b->time;
    z->at_s = mem_alloc(z->count * sizeof *z->at_s);
    z->offset_s = mem_alloc(z->count * sizeof *z->offset_s);
    z->first_offset_s = (int32_t)read_be(types, 4);
    for (size_t i = 0; i < z->count; i++) {
        z->at_s[i] = read_be(p + i * time_bytes, time_bytes);
        if (kinds[i] >= b->type || (i > 0 && z->at_s[i] <= z->at_s[i - 1]))
            return false;
        z->offset_s[i] = (int32_t)read_be(types + kinds[i] * TYPE_BYTES, 4);
        if (abs(z->offset_s[i]) > LOCAL_MARGIN_S)
            return false;
    }
    return abs(z->first_offset_s) <= LOCAL_MARGIN_S;
}

static bool read_zone(struct zone *z, const unsigned char *p, size_t bytes)
{
    struct zone_block b;
    size_t            skip;
    char              footer[128];
    const char       *end;

    if (!read_header(p, bytes, &b))
        return false;
    skip = HEADER_BYTES + block_bytes(&b, 4);
    if (p[4] < '2') /* version 1: 32-bit times, no footer */
        return skip <= bytes && read_block(z, p + HEADER_BYTES, &b, 4);
    if (skip > bytes || !read_header(p + skip, bytes - skip, &b))
        return false;
    p += skip;
    bytes -= skip;
    skip = HEADER_BYTES + block_bytes(&b, 8);
    if (skip > bytes || !read_block(z, p + HEADER_BYTES, &b, 8))
        return false;
    if (skip == bytes || p[skip] != '\n')
        return true;
    p += skip + 1;
    bytes -= skip + 1;
    end = memchr(p, '\n', bytes);
    if (end == NULL || (size_t)(end - (const char *)p) >= sizeof footer)
        return false;
    memcpy(footer, p, (size_t)(end - (const char *)p));
    footer[end - (const char *)p] = '\0';
    return footer[0] == '\0' || read_rule(footer, &z->rule);
}

/* A name leads to a file below the directory: no "..", nothing absolute. */
static bool is_zone_name(const char *name)
{
    if (*name == '\0' || *name == '/' || strlen(name) > 100 || strstr(name, "..") != NULL)
        return false;
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && strchr("/_+-.", *name) == NULL)
            return false;
    return true;
}

struct zone *zone_open(const char *name)
{
    struct zone   *z = NULL;
    unsigned char *content = NULL;
    char           path[PATH_MAX];
    size_t         bytes;
    bool           good;
    int            fd;

    if (!is_zone_name(name))
        return NULL;
    z = mem_alloc(sizeof *z);
    z->references = 1;
    z->name = mem_copy(slice_of(name));
    if (strcmp(name, "UTC") == 0)
        return z;
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    fd = file_open_named(path);
    content = fd >= 0 ? (unsigned char *)file_read_all(fd, FILE_MOST_BYTES, &bytes) : NULL;
    if (fd >= 0)
        close(fd);
    good = content != NULL && read_zone(z, content, bytes);
    free(content);
    if (good)
        return z;
    zone_close(z);
    return NULL;
}

const char *zone_name(const struct zone *z)
{
    return z->name;
}

struct zone *zone_share(struct zone *z)
{
    if (z != NULL)
        z->references++;
    return z;
}

void zone_close(struct zone *z)
{
    if (z == NULL || --z->references > 0)
        return;
    free(z->name);
    free(z->at_s);
    free(z->offset_s);
    free(z);
}

/* -- questions -- */

static bool two_digits(struct slice text, unsigned most, unsigned *out)
{
    if (text.ptr[0] < '0' || text.ptr[0] > '9' || text.ptr[1] < '0' || text.ptr[1] > '9')
        return false;
    *out = (unsigned)(text.ptr[0] - '0') * 10 + (unsigned)(text.ptr[1] - '0');
    return *out <= most;
}

bool zone_time_of_day(struct slice text, unsigned *minute)
{
    unsigned hour, rest;

    if (text.len != 5 || text.ptr[2] != ':' || !two_digits(slice_sub(text, 0, 2), 23, &hour) ||
        !two_digits(slice_sub(text, 3, 5), 59, &rest))
        return false;
    *minute = hour * 60 + rest;
    return true;
}

static int32_t by_rule(const struct rule *r, int64_t utc_s, int64_t *until)
{
    int64_t y = year_of(utc_s);
    int64_t next = INT64_MAX, last = INT64_MIN;
    int32_t offset_s = r->standard_s;

    *until = INT64_MAX;
    if (!r->has_summer)
        return offset_s;
    for (int64_t at = y - 1; at <= y + 1; at++) {
        const struct {
            int64_t at_s;
            int32_t offset_s;
        } turns[] = {
            { rule_local_s(&r->begins, at) - r->standard_s, r->summer_s },
            { rule_local_s(&r->ends, at) - r->summer_s, r->standard_s },
        };

        for (int i = 0; i < 2; i++) {
            if (turns[i].at_s > utc_s) {
                next = turns[i].at_s < next ? turns[i].at_s : next;
            } else if (turns[i].at_s >= last) {
                last = turns[i].at_s;
                offset_s = turns[i].offset_s;
            }
        }
    }
    *until = next;
    return offset_s;
}

int64_t zone_offset_s(const struct zone *z, int64_t utc_s, int64_t *until)
{
    size_t  low = 0, high = z->count;
    int64_t unused;

    if (until == NULL)
        until = &unused;
    while (low < high) { /* transitions up to this instant */
        size_t middle = low + (high - low) / 2;

        if (z->at_s[middle] <= utc_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == z->count && z->rule.given)
        return by_rule(&z->rule, utc_s, until);
    *until = low < z->count ? z->at_s[low] : INT64_MAX;
    return low > 0 ? z->offset_s[low - 1] : z->first_offset_s;
}

int64_t zone_to_utc_s(const struct zone *z, int64_t local_s)
{
    int64_t at_s = local_s - LOCAL_MARGIN_S, until_s = 0;

    for (;;) {
        int64_t utc_s = local_s - zone_offset_s(z, at_s, &until_s);

        if (utc_s < at_s) /* clocks leapt over it: the leap is its time */
            return at_s;
        if (utc_s < until_s)
            return utc_s;
        at_s = until_s;
    }
}
