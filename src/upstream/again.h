/*
 * What is noted of an attempt, and whether there is to be another.  For attempt.c.  Upstream thread.
 */
#ifndef WEIR_UPSTREAM_AGAIN_H
#define WEIR_UPSTREAM_AGAIN_H

#include "budget/retry.h"

struct flight;
struct turn;

void again_record(struct flight *, const struct turn *, enum attempt_outcome, unsigned status);
/* `told_ns`: as the API says, from now; -1: it does not. */
struct retry_answer again_ask(struct flight *, enum attempt_outcome, unsigned status, int64_t told_ns);

#endif
