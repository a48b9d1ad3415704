/*
 * What limits in any unit have come to, a line for each: attempt by attempt, added up for the one who pays.
 */
#include "budget/ledger.h"

void ledger_bill_note(struct ledger_bill *b, uint64_t limit, uint64_t units, bool is_unsettled)
{
    unsigned i = 0;

    while (i < b->count && b->line[i].limit != limit)
        i++;
    if (i == BILL_LINES)
        return;
    if (i == b->count)
        b->line[b->count++] = (struct bill_line){ .limit = limit };
    b->line[i].units += units;
    b->line[i].is_unsettled = b->line[i].is_unsettled || is_unsettled;
}

void ledger_bill_add(struct ledger_bill *b, const struct ledger_bill *more)
{
    for (unsigned i = 0; i < more->count; i++)
        ledger_bill_note(b, more->line[i].limit, more->line[i].units, more->line[i].is_unsettled);
    b->settled += more->settled;
    b->unsettled += more->unsettled;
}
