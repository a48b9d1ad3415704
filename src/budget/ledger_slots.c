/*
 * The ledger's buckets: made when a limit or a credential first needs them, gone when they
 * are whole again and nobody has used them for a while.
 *
 * The table of credentials is bounded.  What goes first is what has nothing left to say: an
 * account all of whose buckets are whole is as good as none.  Where none is, a credential
 * without an account shares one with others, one of a few chosen by its hash: together they have what
 * one alone would, so none of them is ever over.  If one gets an account of its own later, it
 * begins with all that was spent from the shared one.
 */
#include "budget/ledger_parts.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"

#include <stdlib.h>
#include <xxhash.h>

#define ACCOUNT_IDLE_NS (600 * NS_PER_SEC) /* a whole account unused for this long is dropped */
enum {
    ACCOUNTS_KEPT = 1024, /* of more, whole ones are dropped at once */
    LOOKS = 8,            /* for one that can go, when another comes */
    LOOKS_A_TIDYING = 512,
    GONE_MOST = 4096, /* rows that wait to be deleted */
    SPENDINGS_A_SWEEP = 4
};

/* -- life -- */

uint64_t ledger_limit_name(const char *name)
{
    struct slice text = slice_of(name);

    return XXH3_64bits(text.ptr != NULL ? text.ptr : "", text.len);
}

/* Two limits are one and the same for what was spent, whatever their count, burst, costs and names. */
static uint64_t scope_identity(const struct limit_options *o, unsigned ordinal)
{
    struct {
        int64_t  window_ns;
        uint32_t kind, start_minute, methods, owned, ordinal, zero;
    } fixed = {
        .window_ns = o->window_ns,
        .kind = (uint32_t)o->kind,
        .start_minute = o->start_minute,
        .methods = o->methods,
        .owned = o->per_credential,
        .ordinal = ordinal,
    };
    struct slice zone = slice_of(o->zone), match = slice_of(o->match);
    uint64_t     h = XXH3_64bits(&fixed, sizeof fixed);

    if (limit_is_metered(o)) { /* another unit is another limit */
        struct slice name = slice_of(o->name);

        h = XXH3_64bits_withSeed(name.ptr != NULL ? name.ptr : "", name.len, h + 1 + o->scale);
    }
    h = XXH3_64bits_withSeed(zone.ptr != NULL ? zone.ptr : "", zone.len, h);
    return XXH3_64bits_withSeed(match.ptr != NULL ? match.ptr : "", match.len, h);
}

static uint64_t status_cost_most(const struct limit_options *o)
{
    uint64_t most = 0;

    for (unsigned i = 0; i < o->cost_count; i++)
        if (o->costs[i].status_first != 0 && o->costs[i].cost > most)
            most = o->costs[i].cost;
    return most;
}

static bool identity_is_taken(const struct ledger *l, unsigned before, uint64_t identity)
{
    for (unsigned i = 0; i < before; i++)
        if (l->scopes[i].identity == identity)
            return true;
    return false;
}

static struct slot *slot_new(struct limit *limit, enum slot_scope scope, uint64_t identity, struct account *a,
                             const char *name)
{
    struct slot *s = mem_alloc(sizeof *s);

    *s = (struct slot){ .limit = limit, .scope = scope, .identity = identity, .account = a, .name = name };
    return s;
}

struct ledger *ledger_new(const struct limit_options *limits, unsigned count)
{
    struct ledger *l = mem_alloc(sizeof *l);

    CHECK(count <= LEDGER_MAX_LIMITS);
    l->count = count;
    l->told_most_ns = INT64_MAX;
    l->scopes = mem_alloc(count * sizeof *l->scopes);
    l->keep.dirty_end = &l->keep.dirty;
    for (unsigned i = 0; i < count; i++) {
        struct limit_scope *scope = &l->scopes[i];
        unsigned            ordinal = 0;

        scope->options = &limits[i];
        do
            scope->identity = scope_identity(&limits[i], ordinal++);
        while (identity_is_taken(l, i, scope->identity));
        scope->status_cost_most = status_cost_most(&limits[i]);
        scope->name = ledger_limit_name(limits[i].name);
        scope->factors = limit_is_metered(&limits[i]) ? factors_new() : NULL;
        scope->model = limit_new(&limits[i]);
        if (!limits[i].per_credential)
            scope->slot = slot_new(limit_new_like(scope->model), SLOT_SHARED, scope->identity, NULL, limits[i].name);
        if (scope->slot != NULL)
            lease_new_slot(l, scope->slot, (struct budget_now){ 0, 0 });
    }
    return l;
}

struct limit *ledger_share(struct slot *s, unsigned keep_permille)
{
    struct ledger_share *share = s->shares;

    if (keep_permille == 0 || limit_most(s->limit) == 0)
        return NULL;
    while (share != NULL && share->keep_permille != keep_permille)
        share = share->next;
    if (share == NULL) {
        share = mem_alloc(sizeof *share);
        *share = (struct ledger_share){ s->shares, keep_permille,
                                        limit_new_part(s->limit, keep_permille < 1000 ? 1000 - keep_permille : 0) };
        s->shares = share;
    }
    return share->limit;
}

void ledger_slot_free(struct ledger *l, struct slot *s)
{
    if (s == NULL)
        return;
    while (s->shares != NULL) {
        struct ledger_share *share = s->shares;

        s->shares = share->next;
        limit_free(share->limit);
        free(share);
    }
    lease_drop_slot(l, s);
    limit_free(s->limit);
    if (s->scope == SLOT_NAMED)
        free((char *)(uintptr_t)s->name);
    free(s);
}

static void account_free(struct ledger *l, struct account *a)
{
    accounts_remove(&l->accounts, a);
    for (unsigned i = 0; i < l->count; i++)
        ledger_slot_free(l, a->line[i].slot);
    for (unsigned i = 0; i < a->named_count; i++)
        ledger_slot_free(l, a->named[i]);
    free(a->seen);
    free(a);
}

void ledger_free(struct ledger *l)
{
    struct account *a;
    size_t          at = 0;

    if (l == NULL)
        return;
    ledger_keep_end(l);
    while ((a = accounts_next(&l->accounts, &at)) != NULL) {
        account_free(l, a);
        at--; /* another may have moved there */
    }
    free(l->accounts.table);
    for (unsigned i = 0; i < l->count; i++) {
        ledger_slot_free(l, l->scopes[i].slot);
        limit_free(l->scopes[i].model);
        factors_free(l->scopes[i].factors);
    }
    ledger_keep_free(l);
    free(l->scopes);
    free(l);
}

/* -- buckets of a credential -- */

static struct account *account_new(struct ledger *l, const uint8_t *credential)
{
    struct account *a = mem_alloc(sizeof *a + l->count * sizeof a->line[0]);

    a->has_credential = credential != NULL;
    if (credential != NULL)
        memcpy(a->credential, credential, LEDGER_CREDENTIAL_BYTES);
    accounts_add(&l->accounts, a);
    return a;
}

struct account *ledger_account_kept(struct ledger *l, const uint8_t *credential, struct budget_now own)
{
    struct account *a = accounts_find(&l->accounts, credential);

    if (a == NULL)
        a = account_new(l, credential);
    a->used_ns = own.mono_ns;
    return a;
}

struct slot *ledger_slot_new(struct ledger *l, struct account *a, unsigned index, struct budget_now own)
{
    struct limit_scope *scope = &l->scopes[index];
    bool                owned = scope->slot == NULL;
    struct slot        *s;

    s = slot_new(owned ? limit_new_like(scope->model) : limit_new_open(), owned ? SLOT_OWNED : SLOT_TOLD,
                 scope->identity, a, scope->options->name);
    a->line[index].slot = s;
    lease_new_slot(l, s, own);
    return s;
}

uint64_t ledger_name_hash(struct slice name)
{
    uint64_t h;
    char     lower[NAME_MOST_BYTES] = { 0 };

    if (name.len > sizeof lower)
        name.len = sizeof lower;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? (char)(name.ptr[i] + 32) : name.ptr[i];
    h = XXH3_64bits(lower, name.len);
    return h != 0 ? h : 1;
}

/* As people see it and write it: an API may send any bytes, and its name may be cut in the middle of a character. */
const char *ledger_name_shown(const struct slot *named, char out[NAME_MOST_BYTES + 1])
{
    size_t n = 0;

    for (; named->name[n] != '\0' && n < NAME_MOST_BYTES; n++)
        out[n] = named->name[n] >= ' ' && named->name[n] <= '~' ? named->name[n] : '?';
    out[n] = '\0';
    return out;
}

/* NULL where there are too many and none can go. */
struct slot *ledger_named_new(struct ledger *l, struct account *a, struct slice name, struct budget_now own)
{
    unsigned at = a->named_count;

    if (at == NAMED_MOST) {
        for (at = 0; at < NAMED_MOST; at++)
            if (a->named_open[at] == 0 && lease_is_idle(a->named[at]) && limit_is_whole(a->named[at]->limit, own))
                break;
        if (at == NAMED_MOST)
            return NULL;
        ledger_slot_free(l, a->named[at]);
    } else {
        a->named_count++;
    }
    if (name.len > NAME_MOST_BYTES)
        name.len = NAME_MOST_BYTES;
    a->named_open[at] = 0;
    a->named[at] = slot_new(limit_new_open(), SLOT_NAMED, ledger_name_hash(name), a,
                            mem_copy(name.len > 0 ? name : SLICE("api")));
    lease_new_slot(l, a->named[at], own);
    return a->named[at];
}

/* -- whose accounts there is room for -- */

static const char others_name[LEDGER_CREDENTIAL_BYTES - 1] = "weir: others..";

static void others_of(const uint8_t *credential, uint8_t out[LEDGER_CREDENTIAL_BYTES])
{
    memcpy(out, others_name, sizeof others_name);
    out[sizeof others_name] = (uint8_t)(XXH3_64bits(credential, LEDGER_CREDENTIAL_BYTES) % LEDGER_OTHERS);
}

bool ledger_is_others(const uint8_t *credential)
{
    return memcmp(credential, others_name, sizeof others_name) == 0;
}

static bool slot_can_go(const struct ledger *l, const struct slot *s, struct budget_now own)
{
    if (s == NULL)
        return true;
    return lease_is_idle(s) && limit_is_whole(s->limit, own) && !(s->has_row && l->keep.gone.count >= GONE_MOST);
}

static bool account_can_go(const struct ledger *l, const struct account *a, struct budget_now own)
{
    if (a->open > 0)
        return false;
    for (unsigned i = 0; i < l->count; i++)
        if (!slot_can_go(l, a->line[i].slot, own))
            return false;
    for (unsigned i = 0; i < a->named_count; i++)
        if (!slot_can_go(l, a->named[i], own))
            return false;
    return true;
}

/* The next one of the round; NULL: the round is over. */
static struct account *next_of_round(struct ledger *l)
{
    struct account *a = accounts_next(&l->accounts, &l->accounts.hand);

    if (a == NULL)
        l->accounts.hand = 0;
    return a;
}

static void drop_if_it_can_go(struct ledger *l, struct account *a, struct budget_now own)
{
    if (!account_can_go(l, a, own))
        return;
    account_free(l, a);
    l->accounts.hand--; /* another may have moved there */
}

static void drop_some(struct ledger *l, struct budget_now own)
{
    for (unsigned looks = 0; looks < LOOKS && l->accounts.count >= ACCOUNTS_KEPT; looks++) {
        struct account *a = next_of_round(l);

        if (a != NULL)
            drop_if_it_can_go(l, a, own);
    }
}

static bool is_full(const struct ledger *l)
{
    return l->accounts.count >= LEDGER_ACCOUNTS_MOST;
}

struct account *ledger_account_find(const struct ledger *l, const uint8_t *credential)
{
    struct accounts *t = (struct accounts *)&l->accounts; /* what it found last is no part of what it holds */
    struct account  *a = accounts_find(t, credential);
    uint8_t          others[LEDGER_CREDENTIAL_BYTES];

    if (a != NULL || credential == NULL || !is_full(l))
        return a;
    others_of(credential, others);
    return accounts_find(t, others);
}

static void begin_with(struct ledger *l, struct slot *to, const struct slot *from, struct budget_now own)
{
    size_t bytes = limit_image_bytes(from->limit);
    char  *image = mem_alloc(bytes);

    bytes = limit_save(from->limit, image, own);
    limit_restore(to->limit, image, bytes, 0, true, own);
    free(image);
    lease_without_row(l, to, own);
    lease_changed(l, to);
}

/* It may have been charged to them before. */
static void begin_as_others(struct ledger *l, struct account *a, const struct account *others, struct budget_now own)
{
    for (unsigned i = 0; i < l->count; i++) {
        const struct slot *from = others->line[i].slot;

        if (from != NULL && !limit_is_whole(from->limit, own))
            begin_with(l, ledger_slot_new(l, a, i, own), from, own);
        a->line[i].bound = others->line[i].bound;
        a->line[i].bound_for_want = others->line[i].bound_for_want;
        a->line[i].is_of_several = others->line[i].is_of_several;
    }
    for (unsigned i = 0; i < others->named_count; i++) {
        const struct slot *from = others->named[i];
        struct slice       name = slice_of(from->name);

        if (from->identity == ledger_name_hash(SLICE("")))
            name = SLICE("");
        if (!limit_is_whole(from->limit, own))
            begin_with(l, ledger_named_new(l, a, name, own), from, own);
    }
    if (others->seen == NULL)
        return;
    a->seen = mem_alloc(SEEN_MOST * sizeof *a->seen);
    memcpy(a->seen, others->seen, SEEN_MOST * sizeof *a->seen);
    a->seen_count = others->seen_count;
    a->seen_next = others->seen_next;
}

struct account *ledger_account(struct ledger *l, const uint8_t *credential, struct budget_now own)
{
    struct account       *a = accounts_find(&l->accounts, credential);
    const struct account *others;
    uint8_t               name[LEDGER_CREDENTIAL_BYTES];

    if (a != NULL || credential == NULL || ledger_is_others(credential))
        return ledger_account_kept(l, credential, own);
    drop_some(l, own);
    others_of(credential, name);
    if (is_full(l))
        return ledger_account_kept(l, name, own);
    others = accounts_find(&l->accounts, name);
    a = ledger_account_kept(l, credential, own);
    if (others != NULL)
        begin_as_others(l, a, others, own);
    return a;
}

bool ledger_tidy(struct ledger *l, struct budget_now own)
{
    for (unsigned looks = 0; looks < LOOKS_A_TIDYING; looks++) {
        struct account *a = next_of_round(l);

        if (a == NULL)
            return true;
        drop_if_it_can_go(l, a, own);
    }
    return false;
}

void ledger_sweep(struct ledger *l, const struct account *in_use, struct budget_now own)
{
    struct account *a;

    if (++l->spendings < SPENDINGS_A_SWEEP)
        return;
    l->spendings = 0;
    a = next_of_round(l);
    if (a == NULL || a == in_use || (l->accounts.count <= ACCOUNTS_KEPT && own.mono_ns - a->used_ns < ACCOUNT_IDLE_NS))
        return;
    drop_if_it_can_go(l, a, own);
}

bool ledger_scope_matches(const struct ledger *l, const struct limit_scope *scope, const struct charge *c)
{
    const struct limit_options *o = scope->options;

    if (o->methods != 0 && (o->methods & (1u << c->method)) == 0)
        return false;
    if (o->match == NULL || o->pattern == NULL || l->matches == NULL)
        return true; /* a pattern that cannot be tested holds for all: the safe side */
    return l->matches(o->pattern, c->path);
}
