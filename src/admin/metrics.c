/*
 * /metrics: what a Prometheus scrapes, as its text or as OpenMetrics 1.0, whichever it prefers.
 *
 * The upstream thread is asked for some upstreams at a time until all are known, since a metric's lines must stand
 * together; then the lines are written as they are read.  What upstreams and limits are called comes from the
 * configuration; nothing that a client or an API says makes a line.
 */
#include "admin/metrics.h"

#include <stdlib.h>

enum { UPSTREAMS_AT_ONCE = 32 };

static const char text_type[] = "text/plain; version=0.0.4; charset=utf-8";
static const char open_type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";

static void make_rows(struct admin_call *call)
{
    static const struct upstream_report_entry nothing;
    const struct config                      *c = call->config;
    struct metrics                           *m = arena_alloc(&call->arena, sizeof *m);

    m->rows = arena_alloc(&call->arena, (c->upstream_count + 1) * sizeof *m->rows);
    m->rows[m->count++] = (struct metric_row){ NULL, c->traffic, &nothing };
    for (unsigned i = 0; i < c->upstream_count; i++)
        m->rows[m->count++] = (struct metric_row){ &c->upstreams[i], c->upstreams[i].traffic, &nothing };
    m->is_open = metrics_wants_open(call->accept);
    call->metrics = m;
}

/* Rows stand in the configuration's order. */
static void take_page(struct admin_call *call)
{
    for (unsigned i = 0; i < call->report.count; i++) {
        const struct config_upstream *up = config_find_upstream(call->config, call->report.entries[i].name);

        if (up != NULL)
            call->metrics->rows[up->route.index + 1].entry = &call->report.entries[i];
    }
}

static void drop_unseen(struct admin_call *call)
{
    struct metrics *m = call->metrics;
    unsigned        kept = 1;

    for (unsigned i = 1; i < m->count; i++)
        if (call->rights.may_use == NULL || call->rights.may_use(call->owner, m->rows[i].up))
            m->rows[kept++] = m->rows[i];
    m->count = kept;
}

static void write_more(struct admin_call *call)
{
    struct metrics *m = call->metrics;

    while (admin_has_room(call) && m->family < metrics_count()) {
        struct metric        own;
        char                 name[64];
        const struct metric *metric = metrics_at(m->family, &own, name);

        if (m->row == 0)
            metric_head(call, metric);
        metric->write(call, metric, &m->rows[m->row]);
        m->row++;
        if (!metric->by_upstream || m->row == m->count) {
            m->row = 0;
            m->family++;
        }
    }
    if (m->family < metrics_count())
        return;
    if (m->is_open)
        admin_write(call, SLICE("# EOF\n"));
    admin_finish(call);
}

static void page_known(struct mail *mail)
{
    struct admin_call *call = CONTAINER_OF(mail, struct admin_call, report.done);

    if (!admin_resume(call))
        return;
    take_page(call);
    if (call->report.has_more) {
        admin_ask_upstream(call, page_known);
        return;
    }
    drop_unseen(call);
    admin_start(call, 200, call->metrics->is_open ? open_type : text_type, write_more);
    admin_go_on(call);
}

static void run(struct admin_call *call)
{
    make_rows(call);
    call->report.most = UPSTREAMS_AT_ONCE;
    admin_ask_upstream(call, page_known);
}

const struct endpoint endpoint_metrics = { "/metrics", HTTP_GET, run, ON_QUERY_SOCKET };
