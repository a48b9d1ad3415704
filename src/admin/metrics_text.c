/*
 * The two formats that Prometheus reads: its text 0.0.4, and OpenMetrics 1.0, which differ in how counters and
 * information are named.  Text is escaped; what is no UTF-8 the configuration has refused.
 */
#include "admin/metrics.h"

#include "base/clock.h"
#include "base/decimal.h"
#include "http/list.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* -- which one -- */

/* "0.75" as 750; what is none counts as 1 (RFC 9110 12.4.2). */
static int quality(struct slice text)
{
    char   digits[8] = "";
    double q;

    if (text.len == 0 || text.len >= sizeof digits)
        return 1000;
    memcpy(digits, text.ptr, text.len);
    q = strtod(digits, NULL);
    return q >= 0 && q <= 1 ? (int)(q * 1000) : 1000;
}

struct media_range { /* a member of Accept */
    struct slice type, version;
    int          q;
};

static struct media_range read_range(struct slice member)
{
    struct media_range r = { .q = 1000 };
    size_t             at = slice_find(member, ';', 0);

    r.type = slice_trim(slice_sub(member, 0, at));
    while (at < member.len) {
        size_t       end = slice_find(member, ';', at + 1);
        struct slice name, value;

        http_split_parameter(slice_trim(slice_sub(member, at + 1, end)), &name, &value);
        if (slice_eq_nocase(name, SLICE("q")))
            r.q = quality(value);
        else if (slice_eq_nocase(name, SLICE("version")))
            r.version = value;
        at = end;
    }
    return r;
}

bool metrics_wants_open(struct slice accept)
{
    struct http_list list = http_list_of_value(accept);
    struct slice     member;
    int              open = 0, text = 0;

    while (http_list_next(&list, &member)) {
        struct media_range r = read_range(member);
        bool               is_open = slice_eq_nocase(r.type, SLICE("application/openmetrics-text"));

        if (is_open && (r.version.ptr == NULL || slice_eq(r.version, SLICE("1.0.0"))) && r.q > open)
            open = r.q;
        if (slice_eq_nocase(r.type, SLICE("text/plain")) && r.q > text)
            text = r.q;
    }
    return open > 0 && open >= text;
}

/* -- lines -- */

static void put(struct admin_call *call, const char *text)
{
    admin_write(call, slice_of(text));
}

/* Quotes are escaped in labels, and in OpenMetrics everywhere. */
static void put_escaped(struct admin_call *call, const char *text, bool quotes)
{
    const char *from = text;

    for (; *text != '\0'; text++) {
        if (*text != '\\' && *text != '\n' && !(quotes && *text == '"'))
            continue;
        admin_write(call, (struct slice){ from, (size_t)(text - from) });
        put(call, *text == '\n' ? "\\n" : *text == '"' ? "\\\"" : "\\\\");
        from = text + 1;
    }
    put(call, from);
}

static const char *suffix(const struct metric *m)
{
    return m->type == METRIC_COUNTER ? "_total" : m->type == METRIC_INFO ? "_info" : "";
}

void metric_head(struct admin_call *call, const struct metric *m)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_HISTOGRAM] = "histogram",
        [METRIC_INFO] = "info",
    };
    const bool  open = call->metrics->is_open;
    const char *end = open ? "" : suffix(m); /* in OpenMetrics it is the sample's, not the metric's */

    put(call, "# HELP ");
    put(call, m->name);
    put(call, end);
    put(call, " ");
    put_escaped(call, m->help, open);
    put(call, "\n# TYPE ");
    put(call, m->name);
    put(call, end);
    put(call, " ");
    put(call, m->type == METRIC_INFO && !open ? "gauge" : types[m->type]);
    put(call, "\n");
}

static void sample(struct admin_call *call, const struct metric *m, const char *end, const char *const *labels,
                   struct slice value)
{
    put(call, m->name);
    put(call, end);
    for (unsigned i = 0; labels[i] != NULL; i += 2) {
        put(call, i == 0 ? "{" : ",");
        put(call, labels[i]);
        put(call, "=\"");
        put_escaped(call, labels[i + 1], true);
        put(call, "\"");
    }
    put(call, labels[0] != NULL ? "} " : " ");
    admin_write(call, value);
    put(call, "\n");
}

void metric_number(struct admin_call *call, const struct metric *m, uint64_t value, const char *const *labels)
{
    char digits[DECIMAL_BYTES];

    sample(call, m, suffix(m), labels, decimal(value, digits));
}

static struct slice real(double value, char text[DECIMAL_BYTES])
{
    if (isinf(value))
        return value > 0 ? SLICE("+Inf") : SLICE("-Inf");
    return (struct slice){ text, (size_t)snprintf(text, DECIMAL_BYTES, "%.12g", value) };
}

void metric_real(struct admin_call *call, const struct metric *m, double value, const char *const *labels)
{
    char text[DECIMAL_BYTES];

    sample(call, m, suffix(m), labels, real(value, text));
}

void metric_histogram(struct admin_call *call, const struct metric *m, const char *upstream,
                      const struct histogram_sum *sum, unsigned first, unsigned last)
{
    const char *const labels[] = { "upstream", upstream, NULL };
    char              digits[DECIMAL_BYTES], bound[DECIMAL_BYTES];

    for (unsigned exponent = first; exponent <= last; exponent += 2) {
        snprintf(bound, sizeof bound, "%.9f", (double)(INT64_C(1) << exponent) / NS_PER_SEC);
        sample(call, m, "_bucket", LABELS("upstream", upstream, "le", bound),
               decimal(histogram_within(sum, exponent), digits));
    }
    sample(call, m, "_bucket", LABELS("upstream", upstream, "le", "+Inf"), decimal(sum->count, digits));
    sample(call, m, "_sum", labels, real((double)sum->sum_ns / NS_PER_SEC, bound));
    sample(call, m, "_count", labels, decimal(sum->count, digits));
}
