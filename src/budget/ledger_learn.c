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
#include "budget/learned.h"

#include <xxhash.h>

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
        bool holds = a->named[i]->identity == nobody;         /* the API named nothing: all of this credential */

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
    bool                       only;         /* the one statement of this answer */
    struct budget_now          own;
};

static bool is_specific(const struct limit_options *o)
{
    return o->match != NULL || o->methods != 0;
}

static bool same_rate(const struct limit_options *o, const struct learned_hint *h)
{
    return h->allowed >= 0 && (uint64_t)h->allowed == o->count &&
           (h->window_ns < 0 || h->window_ns == o->window_ns);
}

/* How well a limit that matched fits a statement without a name. */
static int fit_unnamed(const struct limit_options *o, const struct learned_hint *h)
{
    return (same_rate(o, h) ? 8 : 0) + (is_specific(o) ? 4 : 0) + (o->kind == LIMIT_LEARNED ? 2 : 0);
}

/* How well it fits one with a name; 0: not at all. */
static int fit_named(const struct choice *c, unsigned index, uint64_t name)
{
    const struct limit_options *o = c->ledger->scopes[index].options;
    uint64_t                    bound = c->account->line[index].bound;

    if (o->name != NULL && slice_eq_nocase(slice_of(o->name), c->hint->resource))
        return 64;
    if (bound != 0)
        return bound == name ? 32 : 0;
    if (same_rate(o, c->hint))
        return 16 + (is_specific(o) ? 4 : 0);
    if (c->only && is_specific(o))
        return 4;
    return c->only && o->kind == LIMIT_LEARNED && c->hint->allowed < 0 ? 2 : 0;
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
        if (fit > best_fit || (fit == best_fit && best >= 0 &&
                               scope->options->window_ns > c->ledger->scopes[best].options->window_ns)) {
            best = (int)i;
            best_fit = fit;
        }
    }
    /* The unspecific learned limit is the rest of the API, not what a specific one is there for. */
    if (named && best_fit == 2)
        for (unsigned i = 0; i < c->ledger->count; i++)
            if (is_specific(c->ledger->scopes[i].options) &&
                ledger_scope_matches(c->ledger, &c->ledger->scopes[i], c->charge))
                return -1;
    if (named && best >= 0)
        c->account->line[best].bound = name;
    return best;
}

/* *open: units that the statement may not have counted yet. */
static struct slot *limit_slot(const struct choice *c, unsigned index, uint64_t *open)
{
    struct limit_scope *scope = &c->ledger->scopes[index];

    *open = c->account->line[index].open;
    if (scope->slot != NULL && scope->options->kind == LIMIT_LEARNED) {
        *open = scope->open;          /* one window for all: the API's headers are what it goes by */
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

/* NULL only where an account has too many resources. *is_named: a bucket of the resource's own. */
static struct slot *choose(const struct choice *c, uint64_t *open, bool *is_named)
{
    int index = best_limit(c);

    *is_named = index < 0;
    return index >= 0 ? limit_slot(c, (unsigned)index, open) : named_slot(c, open);
}

struct slot *ledger_told_slot(struct ledger *l, struct account *a, const struct charge *c, struct budget_now own)
{
    struct learned_hint hint = { .allowed = -1, .remaining = -1, .window_ns = -1, .reset_in_ns = -1 };
    struct choice       choice = { l, a, c, &hint, true, own };
    uint64_t            open;
    bool                is_named;

    return choose(&choice, &open, &is_named);
}

/* -- an answer -- */

static bool tells(const struct learned_hint *h)
{
    return h->remaining >= 0 || h->allowed >= 0;
}

static void learn_one(struct ledger *l, struct slot *s, const struct learned_hint *h, uint64_t open,
                      struct budget_now own)
{
    int64_t left = h->remaining;

    if (left >= 0)
        left = (uint64_t)left > open ? left - (int64_t)open : 0;
    limit_learn(s->limit, left, h->allowed, h->reset_in_ns, own);
    limit_told_by(s->limit, h->by);
    if (left == 0 && h->reset_in_ns > 0)
        lease_stopped(l, s);
    else
        lease_changed(l, s);
}

void ledger_learn(struct ledger *l, const struct charge *c, const struct http_response *response,
                  struct budget_now own)
{
    struct learned_hint hints[LEARNED_MAX] = { { .allowed = -1, .remaining = -1, .window_ns = -1, .reset_in_ns = -1 } };
    struct arena        arena = { 0 };
    unsigned            count = learned_read(response, own.wall_ns, &arena, hints), names_count = 0;
    int64_t             block_ns = learned_block_ns(response, own.wall_ns);
    uint64_t            names[SEEN_NAMES];

    for (unsigned i = 0; i < (count > 0 ? count : 1); i++) {
        struct choice choice = { l, NULL, c, &hints[i], count <= 1, own };
        bool          blocks = i == 0 && block_ns > 0, is_named;
        struct slot  *s;
        uint64_t      open;

        if (!blocks && (i >= count || (!tells(&hints[i]) && hints[i].resource.len == 0)))
            continue;
        if (!blocks && hints[i].resource.len == 0 && (hints[i].remaining < 0 || hints[i].reset_in_ns <= 0))
            continue;                 /* nothing that would hold anything */
        choice.account = ledger_account(l, c->credential, own);
        s = choose(&choice, &open, &is_named);
        if (s == NULL)
            continue;
        if (i < count && tells(&hints[i]))
            learn_one(l, s, &hints[i], open, own);
        if (blocks) {
            limit_block(s->limit, block_ns, own);
            limit_told_by(s->limit, TOLD_BY_RETRY_AFTER);
            lease_stopped(l, s);
        }
        if (is_named && hints[i].resource.len > 0)
            names[names_count++] = s->identity;
    }
    if (names_count > 0)
        note_seen(ledger_account(l, c->credential, own), c->path, names, names_count);
    arena_free(&arena);
}
