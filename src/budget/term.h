/*
 * What a limit in any unit counts: terms of a request (its estimate) or of an answer (its charge), each
 * "[factor] body | json:POINTER | header:NAME | number" (contract, budget.md section 3).  Pure.
 */
#ifndef WEIR_BUDGET_TERM_H
#define WEIR_BUDGET_TERM_H

#include "budget/options.h"
#include "http/fields.h"

enum { TERM_AMOUNT_MOST = 4000000000u };

/* "0.25 body" into *out, whose name is malloc'd; false and a message in *bad (static text) where it is no term. */
bool term_parse(struct slice text, struct limit_term *out, const char **bad);

/* What a request or an answer says. */
struct term_facts {
    int64_t                   body_bytes; /* -1: not known */
    const struct http_fields *fields;
    /* The number at an RFC 6901 pointer; false: there is none. */
    bool (*json)(void *context, const char *pointer, double *out);
    void *context;
};

/*
 * The sum of the terms, in units of the limit (a scale of 6: millionths), rounded up, from 0 to TERM_AMOUNT_MOST.  A
 * term that is not there adds nothing.  False: nothing that would add to it is there, so the sum is no answer: not
 * found is not zero.
 */
bool terms_amount(const struct limit_term *terms, unsigned count, unsigned scale, const struct term_facts *facts,
                  uint32_t *out);

#endif
