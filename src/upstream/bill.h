/*
 * What a flight's attempts cost of limits in any unit: each turn adds what it came to, as the ledger says.  Upstream
 * thread.
 */
#ifndef WEIR_UPSTREAM_BILL_H
#define WEIR_UPSTREAM_BILL_H

#include "budget/ledger.h"

struct flight;
struct turn;

void bill_add(struct turn *, const struct ledger_bill *more);
/* The flight goes on without this turn: what is reserved counts, since the flight does not hear of what it comes to. */
void bill_part(struct turn *);
/* malloc'd; NULL: nothing, or an answer under way has still to say. */
struct ledger_bill *bill_copy(const struct flight *);
/* The turn's head waits for what its body says, to say that itself. */
bool bill_is_awaited(const struct turn *);

#endif
