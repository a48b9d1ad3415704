/*
 * What the files of /metrics share: a scrape under way, and how its lines are written.
 */
#ifndef WEIR_ADMIN_METRICS_H
#define WEIR_ADMIN_METRICS_H

#include "admin/internal.h"

struct metric_row {                         /* an upstream; the first one is of no upstream's requests */
    const struct config_upstream       *up; /* NULL */
    const struct traffic               *traffic;
    const struct upstream_report_entry *entry; /* the upstream thread's; all zero where it does not know it yet */
};

struct metrics {
    bool               is_open; /* OpenMetrics, else Prometheus' text */
    struct metric_row *rows;
    unsigned           count;
    unsigned           family, row; /* what comes next */
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_INFO };

struct metric {
    const char      *name; /* without _total and _info */
    enum metric_type type;
    const char      *help;
    bool             by_upstream; /* else once: `row` is the first one */
    void (*write)(struct admin_call *, const struct metric *, const struct metric_row *row);
};

/* -- metrics_text.c -- */
/* Does Accept prefer OpenMetrics to text? (RFC 9110 12.5.1) */
bool metrics_wants_open(struct slice accept);
void metric_head(struct admin_call *, const struct metric *);
/* A sample: its name's end, labels as name and value by turns, NULL ends; the value. */
void metric_number(struct admin_call *, const struct metric *, uint64_t value, const char *const *labels);
void metric_real(struct admin_call *, const struct metric *, double value, const char *const *labels);
#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NO_LABELS   ((const char *const[]){ NULL })
/* Bounds are 2^first, 2^(first + 2) ... 2^last nanoseconds. */
void metric_histogram(struct admin_call *, const struct metric *, const char *upstream, const struct histogram_sum *,
                      unsigned first, unsigned last);

/* -- metrics_table.c -- */
unsigned metrics_count(void);
/* That comes at `index`; counters of base/counters.def first. In *own where it is one of those. */
const struct metric *metrics_at(unsigned index, struct metric *own, char name[64]);

#endif
