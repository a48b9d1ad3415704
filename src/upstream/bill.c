/*
 * The bill of a flight, which its turns share while they last.
 */
#include "upstream/bill.h"

#include "upstream/internal.h"

/* To the flight: what its attempts cost in all. */
void bill_add(struct turn *t, const struct ledger_bill *more)
{
    struct flight *f = t->flight;

    if (more->count == 0 || f == NULL)
        return;
    if (f->past.bill == NULL)
        f->past.bill = mem_alloc(sizeof *f->past.bill);
    ledger_bill_add(f->past.bill, more);
}

static void take_reserved(void *bill, const struct limit_options *limit, uint64_t units)
{
    ledger_bill_note(bill, ledger_limit_name(limit->name), units, true);
}

void bill_part(struct turn *t)
{
    struct ledger_bill reserved = { .count = 0 };

    if (t->receipt.count == 0)
        return;
    ledger_reserved(t->site->budget->ledger, &t->receipt, take_reserved, &reserved);
    bill_add(t, &reserved);
}

struct ledger_bill *bill_copy(const struct flight *f)
{
    struct ledger_bill *copy;

    if (f->past.bill == NULL || (f->turn != NULL && f->turn->receipt.count > 0))
        return NULL;
    copy = mem_alloc_raw(sizeof *copy);
    *copy = *f->past.bill;
    return copy;
}

/* A body whose length is known is there already: its head waits for what it says it cost, to say that itself. */
bool bill_is_awaited(const struct turn *t)
{
    return t->receipt.count > 0 && t->answer->body != NULL && t->answer->content_length >= 0 &&
           t->answer->content_length <= HELD_BYTES && !t->fetch->stored.completing;
}
