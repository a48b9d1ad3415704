/*
 * Who asks is found out before a flight stands in line, where that makes a difference: somebody goes before it, or
 * it cannot go at once: what only a row of the ledger's has to be durable for goes as soon as a name would be there.
 * Meanwhile it stands apart, its arrival and its patience go on, equal requests
 * join it, and as soon as its turn is here all the same it goes without a name.  So a request never waits for its
 * client's name, and nobody is judged by a place that is not his.
 */
#include "upstream/internal.h"

#include <stdlib.h>

enum { LOOKED_AT = 8 }; /* flights that are looked at for their turn: a name comes in milliseconds */

/* What is known of the client by now is what counts in the queue. */
static void adopt(struct fetch *f)
{
    struct peer who;

    peer_card_read(f->client.card, &who);
    f->client.who.id[QUEUE_USER] = peer_user_id(&who);
    if (!f->client.is_named)
        f->client.who.id[QUEUE_PROGRAM] = peer_program_id(&who);
    f->client.who.id[QUEUE_PROCESS] = peer_process_id(&who);
}

/* Nanoseconds until it could go if nobody were before it; INT64_MAX: until a place is free. */
static int64_t turn_ns(struct site *s, const struct charge *charge)
{
    const struct budget_now now = budget_time();
    const int64_t           hold = hold_wait_ns(&s->hold, now.mono_ns);
    const int64_t           wait = ledger_wait_ns(s->budget->ledger, charge, now, NULL);

    if (s->in_flight >= site_slots(s))
        return INT64_MAX;
    return wait > hold ? wait : hold;
}

static bool has_none_before(struct site *s, const struct fetch *f, enum queue_priority priority,
                            const struct charge *charge)
{
    const struct queue_class class = site_class(s, charge);

    return queue_length(s->budget->queue) == 0 ||
           queue_ahead(s->budget->queue, &class, priority, &f->client.who).all == 0;
}

/* Whoever it is: it could not be served in time. */
static bool is_hopeless(struct site *s, const struct fetch_links *w, const struct charge *charge)
{
    const struct budget_now  now = budget_time();
    const struct queue_ahead nobody = { 0 };

    return ledger_predict_ns(s->budget->ledger, charge, &nobody, now, NULL) > w->wait_left_ns ||
           hold_predict_ns(&s->hold, now.mono_ns) > w->wait_left_ns;
}

bool naming_is_needed(struct site *s, struct fetch_links *w)
{
    struct fetch *f = w->fetch;
    struct charge charge;

    if (f->client.card == NULL)
        return false;
    if (peer_card_is_told(f->client.card)) {
        adopt(f);
        return false;
    }
    fetch_charge(&charge, f);
    return !is_hopeless(s, w, &charge) &&
           (turn_ns(s, &charge) > LEDGER_COMMIT_WAIT_NS || !has_none_before(s, f, fetch_priority(f), &charge));
}

/* It stands in line, or will in a moment. */
static void join_line(struct naming *n)
{
    if (n->is_apart)
        TAILQ_REMOVE(&n->flight->site->namings[n->flight->entry.priority], n, entry);
    n->is_apart = false;
}

/* It is over; the flight knows nothing of it any more. */
static void let_go(struct naming *n)
{
    struct flight *f = n->flight;

    if (f == NULL)
        return;
    join_line(n);
    f->naming = NULL;
    n->flight = NULL;
}

/* Where its name was not found in time it stands in line without, and moves when it is found. */
static void receive_name(struct mail *m)
{
    struct naming *n = CONTAINER_OF(CONTAINER_OF(m, struct peer_wait, mail), struct naming, wait);
    struct flight *f = n->flight;

    if (f != NULL && !peer_find(f->leader->client.finder, f->leader->client.card, &n->wait)) {
        if (n->is_apart) {
            join_line(n);
            n->named(f);
        }
        return;
    }
    n->up->pending.namings--;
    let_go(n);
    if (f != NULL) {
        adopt(f->leader);
        n->named(f);
    }
    free(n);
}

void naming_begin(struct flight *f, void (*named)(struct flight *))
{
    struct naming *n = mem_alloc(sizeof *n);

    n->wait.mail.receive = receive_name;
    n->wait.mailbox = f->up->mailbox;
    n->up = f->up;
    n->flight = f;
    n->named = named;
    flight_become(f, FLIGHT_NAMING); /* named() tells by it that the flight stands in no line yet */
    if (peer_find(f->leader->client.finder, f->leader->client.card, &n->wait)) {
        free(n);
        adopt(f->leader);
        named(f);
        return;
    }
    f->naming = n;
    f->unsent_from_ns = clock_mono_ns();
    fetch_charge(&f->charge, f->leader);
    f->entry.priority = fetch_priority(f->leader);
    n->is_apart = true;
    TAILQ_INSERT_TAIL(&f->site->namings[f->entry.priority], n, entry);
    f->up->pending.namings++;
    budget_kick(f->site->budget);
}

void naming_joined(struct flight *f, const struct fetch *by)
{
    struct naming *n = f->naming;

    if (n == NULL || !n->is_apart)
        return;
    if (by->client.keep_permille < f->charge.keep_permille)
        f->charge.keep_permille = by->client.keep_permille;
    if (fetch_priority(by) < f->entry.priority) {
        TAILQ_REMOVE(&f->site->namings[f->entry.priority], n, entry);
        f->entry.priority = fetch_priority(by);
        TAILQ_INSERT_TAIL(&f->site->namings[f->entry.priority], n, entry);
    }
    budget_kick(f->site->budget);
}

void naming_end(struct flight *f)
{
    struct naming *n = f->naming;

    if (n == NULL)
        return;
    let_go(n);
    if (peer_find_leave(f->leader->client.finder, &n->wait)) {
        f->up->pending.namings--;
        free(n);
    }
}

static struct flight *let_in(struct site *s, enum queue_priority priority, int64_t *wake_ns)
{
    struct naming *n;
    unsigned       looked_at = 0;

    TAILQ_FOREACH (n, &s->namings[priority], entry) {
        struct flight *f = n->flight;
        int64_t        turn = turn_ns(s, &f->charge);

        if (looked_at++ == LOOKED_AT || turn == INT64_MAX)
            return NULL;
        if (!has_none_before(s, f->leader, priority, &f->charge))
            continue;
        if (turn <= 0) {
            naming_end(f);
            return f;
        }
        if (turn < *wake_ns)
            *wake_ns = turn;
    }
    return NULL;
}

struct flight *naming_let_in(struct budget *b, int64_t *wake_ns)
{
    struct flight *f;
    struct site   *s;

    for (enum queue_priority priority = 0; priority < QUEUE_PRIORITIES; priority++)
        LIST_FOREACH (s, &b->sites, of_budget)
            if ((f = let_in(s, priority, wake_ns)) != NULL)
                return f;
    return NULL;
}
