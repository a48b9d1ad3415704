/*
 * What those that go before one spend of a limit: a wait is told by it.
 */
#include "budget/ledger_parts.h"

/* What a line costs of a class's part of its bucket; no more than all of it. */
uint64_t ledger_share_cost(const struct limit *share, uint64_t cost)
{
    return cost < limit_most(share) ? cost : limit_most(share);
}

static uint64_t entries_on(const struct plan_line *line, const struct queue_ahead *ahead)
{
    switch (line->slot->scope) {
    case SLOT_SHARED:
        return ahead->alike + ahead->shared[line->index];
    case SLOT_OWNED:
    case SLOT_TOLD:
        return ahead->alike + ahead->owned[line->index];
    case SLOT_NAMED:
        break;
    }
    return ahead->alike + ahead->owner;
}

static uint64_t in_units(const struct plan_line *line, uint64_t entries)
{
    uint64_t units;

    return __builtin_mul_overflow(entries, line->cost, &units) ? UINT64_MAX : units;
}

/* Whose turn it is, but whose part is used up, goes after one that has no part and finds room before that changes. */
uint64_t ledger_units_ahead(const struct plan_line *line, const struct queue_ahead *ahead, struct budget_now own)
{
    const uint64_t entries = entries_on(line, ahead), units = in_units(line, entries);
    uint64_t       held = line->slot->scope != SLOT_NAMED ? ahead->held[line->index] : 0, rest;
    struct limit  *share;
    int64_t        held_ns;

    if (held == 0 || held > entries || ahead->held_part == 0 || line->cost == 0 || units > UINT64_MAX / 2)
        return units;
    share = ledger_share(line->slot, ahead->held_part);
    held_ns = share != NULL ? limit_wait_ns(share, ledger_share_cost(share, line->cost), own) : 0;
    rest = in_units(line, entries - held);
    return limit_predict_ns(line->slot->limit, rest + line->cost - 1, own) < held_ns ? rest : units;
}

uint64_t ledger_part_ahead(const struct plan_line *line, const struct queue_ahead *ahead, uint64_t units)
{
    const uint64_t part = in_units(line,
                                   ahead->alike + (line->slot->scope != SLOT_NAMED ? ahead->part[line->index] : 0));

    return part > units ? units : part;
}
