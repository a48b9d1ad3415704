/*
 * A request in a line, and its whole story.
 *
 * What a client or an API may have written (the target, names) goes through text.h; the rest are words of Weir's own.
 */
#include "ctl/requests.h"

#include "ctl/paint.h"
#include "ctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE_COLUMNS = 46, UPSTREAM_COLUMNS = 12, CLIENT_COLUMNS = 18, WIDE_COLUMNS = 110 };

static const char *string(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));

    return text != NULL ? text : "";
}

static double number(const json_t *row, const char *name)
{
    return json_number_value(json_object_get(row, name));
}

static bool flag(const json_t *row, const char *name)
{
    return json_is_true(json_object_get(row, name));
}

const char *requests_span(double ms)
{
    static char     buffers[4][24];
    static unsigned next;
    char           *out = buffers[next++ % 4];

    if (ms < 0.0005)
        snprintf(out, sizeof buffers[0], "0");
    else if (ms < 10)
        snprintf(out, sizeof buffers[0], "%.2fms", ms);
    else if (ms < 1000)
        snprintf(out, sizeof buffers[0], "%.0fms", ms);
    else if (ms < 60000)
        snprintf(out, sizeof buffers[0], "%.2fs", ms / 1000);
    else if (ms < 3600000)
        snprintf(out, sizeof buffers[0], "%dm %02ds", (int)(ms / 60000), (int)(ms / 1000) % 60);
    else
        snprintf(out, sizeof buffers[0], "%dh %02dm", (int)(ms / 3600000), (int)(ms / 60000) % 60);
    return out;
}

/* When it ended, as the clock on the wall here says; its milliseconds apart. */
static bool ended_at(const json_t *row, struct tm *out, int *ms)
{
    struct tm began = { 0 };
    double    after;
    time_t    t;

    if (sscanf(string(row, "time"), "%d-%d-%dT%d:%d:%d.%d", &began.tm_year, &began.tm_mon, &began.tm_mday,
               &began.tm_hour, &began.tm_min, &began.tm_sec, ms) != 7)
        return false;
    began.tm_year -= 1900;
    began.tm_mon -= 1;
    after = *ms + number(row, "took_ms");
    t = timegm(&began) + (time_t)(after / 1000);
    *ms = (int)after % 1000;
    return localtime_r(&t, out) != NULL;
}

static void print_time(const json_t *row, const char *format)
{
    struct tm when;
    int       ms;
    char      text[64];

    if (!ended_at(row, &when, &ms))
        return;
    strftime(text, sizeof text, format, &when);
    printf("%s.%03d", text, ms);
}

/* What ends that paint. */
static const char *end_of(enum paint p)
{
    return p == PAINT_NONE ? "" : paint_end();
}

/* -- one line -- */

static enum paint of_status(int status)
{
    return status >= 500 ? PAINT_RED : status >= 400 ? PAINT_YELLOW : PAINT_NONE;
}

static enum paint of_cache(const char *cache)
{
    static const struct {
        const char *word;
        enum paint  paint;
    } words[] = { { "hit", PAINT_GREEN },
                  { "stale", PAINT_CYAN },
                  { "revalidated", PAINT_CYAN },
                  { "error", PAINT_RED } };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(cache, words[i].word) == 0)
            return words[i].paint;
    return PAINT_NONE;
}

static void print_day(const json_t *row, unsigned columns)
{
    static char last[16];
    struct tm   when, now;
    time_t      t = time(NULL);
    char        day[16];
    int         ms;

    if (columns == 0 || !ended_at(row, &when, &ms) || localtime_r(&t, &now) == NULL)
        return;
    strftime(day, sizeof day, "%Y-%m-%d", &when);
    if (strcmp(day, last) != 0 && (last[0] != '\0' || when.tm_yday != now.tm_yday))
        printf("%s%s%s\n", paint_begin(PAINT_DIM), day, paint_end());
    strcpy(last, day);
}

void requests_print_heading(unsigned columns)
{
    printf("%s%-12s %3s %-11s %7s %8s ", paint_begin(PAINT_BOLD), "ENDED", "ST", "CACHE", "WAIT", "TOOK");
    if (columns >= WIDE_COLUMNS)
        printf("%-*s %-*s ", UPSTREAM_COLUMNS, "UPSTREAM", CLIENT_COLUMNS, "CLIENT");
    printf("%s%s\n", "REQUEST", paint_end());
}

static void print_target(const json_t *row, unsigned columns)
{
    const char *method = string(row, "method");
    size_t      used = 0;

    if (strcmp(method, "GET") != 0) {
        text_print_fitted(stdout, method, 8, 0);
        putchar(' ');
        used = (strlen(method) < 8 ? strlen(method) : 8) + 1;
    }
    text_print_fitted(stdout, string(row, "target"), columns > used ? columns - (unsigned)used : columns, 0);
}

void requests_print_line(const json_t *row, unsigned columns)
{
    const char *cache = string(row, "cache"), *client = string(row, "client"), *upstream = string(row, "upstream");
    const int   status = (int)number(row, "status");
    unsigned    used = LINE_COLUMNS;

    print_day(row, columns);
    print_time(row, columns > 0 ? "%H:%M:%S" : "%Y-%m-%dT%H:%M:%S");
    printf(" %s%3d%s %s%-11s%s %7s %8s ", paint_begin(of_status(status)), status, end_of(of_status(status)),
           paint_begin(of_cache(cache)), cache, end_of(of_cache(cache)),
           number(row, "queue_ms") >= 0.05 ? requests_span(number(row, "queue_ms")) : "-",
           requests_span(number(row, "took_ms")));
    if (columns == 0 || columns >= WIDE_COLUMNS) {
        text_print_fitted(stdout, upstream[0] != '\0' ? upstream : "-", UPSTREAM_COLUMNS, 1);
        putchar(' ');
        text_print_fitted(stdout, client[0] != '\0' ? client : "-", columns == 0 ? 0 : CLIENT_COLUMNS, 1);
        putchar(' ');
        used += UPSTREAM_COLUMNS + CLIENT_COLUMNS + 2;
    }
    print_target(row, columns > used + 10 ? columns - used : columns == 0 ? 0 : 10);
    if (!flag(row, "whole"))
        printf(" %s(broken off)%s", paint_begin(PAINT_YELLOW), paint_end());
    putchar('\n');
}

/* -- its story -- */

static void print_mark(double ms)
{
    printf("  %s%+10.3f s%s  ", paint_begin(PAINT_DIM), ms / 1000, paint_end());
}

static void print_who(const json_t *row)
{
    printf("  client      ");
    text_print_fitted(stdout, string(row, "client"), 0, 0);
    if (json_object_get(row, "uid") != NULL)
        printf("  uid %lld", (long long)json_integer_value(json_object_get(row, "uid")));
    if (json_object_get(row, "pid") != NULL)
        printf("  process %lld", (long long)json_integer_value(json_object_get(row, "pid")));
    printf("  from %s\n", string(row, "peer"));
}

static void print_place(const json_t *row)
{
    if (string(row, "upstream")[0] == '\0')
        return;
    printf("  upstream    ");
    text_print_fitted(stdout, string(row, "upstream"), 0, 0);
    if (string(row, "rule")[0] != '\0') {
        printf("  rule ");
        text_print_fitted(stdout, string(row, "rule"), 0, 0);
    }
    putchar('\n');
}

/* How it came to go upstream, or not. */
static void print_arrival(const json_t *row)
{
    const char *fwd = string(row, "fwd");

    print_mark(0);
    if (fwd[0] == '\0') {
        printf("came: %s\n", string(row, "cache"));
        return;
    }
    printf("came: %s, to be asked for upstream (%s)", string(row, "cache"), fwd);
    if (number(row, "predicted_ms") >= 0.05)
        printf("; a wait of %s was foreseen", requests_span(number(row, "predicted_ms")));
    putchar('\n');
}

/* Each attempt as it ended.  When they began is the sum of what came before them. */
static double print_attempts(const json_t *row)
{
    double  at = 0;
    json_t *attempt;
    size_t  i;

    json_array_foreach(json_object_get(row, "tries"), i, attempt)
    {
        at += number(attempt, "waited_ms");
        print_mark(at);
        printf("attempt %zu, since %s", i + 1, string(attempt, "cause"));
        if (number(attempt, "waited_ms") >= 0.05)
            printf(", after a wait of %s", requests_span(number(attempt, "waited_ms")));
        at += number(attempt, "took_ms");
        printf(": %s after %s\n", string(attempt, "outcome"), requests_span(number(attempt, "took_ms")));
    }
    if (i > 0 && (double)i < number(row, "attempts"))
        printf("  %14s and %lld more attempts\n", "", (long long)number(row, "attempts") - (long long)i);
    return at;
}

static void print_end(const json_t *row)
{
    const int status = (int)number(row, "status");

    print_mark(number(row, "took_ms"));
    printf("answered %s%d%s, %lld bytes%s", paint_begin(of_status(status)), status, end_of(of_status(status)),
           (long long)number(row, "bytes"), flag(row, "whole") ? "" : ", broken off by the client");
    if (flag(row, "stored"))
        printf("; stored");
    if (flag(row, "collapsed"))
        printf("; shared the answer of request %lld",
               (long long)json_integer_value(json_object_get(row, "shared_with")));
    putchar('\n');
}

void requests_print_story(const json_t *row)
{
    printf("%s#%lld  ", paint_begin(PAINT_BOLD), (long long)json_integer_value(json_object_get(row, "id")));
    print_time(row, "%Y-%m-%d %H:%M:%S");
    printf("  %s  ", string(row, "method"));
    text_print_fitted(stdout, string(row, "target"), 0, 0);
    printf("%s\n", paint_end());
    print_who(row);
    print_place(row);
    if (string(row, "error")[0] != '\0')
        printf("  problem     %s%s%s: %s\n", paint_begin(PAINT_RED), string(row, "error"), paint_end(),
               string(row, "detail"));
    else if (string(row, "detail")[0] != '\0')
        printf("  detail      %s\n", string(row, "detail"));
    if (number(row, "received_bytes") > 0)
        printf("  sent along  %lld bytes\n", (long long)number(row, "received_bytes"));
    print_arrival(row);
    print_attempts(row);
    print_end(row);
}
