/*
 * Limits in any unit: what was reserved by an estimate is exchanged for what the answer says when its body has
 * ended.  Until then the reservation moves along with time, so that a window does not forget what is still under
 * way; and a charge counts from the end of its body on, since nobody knows when the API booked it: not later.
 */
#include "budget/ledger_parts.h"

#include "base/arena.h"
#include "budget/limit_kind.h"

/* A reservation moves when so much of its window has gone by. */
enum { HOLD_PARTS = 4 };

void ledger_meter_adopt(struct limit_scope *scope, const struct limit_scope *old)
{
    scope->metered = old->metered;
    if (scope->factors == NULL || old->factors == NULL)
        return;
    factors_free(scope->factors);
    scope->factors = factors_copy(old->factors);
}

/* -- holding -- */

/* A bucket drains what is under way as it drains all. */
static bool is_held(const struct ledger *l, const struct receipt *r, unsigned i)
{
    int index = -1;

    for (unsigned k = 0; k < l->count && index < 0; k++)
        if (l->scopes[k].identity == r->line[i].limit)
            index = (int)k;
    return index >= 0 && r->line[i].estimate > 0 && l->scopes[index].options->kind != LIMIT_BUCKET;
}

int64_t ledger_hold_due_ns(const struct ledger *l, const struct receipt *r, struct budget_now now)
{
    int64_t due_ns = INT64_MAX;

    for (unsigned i = 0; i < r->count; i++) {
        if (!is_held(l, r, i))
            continue;
        for (unsigned k = 0; k < l->count; k++) {
            int64_t in_ns = r->held.mono_ns + l->scopes[k].options->window_ns / HOLD_PARTS - now.mono_ns;

            if (l->scopes[k].identity == r->line[i].limit && in_ns < due_ns)
                due_ns = in_ns > 0 ? in_ns : 0;
        }
    }
    return due_ns;
}

/* In all the buckets that a line spends from. */
static void spend_again(struct ledger *l, struct account *a, unsigned index, uint64_t cost, const struct receipt *r,
                        struct budget_now own)
{
    struct slot *slots[] = { l->scopes[index].slot, a->line[index].slot };

    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        struct limit *share;

        if (slots[i] == NULL || cost == 0)
            continue;
        share = ledger_share(slots[i], r->keep_permille);
        limit_spend(slots[i]->limit, cost, own);
        if (share != NULL)
            limit_spend(share, cost < limit_most(share) ? cost : limit_most(share), own);
        lease_spent(l, slots[i], cost, own);
        if (lease_allowance(l, slots[i]) == 0) /* a crash must not forget it: its row is due at once */
            lease_make_dirty(l, slots[i]);
    }
}

void ledger_hold(struct ledger *l, struct receipt *r, struct budget_now now)
{
    struct budget_now own = steady_now(&l->clock, now);
    struct account   *a = accounts_find(&l->accounts, r->has_credential ? r->credential : NULL);

    for (unsigned i = 0; i < r->count && a != NULL; i++) {
        int index = ledger_index_of(l, a, r->line[i].limit);

        if (index < 0 || !is_held(l, r, i))
            continue;
        ledger_give_back(l, a, (unsigned)index, r->line[i].cost, r, r->held, own);
        spend_again(l, a, (unsigned)index, r->line[i].cost, r, own);
    }
    r->held = own;
}

/* -- settling -- */

static const struct estimate *find_charge(const struct estimate *charges, unsigned count, uint64_t name)
{
    for (unsigned i = 0; i < count; i++)
        if (charges[i].limit == name)
            return &charges[i];
    return NULL;
}

struct ledger_bill ledger_meter(struct ledger *l, const struct charge *c, struct receipt *r,
                                const struct estimate *charges, unsigned charge_count, struct budget_now now)
{
    struct budget_now  own = steady_now(&l->clock, now);
    struct account    *a = accounts_find(&l->accounts, r->has_credential ? r->credential : NULL);
    struct ledger_bill bill = { .count = 0 };

    for (unsigned i = 0; i < r->count && a != NULL; i++) {
        int                    index = ledger_index_of(l, a, r->line[i].limit);
        const struct estimate *charge;
        struct limit_scope    *scope;
        uint64_t               cost = r->line[i].cost;

        if (index < 0 || index >= LEDGER_MAX_LIMITS)
            continue;
        scope = &l->scopes[index];
        charge = find_charge(charges, charge_count, scope->name);
        ledger_give_back(l, a, (unsigned)index, cost, r, r->held, own);
        ledger_note_open(l, a, (unsigned)index, -(int64_t)cost);
        if (charge != NULL || scope->options->charge_count == 0) {
            cost = charge != NULL ? charge->amount : cost;
            if (charge != NULL)
                factors_note(scope->factors, ledger_estimate_rule(scope, c), r->line[i].estimate, charge->amount);
            scope->metered.settled += cost;
            scope->metered.settled_count++;
            bill.settled++;
        } else {
            ledger_note_unsettled(l, (unsigned)index, cost);
            bill.unsettled++;
        }
        ledger_bill_note(&bill, scope->name, cost, charge == NULL && scope->options->charge_count > 0);
        spend_again(l, a, (unsigned)index, cost, r, own);
    }
    if (a != NULL && r->count > 0 && a->open > 0)
        a->open--;
    r->count = 0;
    return bill;
}

/* -- telling -- */

bool ledger_metered(const struct ledger *l, const char *name, struct ledger_metered *out)
{
    const uint64_t wanted = ledger_limit_name(name);

    for (unsigned i = 0; i < l->count; i++) {
        if (l->scopes[i].factors == NULL || l->scopes[i].name != wanted)
            continue;
        *out = l->scopes[i].metered;
        out->reserved = l->scopes[i].open;
        return true;
    }
    return false;
}

void ledger_reserved(const struct ledger *l, const struct receipt                                    *r,
                     void (*each)(void *context, const struct limit_options *, uint64_t units), void *context)
{
    for (unsigned i = 0; i < r->count; i++)
        for (unsigned k = 0; k < l->count; k++)
            if (l->scopes[k].identity == r->line[i].limit && r->line[i].estimate > 0)
                each(context, l->scopes[k].options, r->line[i].cost);
}
