/*
 * How long a request will wait: the one forecast that max_wait, Retry-After, the log and the status go by.
 *
 * Three things may keep it: the budget (the ledger knows), a pause that the API asked for (the hold), and the
 * places at the API.  For these there is the API's pace: what its requests take of late, apart for each rule
 * and method, since those often differ by more than all else.  The turn is this request's own: who goes before
 * it is the queue's to say, and of other classes only those count whose own limits let them go before it.
 * Of what is not known nothing is foretold: it waits, and hears at the end of its max_wait, or as soon as it is known.
 */
#include "upstream/internal.h"

#include <xxhash.h>

enum { LOOKS = 4, KIND_LEAST = 8 };

/* -- pace -- */

static uint64_t kind_key(const struct fetch *f)
{
    uint64_t h = XXH3_64bits_withSeed(f->policy->label, f->policy->label != NULL ? strlen(f->policy->label) : 0,
                                      (uint64_t)f->request.method + 1);

    return h != 0 ? h : 1;
}

/* Those that came when all places were taken are all the last. */
static unsigned kind_of(struct site *s, const struct fetch *f)
{
    uint64_t key = kind_key(f);
    unsigned i = 0;

    while (i < KINDS - 1 && s->kinds[i].key != key && s->kinds[i].key != 0)
        i++;
    if (s->kinds[i].key == 0)
        s->kinds[i].key = key;
    return i;
}

static const struct pace *pace_of(const struct site *s, unsigned kind, int64_t now)
{
    const struct pace *own = s->kinds[kind].pace;

    return own != NULL && own->count >= KIND_LEAST && pace_is_known(own, now) ? own : &s->pace;
}

void forecast_waits(struct flight *f)
{
    f->kind = kind_of(f->site, f->leader);
    f->site->kinds[f->kind].waiting++;
    f->site->waiting++;
}

void forecast_goes(struct flight *f)
{
    f->site->kinds[f->kind].waiting--;
    f->site->waiting--;
}

/* Of what was cut off by us, or never sent, nobody knows how long it would have taken. */
static bool tells(const struct turn *t)
{
    static const bool ours[] = {
        [STOP_ABANDONED] = true, [STOP_DEAD_CONNECTION] = true, [STOP_SECOND_SENDING] = true, [STOP_SPOKE_FIRST] = true,
        [STOP_UNASKED] = true,   [STOP_UPLOAD_BROKEN] = true,   [STOP_UPLOAD_STALLED] = true, [STOP_OVER_BUDGET] = true
    };

    return t->sent_ns != 0 && ((size_t)t->stop >= sizeof ours / sizeof *ours || !ours[t->stop]);
}

/* The first connections are new ones, later ones mostly are not. */
static int64_t begun(const struct turn *t)
{
    return t->sent_ns != 0 && t->site->pace.count < PACE_MANY ? t->sent_ns : t->begun_ns;
}

void forecast_note(const struct turn *t)
{
    struct site *s = t->site;
    struct kind *kind = &s->kinds[kind_of(s, t->fetch)];
    int64_t      now = clock_mono_ns();
    bool         was_known = pace_is_known(&s->pace, now);
    int64_t      took = now - begun(t);

    if (!tells(t))
        return;
    pace_note(&s->pace, took, now);
    if (kind->pace == NULL)
        kind->pace = mem_alloc(sizeof *kind->pace);
    pace_note(kind->pace, took, now);
    s->paces = was_known ? s->paces + 1 : 0;
    if (pace_is_known(&s->pace, now) && (s->paces == 0 || s->paces == PACE_LEAST || s->paces == PACE_MANY))
        if (s->waiting > 0 && !LIST_IS_IN(s, review))
            LIST_INSERT_HEAD(&s->up->reviews, s, review);
}

/* -- places -- */

static bool is_endless(const struct turn *t)
{
    return t->flight != NULL && t->flight->live;
}

/* `held_ns`: nothing goes before that, but what is under way goes on. False: there is nothing to go by. */
static bool fill_places(struct site *s, int64_t now, int64_t held_ns, struct turns *p)
{
    unsigned           step = s->in_flight / TURNS_PLACES + 1, at = 0, seen = 0;
    const struct turn *t;

    if (!pace_is_known(&s->pace, now))
        return false;
    turns_begin(p, site_slots(s), s->in_flight);
    LIST_FOREACH (t, &s->turns, entry)
        if (!turn_is_played(t) && at++ % step == 0)
            turns_busy(p, is_endless(t) ? NULL : pace_of(s, kind_of(s, t->fetch), now), now - begun(t), held_ns, step);
    for (unsigned k = 0; k < KINDS; k++) {
        turns_of_kind(p, pace_of(s, k, now), seen, seen + s->kinds[k].waiting, s->waiting);
        seen += s->kinds[k].waiting;
    }
    return p->count > 0;
}

/* -- who goes before it -- */

struct line {
    struct site            *site;
    const struct flight    *flight; /* NULL: a newcomer */
    const struct charge    *charge;
    enum queue_priority     priority;
    const struct queue_who *who;
    struct queue_class class;
    struct budget_now  now;
    int64_t            within_ns; /* of interest is what goes before that */
    struct queue_ahead ahead;     /* of what it spends */
    uint64_t           more;      /* of its own that go before it and are not there yet */
};

static uint64_t may_pass(void *context, const struct queue_entry *e, uint64_t entries)
{
    struct line         *line = context;
    struct ledger       *l = line->site->budget->ledger;
    const struct flight *f = CONTAINER_OF((struct queue_entry *)e, struct flight, entry);
    struct queue_ahead   before = { .alike = entries - 1 };
    int64_t              last_ns = ledger_predict_ns(l, &f->charge, &before, line->now, NULL), first_ns;

    if (last_ns <= line->within_ns)
        return entries;
    before.alike = 0;
    first_ns = ledger_predict_ns(l, &f->charge, &before, line->now, NULL);
    if (first_ns > line->within_ns)
        return 0;
    return 1 + (uint64_t)((double)(entries - 1) * (double)(line->within_ns - first_ns) / (double)(last_ns - first_ns));
}

static uint64_t ahead_in_place(struct line *line)
{
    const struct queue *q = line->site->budget->queue;

    if (!queue_is_mixed(q, &line->class, line->priority))
        return line->ahead.all;
    return line->more + queue_ahead_in_place(q, line->flight != NULL ? &line->flight->entry : NULL, &line->class,
                                             line->priority, line->who, may_pass, line);
}

static int64_t budget_of(void *context, uint64_t ahead)
{
    const struct line *line = context;
    struct queue_ahead part = queue_ahead_part(&line->ahead, ahead);

    return ledger_predict_ns(line->site->budget->ledger, line->charge, &part, line->now, NULL);
}

/* `held_ns`: nothing goes before that; `budget_ns`: this one does not. */
static int64_t predict_places(struct line *line, int64_t held_ns, int64_t budget_ns)
{
    struct turns p;
    int64_t      wait_ns = held_ns > budget_ns ? held_ns : budget_ns, placed_ns;
    uint64_t     ahead = 0, before = 0;

    if (line->site->in_flight + (uint64_t)line->site->waiting < site_slots(line->site) ||
        !fill_places(line->site, line->now.mono_ns, held_ns, &p))
        return 0;
    for (int look = 0; look < LOOKS; look++) {
        line->within_ns = wait_ns;
        ahead = ahead_in_place(line);
        placed_ns = held_ns + turns_wait_ns(&p, ahead);
        if (placed_ns > wait_ns)
            wait_ns = placed_ns;
        if (look > 0 && ahead <= before)
            break;
        before = ahead;
    }
    return budget_ns > 0 ? turns_wait_spent_ns(&p, wait_ns, ahead, line->ahead.all, budget_of, line) : wait_ns;
}

/* -- all of it -- */

/* `more` like it go before it, besides those that are there. */
static int64_t wait_after(struct site *site, const struct flight *f, const struct charge *charge,
                          enum queue_priority priority, const struct queue_who *who, uint64_t more,
                          struct wait_cause *cause)
{
    struct budget      *b = site->budget;
    struct line         line = { .site = site,
                                 .charge = charge,
                                 .priority = priority,
                                 .who = who,
                                 .class = site_class(site, charge),
                                 .now = budget_time(),
                                 .more = more };
    int64_t             hold = hold_predict_ns(&site->hold, line.now.mono_ns), pause = 0, wait, placed;
    const char         *tightest = NULL;
    struct ledger_cause told;

    *cause = (struct wait_cause){ .limit = "queue" };
    if (f != NULL && f->state == FLIGHT_PAUSING)
        pause = f->pause.at_ns > line.now.mono_ns ? f->pause.at_ns - line.now.mono_ns : 0;
    if (f != NULL && queue_waits(&f->entry)) {
        line.flight = f;
        line.class = f->entry.class;
    }
    line.ahead = line.flight != NULL ? queue_ahead_of(b->queue, &f->entry)
                                     : queue_ahead(b->queue, &line.class, priority, who);
    line.ahead.all += more;
    line.ahead.alike += more;
    wait = ledger_predict_ns(b->ledger, charge, &line.ahead, line.now, &tightest);
    if (tightest != NULL) {
        told = ledger_cause(b->ledger, charge, &line.ahead, line.now);
        *cause = (struct wait_cause){ tightest, told.by, told.heard_wall_ns };
    }
    placed = predict_places(&line, hold, wait);
    if (hold > wait) {
        *cause = (struct wait_cause){ hearing_hold_name, TOLD_BY_RETRY_AFTER, site->hold.heard_wall_ns };
        wait = hold;
    }
    if (placed > wait) {
        if (wait < placed / 2) /* else the most of it is the other's doing */
            *cause = (struct wait_cause){ .limit = "queue" };
        wait = placed;
    }
    return wait > pause ? wait : pause;
}

int64_t forecast_wait(struct site *site, const struct flight *f, const struct charge *charge,
                      enum queue_priority priority, const struct queue_who *who, struct wait_cause *cause)
{
    return wait_after(site, f, charge, priority, who, 0, cause);
}

int64_t forecast_last(const struct flight *f, uint64_t more)
{
    struct wait_cause cause;

    return wait_after(f->site, f, &f->charge, f->entry.priority, &f->entry.who, more, &cause);
}

int64_t forecast_takes(const struct flight *f)
{
    int64_t            now = clock_mono_ns();
    const struct pace *p = pace_of(f->site, kind_of(f->site, f->leader), now);

    return pace_is_known(p, now) ? pace_at(p, 0.5) : 0;
}

int64_t forecast_newcomer(struct site *s)
{
    static const struct queue_who nobody;
    struct charge                 charge = { .method = HTTP_GET, .method_name = SLICE("GET"), .path = SLICE("/") };
    struct wait_cause             cause;

    return forecast_wait(s, NULL, &charge, QUEUE_INTERACTIVE, &nobody, &cause);
}
