/*
 * Top to bottom: the sums, the upstreams with their budgets, who waits longest, who asks most.
 * Everything is said in words and figures; colours repeat it.
 */
#include "ctl/top_draw.h"

#include "ctl/ctl.h"
#include "ctl/paint.h"
#include "ctl/requests.h"
#include "ctl/text.h"
#include "ctl/units.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    NAME_COLUMNS = 14,
    BAR_COLUMNS = 10,
    LIMIT_COLUMNS = 38,
    LEFT_COLUMNS = 12,
    BUSIEST_SHOWN = 8,
    LONGEST_SHOWN = 6,
    WIDE_COLUMNS = 120
};

static double number(const json_t *row, const char *name)
{
    return json_number_value(json_object_get(row, name));
}

static const char *string(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));

    return text != NULL ? text : "";
}

/* -- order -- */

static const struct {
    const char *name, *member;
} orders[] = {
    { "rate", "rate" },
    { "hits", "hits" },
    { "saved", "saved" },
    { "queue", "waiting" },
    { "wait", "predicted_wait_s" },
    { "p95", "p95_ms" },
    { "errors", "errors" },
    { "name", NULL },
};
enum { ORDERS = sizeof orders / sizeof orders[0] };

const char *top_order_name(unsigned order)
{
    return order < ORDERS ? orders[order].name : NULL;
}

/* Would wait for ever: more than any other. */
static double worth(const json_t *row, unsigned order)
{
    const json_t *value = json_object_get(row, orders[order].member);

    return order == 4 && json_is_null(value) ? 1e300 : json_number_value(value);
}

static bool goes_before(const json_t *a, const json_t *b, unsigned order)
{
    if (orders[order].member == NULL)
        return strcmp(string(a, "name"), string(b, "name")) < 0;
    return worth(a, order) > worth(b, order);
}

/* Those of the same worth stay in the configuration's order. */
json_t *top_sort(const json_t *answer, unsigned order)
{
    json_t *sorted = json_array(), *row;
    size_t  i;

    json_array_foreach(json_object_get(answer, "upstreams"), i, row)
    {
        size_t at = json_array_size(sorted);

        while (at > 0 && goes_before(row, json_array_get(sorted, at - 1), order))
            at--;
        json_array_insert(sorted, at, row);
    }
    return sorted;
}

/* -- the sums -- */

static double sum(const json_t *answer, const char *name)
{
    json_t *row;
    size_t  i;
    double  all = 0;

    json_array_foreach(json_object_get(answer, "upstreams"), i, row) all += number(row, name);
    return all;
}

static void draw_sums(FILE *out, const json_t *answer, const struct top_view *v)
{
    const double requests = sum(answer, "requests"), hits = sum(answer, "hits") + sum(answer, "stale");
    const double interval = number(answer, "interval_s");
    time_t       now = time(NULL);
    struct tm    tm;
    char         clock[16] = "";

    if (localtime_r(&now, &tm) != NULL)
        strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    fprintf(out, "%sweir%s  %s  %.1f requests/s", paint_begin(PAINT_BOLD), paint_end(), clock,
            interval > 0 ? requests / interval : 0);
    if (requests > 0)
        fprintf(out, ", %.0f%% hits", 100 * hits / requests);
    fprintf(out, ", %.0f calls saved", v->saved);
    if (number(answer, "dropped") > 0 && v->columns >= 80)
        fprintf(out, ", %.0f not seen", number(answer, "dropped"));
    if (v->is_held)
        fprintf(out, "  %sHELD%s", paint_begin(PAINT_REVERSE), paint_end());
    fputc('\n', out);
}

/* -- upstreams -- */

static const char *wait_text(const json_t *row)
{
    const json_t *wait = json_object_get(row, "predicted_wait_s");

    if (json_is_true(json_object_get(row, "breaker_open")))
        return "DOWN";
    if (json_is_null(wait))
        return "never";
    return json_number_value(wait) > 0 ? requests_span(json_number_value(wait) * 1000) : "-";
}

static const char *span_or_dash(const json_t *row, const char *name)
{
    const json_t *value = json_object_get(row, name);

    return json_is_number(value) ? requests_span(json_number_value(value)) : "-";
}

static void draw_upstream(FILE *out, const json_t *row, bool is_selected)
{
    const bool is_down = json_is_true(json_object_get(row, "breaker_open"));
    char       hits[16] = "-";

    if (json_is_number(json_object_get(row, "hit_share")))
        snprintf(hits, sizeof hits, "%.0f%%", 100 * number(row, "hit_share"));
    fprintf(out, "%s%c", is_selected ? paint_begin(PAINT_REVERSE) : "", is_selected ? '>' : ' ');
    text_print_fitted(out, string(row, "name"), NAME_COLUMNS - 1, 1);
    fprintf(out, "%8.1f %5s %7.0f %4.0f %6.0f ", number(row, "rate"), hits, number(row, "saved"),
            number(row, "in_flight"), number(row, "waiting"));
    fprintf(out, "%s%8s%s ", is_down && !is_selected ? paint_begin(PAINT_RED) : "", wait_text(row),
            is_down && !is_selected ? paint_end() : "");
    fprintf(out, "%8s %8s ", span_or_dash(row, "p50_ms"), span_or_dash(row, "p95_ms"));
    fprintf(out, "%s%4.0f%s%s\n", number(row, "errors") > 0 && !is_selected ? paint_begin(PAINT_RED) : "",
            number(row, "errors"), number(row, "errors") > 0 && !is_selected ? paint_end() : "",
            is_selected ? paint_end() : "");
}

static double used_share(const json_t *limit)
{
    const double allowed = number(limit, "allowed");

    return number(limit, "blocked_for_s") > 0 ? 1 : allowed > 0 ? 1 - number(limit, "left") / allowed : 1;
}

static void draw_limit(FILE *out, const json_t *limit)
{
    const double share = used_share(limit);
    const int    full = (int)(share * BAR_COLUMNS + 0.5);
    char         left[UNITS_BYTES + 8], units[UNITS_BYTES];

    if (number(limit, "blocked_for_s") > 0)
        snprintf(left, sizeof left, "blocked %.20s", requests_span(1000 * number(limit, "blocked_for_s")));
    else
        snprintf(left, sizeof left, strlen(units_of(limit, "left", units)) + 5 <= LEFT_COLUMNS ? "%s left" : "%s",
                 units);
    fputs("  ", out);
    text_print_fitted(out, string(limit, "limit"), 12, 1);
    fprintf(out, " %s", paint_begin(share > 0.9 ? PAINT_RED : share > 0.7 ? PAINT_YELLOW : PAINT_GREEN));
    for (int i = 0; i < BAR_COLUMNS; i++)
        fputc(i < full ? '#' : '-', out);
    fprintf(out, "%s %-*.*s", paint_end(), LEFT_COLUMNS, LEFT_COLUMNS, left);
}

/* What is under way and what was paid, of those that count in any unit. How many lines. */
static unsigned draw_metered(FILE *out, const json_t *row, const struct top_view *v, unsigned room)
{
    unsigned lines = 0;
    json_t  *limit;
    size_t   i;

    json_array_foreach(json_object_get(row, "limits"), i, limit)
    {
        char metered[UNITS_METERED_BYTES];

        if (units_metered(limit, metered) == NULL || lines == room)
            continue;
        fputs("  ", out);
        text_print_fitted(out, string(limit, "limit"), 12, 1);
        fputc(' ', out);
        text_print_fitted(out, metered, v->columns > 60 ? v->columns - 16 : 44, 0);
        fputc('\n', out);
        lines++;
    }
    return lines;
}

/* The fullest first, as many as have room in one line. */
static bool draw_limits(FILE *out, const json_t *row, unsigned columns)
{
    const json_t *limits = json_object_get(row, "limits");
    const size_t  count = json_array_size(limits);
    unsigned      room = columns / LIMIT_COLUMNS;
    bool         *told = calloc(count + 1, sizeof *told);

    if (count == 0 || room == 0 || told == NULL) {
        free(told);
        return false;
    }
    for (; room > 0; room--) {
        size_t best = count;

        for (size_t i = 0; i < count; i++)
            if (!told[i] &&
                (best == count || used_share(json_array_get(limits, i)) > used_share(json_array_get(limits, best))))
                best = i;
        if (best == count)
            break;
        told[best] = true;
        draw_limit(out, json_array_get(limits, best));
    }
    free(told);
    fputc('\n', out);
    return true;
}

/* Of the whole time: the rest may yet be used. */
static bool draw_prefetches(FILE *out, const json_t *row)
{
    const double sent = number(row, "prefetches");

    if (sent > 0)
        fprintf(out, "  %.0f prefetched, %.0f used, %.0f wasted\n", sent, number(row, "prefetches_used"),
                number(row, "prefetches_wasted"));
    return sent > 0;
}

/* How many lines. */
static unsigned draw_upstreams(FILE *out, const json_t *answer, const struct top_view *v, unsigned room)
{
    json_t  *sorted = top_sort(answer, v->order), *row;
    unsigned lines = 1;
    size_t   i;

    fprintf(out, "%s%-*s%8s %5s %7s %4s %6s %8s %8s %8s %4s%s\n", paint_begin(PAINT_BOLD), NAME_COLUMNS, " UPSTREAM",
            "RATE/s", "HITS", "SAVED", "SENT", "QUEUE", "WAIT", "P50", "P95", "ERR", paint_end());
    json_array_foreach(sorted, i, row)
    {
        if (lines + 1 >= room && i + 1 < json_array_size(sorted)) {
            fprintf(out, "  and %zu more\n", json_array_size(sorted) - i);
            lines++;
            break;
        }
        draw_upstream(out, row, v->selected == (long)i);
        lines++;
        if (lines + 1 < room)
            lines += draw_limits(out, row, v->columns);
        if (lines + 1 < room)
            lines += draw_metered(out, row, v, room - lines - 1);
        if (lines + 1 < room)
            lines += draw_prefetches(out, row);
    }
    json_decref(sorted);
    return lines;
}

/* -- who waits, who asks -- */

static void take_longest(json_t *all, const json_t *upstream)
{
    json_t *row;
    size_t  i;

    json_array_foreach(json_object_get(upstream, "longest"), i, row)
    {
        size_t at = json_array_size(all);

        json_object_set(row, "upstream", json_object_get(upstream, "name"));
        while (at > 0 && number(row, "waited_s") > number(json_array_get(all, at - 1), "waited_s"))
            at--;
        json_array_insert(all, at, row);
    }
}

static unsigned draw_longest(FILE *out, const json_t *answer, const struct top_view *v, unsigned room)
{
    json_t  *all = json_array(), *row;
    unsigned lines = 2;
    size_t   i;

    json_array_foreach(json_object_get(answer, "upstreams"), i, row) take_longest(all, row);
    if (json_array_size(all) == 0 || room < 4) {
        json_decref(all);
        return 0;
    }
    fprintf(out, "\n%s %-8s %-12s %-18s %s%s\n", paint_begin(PAINT_BOLD), "WAITED", "UPSTREAM", "CLIENT", "REQUEST",
            paint_end());
    json_array_foreach(all, i, row)
    {
        if (i == LONGEST_SHOWN || lines == room)
            break;
        fprintf(out, " %-8s ", requests_span(1000 * number(row, "waited_s")));
        text_print_fitted(out, string(row, "upstream"), 12, 1);
        fputc(' ', out);
        text_print_fitted(out, string(row, "client"), 18, 1);
        fprintf(out, " %s ", string(row, "method"));
        text_print_fitted(out, string(row, "target"), v->columns > 60 ? v->columns - 50 : 20, 0);
        fputc('\n', out);
        lines++;
    }
    json_decref(all);
    return lines;
}

static void draw_busy(FILE *out, const json_t *row, const char *name, double interval, unsigned columns)
{
    text_print_fitted(out, string(row, name), columns - 18, 1);
    fprintf(out, " %8.1f/s %5.0f%%", interval > 0 ? number(row, "requests") / interval : 0,
            100 * number(row, "hits") / (number(row, "requests") > 0 ? number(row, "requests") : 1));
}

/* Clients on the left, rules on the right. */
static void draw_busiest(FILE *out, const json_t *answer, const struct top_view *v, unsigned room)
{
    const json_t  *clients = json_object_get(answer, "clients"), *rules = json_object_get(answer, "rules");
    const size_t   most = json_array_size(clients) > json_array_size(rules) ? json_array_size(clients)
                                                                            : json_array_size(rules);
    const unsigned half = (v->columns - 3) / 2;
    const double   interval = number(answer, "interval_s");

    if (most == 0 || room < 3 || v->columns < 60)
        return;
    fprintf(out, "\n%s %-*s  %-*s%s\n", paint_begin(PAINT_BOLD), (int)half, "CLIENTS", (int)half - 1, "RULES",
            paint_end());
    for (size_t i = 0; i < most && i < BUSIEST_SHOWN && i + 2 < room; i++) {
        fputc(' ', out);
        if (i < json_array_size(clients))
            draw_busy(out, json_array_get(clients, i), "client", interval, half);
        else
            fprintf(out, "%*s", (int)half, "");
        fputs("  ", out);
        if (i < json_array_size(rules))
            draw_busy(out, json_array_get(rules, i), "rule", interval, half);
        fputc('\n', out);
    }
}

void top_draw(FILE *out, const json_t *answer, const struct top_view *v)
{
    unsigned room = v->rows > 3 ? v->rows - 2 : v->rows == 0 ? 10000 : 1, lines;

    draw_sums(out, answer, v);
    lines = draw_upstreams(out, answer, v, room > 12 ? room * 3 / 5 : room);
    room = room > lines ? room - lines : 0;
    lines = draw_longest(out, answer, v, room);
    room = room > lines ? room - lines : 0;
    draw_busiest(out, answer, v, room);
}
