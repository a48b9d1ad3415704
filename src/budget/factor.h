/*
 * How far a limit's estimates are off, for each rule: the 90th percentile of charge by estimate over the last
 * FACTOR_KEPT answers multiplies the next estimate.  Pure.
 */
#ifndef WEIR_BUDGET_FACTOR_H
#define WEIR_BUDGET_FACTOR_H

#include <stdbool.h>
#include <stdint.h>

/* Before so many are known, an estimate is made larger but never smaller. */
enum { FACTOR_KEPT = 100, FACTOR_TRUSTED = 10, FACTOR_RULES = 64 };

struct factors; /* of one limit */

struct factors *factors_new(void);
struct factors *factors_copy(const struct factors *); /* NULL: NULL */
void            factors_free(struct factors *);       /* NULL is fine */

void factors_note(struct factors *, uint64_t rule, uint32_t estimate, uint32_t charge);
/* 1.0 where nothing is known of the rule. */
double factors_of(const struct factors *, uint64_t rule);
/* The estimate as it is reserved: no more than `most` where it was no more by itself; at least 1. `never_less`: and
 * the estimate. */
uint64_t factors_apply(const struct factors *, uint64_t rule, uint32_t estimate, uint64_t most, bool never_less);

#endif
