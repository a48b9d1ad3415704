/*
 * How long a batch will take, and which limit it waits for: from the budgets of the upstreams that its items go to.
 *
 * The upstream thread says when the last of so many would go that come after one that is under way. How many those are
 * is known of a document; of lines that are not read yet as many go to each upstream as of those that were.
 */
#include "jobs/internal.h"

#include "base/clock.h"

#include <stdio.h>

/* -- how many there are -- */

static struct prospect_part *find_target(struct batch *b, const char *upstream)
{
    struct prospect *p = &b->prospect;
    unsigned         i = 0;

    while (i < p->count && p->targets[i].upstream != upstream)
        i++;
    if (upstream == NULL || i == TARGETS)
        return NULL;
    if (i == p->count) {
        p->targets[i] = (struct prospect_part){ .upstream = upstream, .batch = b };
        p->count++;
    }
    return &p->targets[i];
}

void prospect_count(struct batch *b, const struct item *i)
{
    struct prospect_part *t = find_target(b, i->asked.upstream);

    if (t != NULL)
        t->items++;
}

void prospect_start(const struct item *i)
{
    struct prospect_part *t = find_target(i->batch, i->asked.upstream);

    if (t != NULL)
        t->started++;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Those that are not started yet, as far as they are wanted. */
static uint64_t to_come(const struct prospect_part *t)
{
    const struct batch *b = t->batch;
    uint64_t            started = 0, more = t->items > t->started ? t->items - t->started : 0;

    if (b->in.shape == SHAPE_LINES) {
        for (unsigned i = 0; i < b->prospect.count; i++)
            started += b->prospect.targets[i].started;
        more = b->in.count > b->in.next ? b->in.count - b->in.next : 0;
        more = (uint64_t)((double)more * (double)t->started / (double)(started > 0 ? started : 1));
    }
    return b->wanted.take > 0 ? least(more, b->wanted.take - least(b->counts.ok, b->wanted.take)) : more;
}

/* -- what was heard -- */

/* Its places are bounded too, by the batch's own concurrency. */
static int64_t target_ns(const struct prospect_part *t)
{
    const struct upstream_outlook *o = &t->look;
    double                         rounds = (double)(o->more + 1) / t->batch->wanted.concurrency;
    int64_t                        taken_ns = (int64_t)(rounds * (double)o->takes_ns);

    if (o->last_ns > INT64_MAX / 2)
        return INT64_MAX;
    return (taken_ns > o->last_ns ? taken_ns : o->last_ns) + o->takes_ns;
}

static void sum_up(struct batch *b)
{
    struct prospect *p = &b->prospect;

    p->eta_ns = -1;
    p->waits = NULL;
    for (unsigned i = 0; i < p->count; i++) {
        const struct prospect_part *t = &p->targets[i];

        if (!t->is_asked || !t->look.is_known)
            continue;
        if (target_ns(t) > 0 && target_ns(t) > p->eta_ns) /* 0: all are at the API, and nobody knows for how long */
            p->eta_ns = target_ns(t);
        if (t->look.limit[0] != '\0' && (p->waits == NULL || t->look.wait_ns > p->waits->look.wait_ns))
            p->waits = t;
    }
    p->tell(b);
}

static void receive_told(struct mail *m)
{
    struct upstream_outlook *o = CONTAINER_OF(m, struct upstream_outlook, done);
    struct batch            *b = CONTAINER_OF(o, struct prospect_part, look)->batch;

    if (--b->prospect.asked == 0)
        sum_up(b);
}

/* Of those under way the last one: the others go before it. */
static bool ask_target(struct prospect_part *t)
{
    struct batch *b = t->batch;
    struct item  *i;

    t->look = (struct upstream_outlook){ .reply_to = b->mailbox, .done.receive = receive_told, .more = to_come(t) };
    TAILQ_FOREACH_REVERSE(i, &b->under_way, items, entry)
    if (i->asked.upstream == t->upstream && i->exchange != NULL && exchange_look_out(i->exchange, &t->look))
        return true;
    return false;
}

void prospect_ask(struct batch *b, void (*tell)(struct batch *))
{
    struct prospect *p = &b->prospect;

    if (p->asked > 0)
        return;
    p->tell = tell;
    for (unsigned i = 0; i < p->count; i++) {
        p->targets[i].is_asked = ask_target(&p->targets[i]);
        p->asked += p->targets[i].is_asked;
    }
    if (p->asked == 0)
        sum_up(b);
}

/* -- as it is told -- */

/* Where no budget says anything, the rest takes as long as what was done. */
static int64_t eta_ns(const struct batch *b)
{
    int64_t took_ns = clock_mono_ns() - b->started_ns;

    if (b->prospect.eta_ns >= 0)
        return b->prospect.eta_ns;
    if (b->in.count <= b->counts.done || b->counts.done == 0)
        return INT64_MAX;
    return (int64_t)((double)took_ns / (double)b->counts.done * (double)(b->in.count - b->counts.done));
}

static void write_seconds(struct json_out *o, const char *name, int64_t ns)
{
    char text[32];

    snprintf(text, sizeof text, "%.1f", (double)ns / NS_PER_SEC);
    json_key(o, name);
    json_raw(o, slice_of(text));
}

void prospect_write(const struct batch *b, struct json_out *o)
{
    const struct prospect_part *waits = b->prospect.waits;
    int64_t                     ns = eta_ns(b);

    if (ns < INT64_MAX)
        write_seconds(o, "eta", ns);
    if (waits == NULL)
        return;
    json_key(o, "waits");
    json_raw(o, SLICE("{"));
    json_key(o, "upstream");
    json_text(o, slice_of(waits->upstream));
    json_key(o, "limit");
    json_text(o, slice_of(waits->look.limit));
    if (waits->look.wait_ns < INT64_MAX)
        write_seconds(o, "for", waits->look.wait_ns);
    json_raw(o, SLICE("}"));
}
