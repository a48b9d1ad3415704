/*
 * What the thread is doing, for `weirctl status` and `weirctl limits`.
 */
#include "upstream/inside.h"

#include <stdio.h>

struct visit {
    struct arena                 *arena;
    struct upstream_limit_report *limits;
    unsigned                      count, capacity;
};

static void hex(char *out, size_t bytes, const uint8_t *in)
{
    for (size_t i = 0; i * 2 + 2 < bytes; i++)
        snprintf(out + i * 2, 3, "%02x", in[i]);
}

static void add_limit(void *context, const struct limit_options *o, const uint8_t *credential,
                      const struct limit_state *state)
{
    struct visit                 *v = context;
    struct upstream_limit_report *r;

    if (v->count == v->capacity) {
        unsigned                      capacity = v->capacity > 0 ? v->capacity * 2 : 8;
        struct upstream_limit_report *more = arena_alloc(v->arena, capacity * sizeof *more);

        if (v->count > 0)
            memcpy(more, v->limits, v->count * sizeof *more);
        v->limits = more;
        v->capacity = capacity;
    }
    r = &v->limits[v->count++];
    snprintf(r->name, sizeof r->name, "%s", o->name != NULL ? o->name : "");
    if (credential != NULL)
        hex(r->credential, sizeof r->credential, credential);
    r->allowed = state->allowed;
    r->left = state->left;
    r->resets_in_ns = state->resets_in_ns;
    r->blocked_for_ns = state->blocked_for_ns;
}

static void fill_entry(struct upstream_report_entry *e, struct site *s, struct arena *a)
{
    struct visit v = { .arena = a };

    snprintf(e->name, sizeof e->name, "%s", s->name);
    e->in_flight = s->in_flight;
    e->waiting = s->waiting;
    e->connections = s->connections;
    e->requests = s->requests;
    e->attempts = s->attempts;
    e->retries = s->retries;
    e->failures = s->failures;
    e->breaker_open = s->breaker.open_until_ns != 0;
    ledger_visit(s->budget->ledger, budget_time(), add_limit, &v);
    e->limits = v.limits;
    e->limit_count = v.count;
}

void report_fill(struct upstream *up, struct upstream_report *r)
{
    unsigned count = 0;

    for (const struct site *s = up->sites; s != NULL; s = s->next)
        count += s->configured || s->in_flight > 0;
    r->entries = arena_alloc(&r->arena, (count > 0 ? count : 1) * sizeof *r->entries);
    /* Sites are hung in at the front: the report goes in order of the configuration, from the back. */
    r->count = count;
    for (struct site *s = up->sites; s != NULL; s = s->next)
        if (s->configured || s->in_flight > 0)
            fill_entry(&r->entries[--count], s, &r->arena);
    r->flights = up->flight_count;
}
