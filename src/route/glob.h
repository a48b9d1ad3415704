/*
 * One glob as a small program: the part of a pattern that stands for a path
 * or for one parameter of a query.  For pattern.c only; the syntax is told
 * in pattern.h.
 *
 * All threads of the program advance together over the subject, one byte at
 * a time, so that no pattern can make a match take more than subject times
 * program steps.  Immutable after compiling; any thread; no allocation while
 * matching.
 */
#ifndef WEIR_ROUTE_GLOB_H
#define WEIR_ROUTE_GLOB_H

#include "base/fault.h"
#include "base/slice.h"

struct glob;

enum { GLOB_MAX_OPS = 1024 }; /* a longer program is refused */

/* `segments`: "*" and "?" stop at "/". `offset`: where `text` stands in the pattern, for messages.
 */
struct glob *glob_compile(struct slice text, bool segments, size_t offset, struct fault *why);
void         glob_free(struct glob *); /* NULL is fine */
bool         glob_matches(const struct glob *, struct slice subject);
/* One of the texts that it matches, with bytes that hardly another glob names where any would do; at most
 * GLOB_WITNESS_BYTES.  Returns its length. */
enum { GLOB_WITNESS_BYTES = 3 * GLOB_MAX_OPS };
size_t glob_witness(const struct glob *, char *out);
/* True where `earlier` certainly matches all that `later` does; false where that is not seen. */
bool glob_hides(const struct glob *earlier, const struct glob *later);
/* The same; *work is counted down by the steps that it takes, and it gives up where none is left. */
bool glob_hides_within(const struct glob *earlier, const struct glob *later, int64_t *work);

#endif
