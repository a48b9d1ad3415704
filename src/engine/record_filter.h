/*
 * Which requests somebody wants to see: "upstream=inat status>=500 cache=miss wait>1s client=ci url~taxa".
 *
 * Terms stand apart by spaces, and a record has to fit all of them.  A term is a name, an operator and a value: for
 * texts = != ~ !~, where = takes a "*" for any characters and ~ finds a part, whatever its case; for numbers, durations
 * ("1s", "250ms") and sizes ("2MiB") = != > >= < <=.  = takes several values, apart by commas, of which one has to fit.
 * A value with spaces stands in quotes.  Pure.
 */
#ifndef WEIR_ENGINE_RECORD_FILTER_H
#define WEIR_ENGINE_RECORD_FILTER_H

#include "base/arena.h"
#include "base/fault.h"
#include "engine/record.h"

struct record_filter;

/* In the arena, borrows of it alone.  NULL: *why says where, and what would be right. */
const struct record_filter *record_filter_parse(struct slice text, struct arena *, struct fault *why);
/* A filter of no terms fits everything. */
bool record_filter_fits(const struct record_filter *, const struct request_record *);

#endif
