/*
 * The rules of one upstream, laid out so that the first that matches is found
 * without looking at each (contract section 3).
 *
 * Paths go into one tree, and so do the parameters of queries; a rule with
 * both stands where fewer others stand beside it.  What a walk cannot decide
 * (an expression, a query) is asked in the order of the rules, and only where it may come before what has matched.
 *
 * Bounds: at most three trees (tree.h has theirs).  A find takes at most what it would take to try one rule after
 * the other, but for a constant; mostly as much as a walk over the target.  Rules of which
 * nothing is known, such as an expression without a plain byte in it, are tried one after the other.
 * Immutable; any thread.
 */
#ifndef WEIR_ROUTE_RULES_H
#define WEIR_ROUTE_RULES_H

#include "base/arena.h"
#include "route/route.h"

enum { RULES_PLAIN_MOST = 8 }; /* so few are tried one after the other */

/* Borrows the rules.  NULL where there are few of them. */
struct rule_index *rule_index_build(const struct route_rule *rules, unsigned count);
void               rule_index_free(struct rule_index *); /* NULL is fine */
/* Scratch memory comes from the arena. */
const struct route_rule *rule_index_find(const struct rule_index *, const struct http_request *, struct slice target,
                                         struct arena *);

/* What route_rule_find() does where there is no index, and the definition of what it does with one. */
const struct route_rule *rules_find_plainly(const struct route_rule *rules, unsigned count, const struct http_request *,
                                            struct slice target);

/*
 * by[i]: the first rule before i that certainly matches all that i does, for every method of it; else `count`.
 * Rules whose pattern is NULL are passed over.  The work is bounded: of rules that look as if they
 * hid one another so many are compared, and what goes beyond that is not seen.
 */
void rules_hidden(const struct route_rule *rules, unsigned count, unsigned *by);

/* ---- for hidden.c ---- */

/* With all but those that are left out, however few. */
struct rule_index *rule_index_of(const struct route_rule *rules, unsigned count, const bool *leave_out);
/* Rules below `below` whose pattern may match that path with these parameters, whatever the method: in order, in the
 * arena; how many.  *work is counted down by the steps that it takes. */
struct rule_wish {
    struct slice        path;
    const struct slice *parameters;
    unsigned            parameter_count;
};
unsigned rule_index_likely(const struct rule_index *, const struct rule_wish *, unsigned below, struct arena *,
                           const unsigned **out, int64_t *work);
/* Numbers of rules that have a pattern, by its text and then by number; free() them.  How many. */
unsigned rules_by_text(const struct route_rule *rules, unsigned count, unsigned **out);

#endif
