/*
 * Where a statement of the API belongs.
 *
 * Always to the credential that asked.  Where the API names a resource: to the
 * matching limit of that name, the one that already turned out to be it, the
 * one with the same count, or else to a bucket of the resource's own, and the
 * paths that belong to it are remembered by their first two segments.  Where
 * it names none: to the limit that matched, the most specific of several.  So
 * an exhausted search freezes nothing else.
 */
#include "budget/ledger_parts.h"

#include "base/arena.h"
#include "base/clock.h"
#include "budget/learned.h"

#include <string.h>
#include <xxhash.h>

#define UNKNOWN_WINDOW_NS (INT64_C(31) * 86400 * NS_PER_SEC) /* a month */
#define RESET_SLACK_NS    (2 * NS_PER_SEC)                   /* whole seconds on both sides */

static const struct learned_hint nothing = { .allowed = -1, .remaining = -1, .window_ns = -1, .reset_in_ns = -1 };

/* -- paths and resources -- */

/* The path up to the end of its nth segment, without the query; 0 where it has fewer. */
static uint64_t prefix_hash(struct slice path, unsigned segments)
{
    size_t at = 0;

    path = slice_sub(path, 0, slice_find(path, '?', 0));
    for (unsigned i = 0; i < segments; i++) {
        if (at >= path.len)
            return 0;
        at = slice_find(path, '/', at + 1);
    }
    return XXH3_64bits_withSeed(path.ptr, at, segments) | 1;
}

static struct seen *find_seen(const struct account *a, uint64_t prefix)
{
    for (unsigned i = 0; i < a->seen_count; i++)
        if (a->seen[i].prefix == prefix)
            return &a->seen[i];
    return NULL;
}

unsigned ledger_named_of(const struct account *a, struct slice path, unsigned out[SEEN_NAMES])
{
    static const unsigned depths[] = { 2, 1 };
    const struct seen    *seen = NULL;
    unsigned              count = 0;
    uint64_t              nobody = ledger_name_hash(SLICE("")), prefix;

    for (unsigned i = 0; i < sizeof depths / sizeof depths[0] && seen == NULL; i++)
        if ((prefix = prefix_hash(path, depths[i])) != 0)
            seen = find_seen(a, prefix);
    for (unsigned i = 0; i < a->named_count && count < SEEN_NAMES; i++) {
        bool holds = a->named[i]->identity == nobody; /* the API named nothing: all of this credential */

        for (unsigned n = 0; seen != NULL && n < seen->count; n++)
            holds = holds || seen->names[n] == a->named[i]->identity;
        if (holds)
            out[count++] = i;
    }
    return count;
}

static struct seen *add_seen(struct account *a, uint64_t prefix)
{
    struct seen *s;

    if (a->seen == NULL)
        a->seen = mem_alloc(SEEN_MOST * sizeof *a->seen);
    if (a->seen_count < SEEN_MOST) {
        s = &a->seen[a->seen_count++];
    } else {
        s = &a->seen[a->seen_next];
        a->seen_next = (a->seen_next + 1) % SEEN_MOST;
    }
    *s = (struct seen){ .prefix = prefix };
    return s;
}

static bool holds_name(const struct seen *s, uint64_t name)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->names[i] == name)
            return true;
    return false;
}

/* Two segments are exact, and the newest word counts; the first alone stands for what all below it have in common. */
static void note_seen(struct account *a, struct slice path, const uint64_t *names, unsigned count)
{
    uint64_t     one = prefix_hash(path, 1), two = prefix_hash(path, 2);
    struct seen *s;

    if (two != 0) {
        s = find_seen(a, two);
        if (s == NULL)
            s = add_seen(a, two);
        memcpy(s->names, names, count * sizeof names[0]);
        s->count = count;
    }
    if (one == 0)
        return;
    s = find_seen(a, one);
    if (s == NULL) {
        s = add_seen(a, one);
        memcpy(s->names, names, count * sizeof names[0]);
        s->count = count;
        return;
    }
    for (unsigned i = 0; i < s->count;) {
        struct seen told = { .count = count };

        memcpy(told.names, names, count * sizeof names[0]);
        if (holds_name(&told, s->names[i]))
            i++;
        else
            s->names[i] = s->names[--s->count];
    }
}

/* -- which bucket -- */

struct choice {
    struct ledger             *ledger;
    struct account            *account;
    const struct charge       *charge;
    const struct learned_hint *hint;
    bool                       only; /* the one statement of this answer */
    struct budget_now          own;
};

static bool is_specific(const struct limit_options *o)
{
    return o->match != NULL || o->methods != 0;
}

static bool same_rate(const struct limit_options *o, const struct learned_hint *h)
{
    return h->allowed >= 0 && (uint64_t)h->allowed == o->count && (h->window_ns < 0 || h->window_ns == o->window_ns);
}

/* A learned limit goes by its window: the number is the API's to say. */
static bool same_window(const struct limit_options *o, const struct learned_hint *h)
{
    return o->kind == LIMIT_LEARNED && h->window_ns > 0 && h->window_ns == o->window_ns;
}

/* How well a limit that matched fits a statement without a name. */
static int fit_unnamed(const struct limit_options *o, const struct learned_hint *h)
{
    return (same_rate(o, h) || same_window(o, h) ? 8 : 0) + (is_specific(o) ? 4 : 0) +
           (o->kind == LIMIT_LEARNED ? 2 : 0);
}

/* Has the API told this credential of any other resource? */
static bool knows_another(const struct choice *c, uint64_t name)
{
    for (unsigned i = 0; i < c->account->named_count; i++)
        if (c->account->named[i]->identity != name && c->account->named[i]->identity != ledger_name_hash(SLICE("")))
            return true;
    for (unsigned i = 0; i < c->ledger->count; i++)
        if (c->account->line[i].bound != 0 && c->account->line[i].bound != name)
            return true;
    return false;
}

/* A learned limit waits to be told: a name that comes under its match is its own, as long as that is the only one. */
static int fit_learned(const struct choice *c, unsigned index, uint64_t name)
{
    if (c->ledger->scopes[index].options->kind != LIMIT_LEARNED || c->account->line[index].is_of_several)
        return 0;
    return c->account->line[index].bound != 0 || !knows_another(c, name) ? 2 : 0;
}

/* How well it fits one with a name; 0: not at all. */
static int fit_named(const struct choice *c, unsigned index, uint64_t name)
{
    const struct limit_options *o = c->ledger->scopes[index].options;
    const struct account_line  *line = &c->account->line[index];

    if (o->name != NULL && slice_eq_nocase(slice_of(o->name), c->hint->resource))
        return 64;
    if (line->bound == name)
        return 32;
    if (line->bound != 0 && !line->bound_for_want)
        return 0;
    if (same_rate(o, c->hint))
        return 16 + (is_specific(o) ? 4 : 0);
    if (same_window(o, c->hint))
        return 8;
    if (c->only && is_specific(o))
        return 4;
    return c->only ? fit_learned(c, index, name) : 0;
}

/* The specific limits that match: the unspecific learned one is the rest of the API, not what they are there for. */
static bool is_for_the_rest(const struct choice *c)
{
    for (unsigned i = 0; i < c->ledger->count; i++)
        if (is_specific(c->ledger->scopes[i].options) &&
            ledger_scope_matches(c->ledger, &c->ledger->scopes[i], c->charge))
            return false;
    return true;
}

static void forget_binding(struct ledger *l, struct account *a, unsigned index, struct budget_now own)
{
    struct slot *s = l->scopes[index].slot != NULL ? l->scopes[index].slot : a->line[index].slot;

    a->line[index].bound = 0;
    if (s == NULL)
        return;
    limit_forget(s->limit, own);
    lease_stopped(l, s);
}

/*
 * The limit at `best` turns out to be the resource of this name.  Where nothing but its match spoke for the name that
 * it had, and this one fits no better, it is none of the two: each has a bucket of its own from then on.
 */
static int bind_limit(const struct choice *c, int best, int fit, uint64_t name)
{
    struct account_line *line = &c->account->line[best];

    if (fit == 2 && line->bound != 0) {
        line->is_of_several = true;
        forget_binding(c->ledger, c->account, (unsigned)best, c->own);
        return -1;
    }
    line->bound = name;
    line->bound_for_want = fit == 2 || fit == 4;
    return best;
}

/* The limit that fits best, the longest window of equals; -1: none. */
static int best_limit(const struct choice *c)
{
    uint64_t name = ledger_name_hash(c->hint->resource);
    bool     named = c->hint->resource.len > 0;
    int      best = -1, best_fit = named ? 0 : -1;

    for (unsigned i = 0; i < c->ledger->count; i++) {
        const struct limit_scope *scope = &c->ledger->scopes[i];
        int                       fit;

        if (!ledger_scope_matches(c->ledger, scope, c->charge))
            continue;
        fit = named ? fit_named(c, i, name) : fit_unnamed(scope->options, c->hint);
        if (fit > best_fit ||
            (fit == best_fit && best >= 0 && scope->options->window_ns > c->ledger->scopes[best].options->window_ns)) {
            best = (int)i;
            best_fit = fit;
        }
    }
    if (named && best_fit == 2 && !is_for_the_rest(c))
        return -1;
    return named && best >= 0 && best_fit != 32 ? bind_limit(c, best, best_fit, name) : best;
}

/* *open: units that the statement may not have counted yet. */
static struct slot *limit_slot(const struct choice *c, unsigned index, uint64_t *open)
{
    struct limit_scope *scope = &c->ledger->scopes[index];

    *open = c->account->line[index].open;
    if (scope->slot != NULL && scope->options->kind == LIMIT_LEARNED) {
        *open = scope->open; /* one window for all: the API's headers are what it goes by */
        return scope->slot;
    }
    if (c->account->line[index].slot == NULL)
        ledger_slot_new(c->ledger, c->account, index, c->own);
    return c->account->line[index].slot;
}

static struct slot *named_slot(const struct choice *c, uint64_t *open)
{
    struct account *a = c->account;
    uint64_t        name = ledger_name_hash(c->hint->resource);

    *open = 0;
    for (unsigned i = 0; i < a->named_count; i++) {
        if (a->named[i]->identity == name) {
            *open = a->named_open[i];
            return a->named[i];
        }
    }
    return ledger_named_new(c->ledger, a, c->hint->resource, c->own);
}

struct chosen {
    struct slot *slot;
    uint64_t     open;
};

/* Where it belongs: a limit, a bucket of the resource's own, or both, where the limit may turn out to be another one's
 * some day.  named->slot is NULL also where an account has too many resources. */
static void choose(const struct choice *c, struct chosen *limit, struct chosen *named)
{
    int index = best_limit(c);

    *limit = *named = (struct chosen){ NULL, 0 };
    if (index >= 0)
        limit->slot = limit_slot(c, (unsigned)index, &limit->open);
    if (index < 0 || (c->hint->resource.len > 0 && c->account->line[index].bound_for_want &&
                      !is_specific(c->ledger->scopes[index].options)))
        named->slot = named_slot(c, &named->open);
}

struct slot *ledger_told_slot(struct ledger *l, struct account *a, const struct charge *c, struct budget_now own)
{
    struct learned_hint hint = nothing;
    struct choice       choice = { l, a, c, &hint, true, own };
    struct chosen       limit, named;

    choose(&choice, &limit, &named);
    return limit.slot != NULL ? limit.slot : named.slot;
}

/* -- an answer -- */

static bool tells(const struct learned_hint *h)
{
    return h->remaining >= 0 || h->allowed >= 0;
}

static void note_cut(struct ledger *l, enum told_by by, int64_t said_ns, int64_t kept_ns)
{
    l->cut = (struct ledger_cut){ l->cut.count + 1, by, said_ns, kept_ns };
}

/*
 * The longest that a reset can be meant to be.  Where the window is known, that; of a limit that
 * is another than what the API speaks of, no less than what any word may hold.  Of what nothing is known, any month.
 */
static int64_t reset_most_ns(const struct choice *c, const struct slot *s)
{
    const struct limit_options *o = NULL;
    int64_t                     told_most_ns = c->ledger->told_most_ns;

    if (c->hint->window_ns > 0)
        return c->hint->window_ns;
    for (unsigned i = 0; i < c->ledger->count && s->scope != SLOT_NAMED; i++)
        if (c->ledger->scopes[i].identity == s->identity)
            o = c->ledger->scopes[i].options;
    if (o == NULL)
        return c->hint->reset_in_ns > UNKNOWN_WINDOW_NS ? told_most_ns : UNKNOWN_WINDOW_NS;
    if (o->kind == LIMIT_LEARNED || same_rate(o, c->hint) || o->window_ns > told_most_ns)
        return o->window_ns;
    return told_most_ns;
}

static int64_t cut_reset(const struct choice *c, const struct slot *s)
{
    const struct learned_hint *h = c->hint;
    int64_t                    most_ns = reset_most_ns(c, s);

    if (h->odd && h->reset_in_ns < 0)
        note_cut(c->ledger, h->by, -1, 0);
    if (h->assumed && most_ns > c->ledger->told_most_ns)
        most_ns = c->ledger->told_most_ns;
    if (h->reset_in_ns <= most_ns || h->reset_in_ns - most_ns <= RESET_SLACK_NS)
        return h->reset_in_ns;
    if (!h->assumed)
        note_cut(c->ledger, h->by, h->reset_in_ns, most_ns);
    return most_ns;
}

/* A class's part of a learned window begins and ends as the window does; what is left is the window's. */
static void tell_share(struct ledger_share *share, const struct limit_word *w, struct budget_now own)
{
    struct limit_word part = *w;

    part.remaining = w->remaining >= 0 ? INT64_MAX : -1;
    part.allowed = w->allowed > 0 ? (int64_t)(((double)w->allowed * (1000 - share->keep_permille)) / 1000) : w->allowed;
    if (part.allowed == 0)
        part.allowed = 1;
    limit_learn(share->limit, &part, own);
}

static void learn_one(const struct choice *c, struct slot *s, uint64_t open)
{
    const struct learned_hint *h = c->hint;
    struct limit_word          w = { .remaining = h->remaining,
                                     .allowed = h->allowed,
                                     .by = h->by,
                                     .reset_in_ns = cut_reset(c, s),
                                     .assumed_ns = h->assumed ? (h->window_ns > 0 ? h->window_ns : 1) : 0 };

    if (w.remaining >= 0)
        w.remaining = (uint64_t)w.remaining > open ? w.remaining - (int64_t)open : 0;
    limit_learn(s->limit, &w, c->own);
    for (struct ledger_share *share = s->shares; share != NULL; share = share->next)
        tell_share(share, &w, c->own);
    if (w.remaining == 0 && w.reset_in_ns > 0)
        lease_stopped(c->ledger, s);
    else
        lease_changed(c->ledger, s);
}

/* In the units of the limit, and until the end of its window where no reset is told. */
static struct learned_hint fit_unit(const struct learned_hint *told, const struct limit_options *o)
{
    struct learned_hint h = *told;

    for (unsigned i = 0; i < o->scale; i++) {
        if (h.remaining > 0 && __builtin_mul_overflow(h.remaining, 10, &h.remaining))
            h.remaining = INT64_MAX;
        if (h.allowed > 0 && __builtin_mul_overflow(h.allowed, 10, &h.allowed))
            h.allowed = INT64_MAX;
    }
    if (h.by == TOLD_BY_OWN && h.reset_in_ns < 0 && !h.odd) {
        h.window_ns = h.reset_in_ns = o->window_ns;
        h.assumed = true;
    }
    return h;
}

/* Of another unit than requests: the limit of that name, or none. */
static void learn_of_unit(struct choice *c)
{
    const struct learned_hint *told = c->hint;

    for (unsigned i = 0; i < c->ledger->count; i++) {
        const struct limit_options *o = c->ledger->scopes[i].options;
        struct learned_hint         h;
        struct slot                *s;
        uint64_t                    open;

        if (o->name == NULL || !slice_eq_nocase(slice_of(o->name), told->unit) ||
            !ledger_scope_matches(c->ledger, &c->ledger->scopes[i], c->charge))
            continue;
        h = fit_unit(told, o);
        c->hint = &h;
        c->account = ledger_account(c->ledger, c->charge->credential, c->own);
        s = limit_slot(c, i, &open);
        learn_one(c, s, limit_is_metered(o) ? 0 : open);
        c->hint = told;
        return;
    }
}

static int64_t block_of(struct ledger *l, const struct http_response *response, struct budget_now own)
{
    struct learned_wait wait = learned_wait(response, own.wall_ns);

    if (!learned_is_refusal(response->status))
        return -1;
    if (wait.wait_ns > l->told_most_ns || wait.odd)
        note_cut(l, TOLD_BY_RETRY_AFTER, wait.wait_ns, wait.wait_ns < l->told_most_ns ? wait.wait_ns : l->told_most_ns);
    return wait.wait_ns < l->told_most_ns ? wait.wait_ns : l->told_most_ns;
}

/* Do all statements of requests speak of one resource, or of none? */
static bool speak_of_one(const struct learned_hint *h, unsigned count)
{
    for (unsigned i = 1; i < count; i++)
        if (h[i].unit.len == 0 && !slice_eq_nocase(h[i].resource, h[0].resource))
            return false;
    return true;
}

static void learn_at(const struct choice *c, const struct chosen *at, bool is_told, int64_t block_ns)
{
    if (at->slot == NULL)
        return;
    if (is_told && tells(c->hint))
        learn_one(c, at->slot, at->open);
    if (block_ns <= 0)
        return;
    limit_block(at->slot->limit, block_ns, TOLD_BY_RETRY_AFTER, c->own);
    lease_stopped(c->ledger, at->slot);
}

/* The bucket of the resource's own, where it has one. */
static struct slot *learn_hint(struct choice *c, bool is_told, int64_t block_ns)
{
    const struct learned_hint *h = c->hint;
    struct chosen              limit, named;

    if (block_ns <= 0 && (!is_told || (!tells(h) && h->resource.len == 0)))
        return NULL;
    if (block_ns <= 0 && h->resource.len == 0 && (h->remaining < 0 || h->reset_in_ns <= 0)) {
        if (h->odd)
            note_cut(c->ledger, h->by, -1, 0);
        return NULL; /* nothing that would hold anything */
    }
    c->account = ledger_account(c->ledger, c->charge->credential, c->own);
    choose(c, &limit, &named);
    learn_at(c, &limit, is_told, block_ns);
    learn_at(c, &named, is_told, block_ns);
    return named.slot;
}

void ledger_learn(struct ledger *l, const struct charge *c, const struct http_response *response, struct budget_now own)
{
    struct learned_hint hints[LEARNED_MAX + 1];
    struct arena        arena = { 0 };
    unsigned            count = learned_read(response, c->owns, own.wall_ns, &arena, hints), names_count = 0;
    int64_t             block_ns = block_of(l, response, own);
    uint64_t            names[SEEN_NAMES];
    bool                only;

    /* A wait is of requests, whatever else is said; and of nothing that was read and then put aside. */
    if (count > 0 && hints[0].unit.len > 0)
        memmove(&hints[1], &hints[0], count++ * sizeof hints[0]);
    if (count == 0 || hints[0].unit.len > 0)
        hints[0] = nothing;
    only = speak_of_one(hints, count);
    for (unsigned i = 0; i < (count > 0 ? count : 1); i++) {
        struct choice choice = { l, NULL, c, &hints[i], only, own };
        struct slot  *named;

        if (hints[i].unit.len > 0) {
            learn_of_unit(&choice);
            continue;
        }
        named = learn_hint(&choice, i < count, i == 0 ? block_ns : -1);
        if (named != NULL && hints[i].resource.len > 0 && names_count < SEEN_NAMES)
            names[names_count++] = named->identity;
    }
    if (names_count > 0)
        note_seen(ledger_account(l, c->credential, own), c->path, names, names_count);
    arena_free(&arena);
}

bool ledger_take_cut(struct ledger *l, struct ledger_cut *out)
{
    *out = l->cut;
    l->cut = (struct ledger_cut){ 0 };
    return out->count > 0;
}
