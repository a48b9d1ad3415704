/*
 * What a charge costs, and which others it is like: the classes that the queue keeps apart.
 */
#include "budget/ledger_parts.h"

#include <xxhash.h>

/* -- costs -- */

static bool is_for(const struct limit_cost *cost, const struct charge *c)
{
    return cost->method == NULL || strcmp(cost->method, "*") == 0 || slice_eq(slice_of(cost->method), c->method_name);
}

static const struct limit_cost *method_row(const struct limit_options *o, const struct charge *c)
{
    for (unsigned i = 0; i < o->cost_count; i++)
        if (o->costs[i].status_first == 0 && is_for(&o->costs[i], c))
            return &o->costs[i];
    return NULL;
}

static const struct limit_cost *status_row(const struct limit_options *o, const struct charge *c, unsigned status)
{
    for (unsigned i = 0; i < o->cost_count; i++) {
        const struct limit_cost *cost = &o->costs[i];

        if (cost->status_first != 0 && status >= cost->status_first && status <= cost->status_last && is_for(cost, c))
            return cost;
    }
    return NULL;
}

bool ledger_has_status_cost(const struct limit_options *o, const struct charge *c, unsigned status)
{
    return status_row(o, c, status) != NULL;
}

uint64_t ledger_final_cost(const struct limit_options *o, const struct charge *c, unsigned status)
{
    const struct limit_cost *row = status_row(o, c, status);

    if (row == NULL)
        row = method_row(o, c);
    return row != NULL ? row->cost : 1;
}

static const struct estimate *estimate_of(const struct limit_scope *scope, const struct charge *c)
{
    for (unsigned i = 0; i < c->estimate_count; i++)
        if (c->estimates[i].limit == scope->name)
            return &c->estimates[i];
    return NULL;
}

uint32_t ledger_estimate(const struct limit_scope *scope, const struct charge *c)
{
    const struct estimate *e;

    if (scope->factors == NULL || method_row(scope->options, c) != NULL)
        return 0;
    e = estimate_of(scope, c);
    return e != NULL && !e->is_unread && e->amount > 0 ? e->amount : 1;
}

/* An estimate of 1 for want of any: its ratio is the charge itself, and says nothing of those that could be read. */
uint64_t ledger_estimate_rule(const struct limit_scope *scope, const struct charge *c)
{
    const struct estimate *e = estimate_of(scope, c);

    return e != NULL && !e->is_unread ? c->rule : ~c->rule;
}

uint64_t ledger_sending_cost(const struct limit_scope *scope, const struct charge *c)
{
    const uint32_t           estimate = ledger_estimate(scope, c);
    const struct limit_cost *row = estimate > 0 ? NULL : method_row(scope->options, c);
    uint64_t                 cost = row != NULL ? row->cost : 1;

    if (estimate > 0)
        cost = factors_apply(scope->factors, ledger_estimate_rule(scope, c), estimate, limit_most(scope->model),
                             scope->options->full_estimate);
    return cost > scope->status_cost_most ? cost : scope->status_cost_most;
}

/* -- classes -- */

static bool has_told(const struct account *a, unsigned index)
{
    return a != NULL && a->line[index].slot != NULL && a->line[index].slot->scope == SLOT_TOLD;
}

static uint64_t owner_of(const struct account *a, const uint8_t *credential)
{
    return credential == NULL ? 1 : XXH3_64bits(a != NULL ? a->credential : credential, LEDGER_CREDENTIAL_BYTES) | 1;
}

struct queue_class ledger_owned_class(const struct ledger *l, const uint8_t *credential)
{
    return (struct queue_class){ .owner = owner_of(ledger_account_find(l, credential), credential) };
}

struct queue_class ledger_row_class(const uint8_t key[LEDGER_KEY_BYTES])
{
    static const uint8_t none[LEDGER_CREDENTIAL_BYTES];
    const uint8_t       *credential = key + LEDGER_KEY_BYTES - LEDGER_CREDENTIAL_BYTES;
    bool                 has_none = memcmp(credential, none, sizeof none) == 0;

    return (struct queue_class){ .owner = owner_of(NULL, has_none ? NULL : credential) };
}

/* Costs in any unit are all different; those of about the same size stand in one band, in the order in which they came,
 * each asked about by its own cost. */
static uint64_t alike(const struct limit_scope *scope, uint64_t cost)
{
    uint64_t size = 1;

    if (scope->factors == NULL)
        return cost;
    while (size < cost)
        size *= 2;
    return size;
}

struct queue_class ledger_class(struct ledger *l, const struct charge *c)
{
    const struct account *a = ledger_account_find(l, c->credential);
    struct queue_class class = { 0 };
    unsigned named[SEEN_NAMES], n;

    for (unsigned i = 0; i < l->count; i++) {
        const struct limit_scope *scope = &l->scopes[i];
        uint64_t                  cost;

        if (!ledger_scope_matches(l, scope, c))
            continue;
        cost = alike(scope, ledger_sending_cost(scope, c));
        if (cost > class.cost)
            class.cost = cost < UINT32_MAX ? (uint32_t)cost : UINT32_MAX;
        class.costs = XXH3_64bits_withSeed(&cost, sizeof cost, class.costs + i);
        if (scope->slot != NULL) {
            class.shared |= 1u << i;
            class.group = XXH3_64bits_withSeed(&cost, sizeof cost, class.group + i);
        }
        if (scope->slot == NULL || has_told(a, i))
            class.owned |= 1u << i;
    }
    /* Others that may take the last of a budget do not wait for those that leave it. */
    if (c->keep_permille != 0) {
        class.costs = XXH3_64bits_withSeed(&c->keep_permille, sizeof c->keep_permille, class.costs);
        class.group = XXH3_64bits_withSeed(&c->keep_permille, sizeof c->keep_permille, class.group);
        class.part = c->keep_permille;
    }
    n = a != NULL && a->named_count > 0 ? ledger_named_of(a, c->path, named) : 0;
    for (unsigned i = 0; i < n; i++)
        class.costs ^= a->named[named[i]]->identity;
    if (class.owned != 0 || n > 0)
        class.owner = owner_of(a, c->credential);
    return class;
}
