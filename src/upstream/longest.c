/*
 * Which requests have waited longest for their turn at an upstream: for `weirctl top`.
 */
#include "upstream/internal.h"

#include <stdio.h>

/* The kernel may have told since it came.  Whatever a client calls itself, the report is text. */
void longest_name_client(const struct fetch *f, char *out, size_t bytes)
{
    struct peer who = { 0 };

    if (!f->client.is_named && f->client.card != NULL)
        peer_card_read(f->client.card, &who);
    snprintf(out, bytes, SLICE_FMT, SLICE_ARG(f->client.name));
    if (who.pid > 0 && bytes >= PEER_LABEL_BYTES)
        peer_label(&who, out);
    for (char *c = out; *c != '\0'; c++)
        *c = *c >= 0x20 && *c < 0x7f ? *c : '?';
}

static void insert(const struct fetch *list[], unsigned *count, const struct fetch *f)
{
    unsigned at = *count;

    while (at > 0 && list[at - 1]->patience.arrived_mono_ns > f->patience.arrived_mono_ns)
        at--;
    if (at == LONGEST_TOLD)
        return;
    *count += *count < LONGEST_TOLD;
    for (unsigned i = *count - 1; i > at; i--)
        list[i] = list[i - 1];
    list[at] = f;
}

static void tell(struct upstream_waiter *w, const struct fetch *f, int64_t now_ns)
{
    struct arena a = { 0 };
    struct slice target = policy_redact_target(f->policy, f->request.target, &a);

    w->id = f->id;
    w->waited_ns = now_ns > f->patience.arrived_mono_ns ? now_ns - f->patience.arrived_mono_ns : 0;
    longest_name_client(f, w->client, sizeof w->client);
    snprintf(w->method, sizeof w->method, SLICE_FMT, SLICE_ARG(slice_sub(f->request.method_name, 0, 15)));
    snprintf(w->target, sizeof w->target, SLICE_FMT, SLICE_ARG(slice_sub(target, 0, sizeof w->target - 1)));
    arena_free(&a);
}

void longest_fill(struct upstream_report_entry *e, const struct site *s, struct arena *a)
{
    const struct fetch *longest[LONGEST_TOLD];
    const int64_t       now_ns = clock_mono_ns();

    EACH_FLIGHT(f, s)
    if (f->state == FLIGHT_WAITING || f->state == FLIGHT_NAMING)
        EACH_WAITER(w, f)
    insert(longest, &e->longest_count, w->fetch);
    if (e->longest_count == 0)
        return;
    e->longest = arena_alloc(a, e->longest_count * sizeof *e->longest);
    for (unsigned i = 0; i < e->longest_count; i++)
        tell(&e->longest[i], longest[i], now_ns);
}
