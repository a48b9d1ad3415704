/*
 * Patterns of rules (contract section 3).  Compiled once, matched on raw
 * targets (nothing is decoded), in time linear in the target.  Immutable
 * after compiling; any thread.  The syntax is told below, in line comments:
 * a glob may look like the end of the other kind.
 */
#ifndef WEIR_ROUTE_PATTERN_H
#define WEIR_ROUTE_PATTERN_H

#include "base/fault.h"
#include "base/slice.h"

//   *        any characters of one path segment, none included
//   **       any characters, "/" included
//   /a/**    "/a", "/a/" and all below it; in "/a/**/b" the ** stands for any
//            number of segments, none included: "/a/b", "/a/x/y/b"
//   ?        one character of a path segment
//   {a,b}    either; may be nested and hold wildcards
//   \x       the character x itself
//   ~expr    a PCRE2 expression, unanchored, on bytes
//
// The query.  Without a query part, what stands after the target's "?" is
// passed over.  A query part begins
//   - at "\?" outside of braces (a raw path never holds a "?"), or
//   - at a "?" outside of braces that a parameter's name and "=" follow:
//     "/search?q=*" has one, "/v?/taxa" and "/a?" have none.
// It is a list of parameters split at "&": each must be matched by some
// parameter of the target, in whatever order and beside whatever others.
// Within it "*" and "**" match anything, "?" one character.  An empty one
// ("/a\?") matches a target without any parameter.  An expression sees the
// whole target where it holds "\?" or a "?" in brackets, else the path alone.
//
// A glob begins with "/", a wildcard or a brace, since a path begins with
// "/"; or it is one of whole URLs ("https://host/v1/**"), for those who
// match such.

struct pattern;

/* NULL and *why where it is malformed (the message says at which character). */
struct pattern *pattern_compile(struct slice text, struct fault *why);
/* Takes some tens of microseconds for an expression, and makes its matches faster: for one that is matched often. */
void pattern_hasten(struct pattern *);
void pattern_free(struct pattern *); /* NULL is fine */
/* `target`: path and query, raw.  An expression that reaches its match limit does not match. */
bool         pattern_matches(const struct pattern *, struct slice target);
struct slice pattern_text(const struct pattern *);
/* True where every target that `later` matches is matched by `earlier` (may miss some: for a
 * warning). */
bool pattern_hides(const struct pattern *earlier, const struct pattern *later);
/* The same of two globs; *work is counted down by the steps that it takes, and it gives up where none is left. */
bool pattern_hides_within(const struct pattern *earlier, const struct pattern *later, int64_t *work);
/* It hides any other. */
bool pattern_hides_all(const struct pattern *);

/* ---- for rules.c: its parts ---- */

struct glob;
const struct glob *pattern_path(const struct pattern *); /* NULL: it is an expression */
/* The globs of its query part; 0: it has none, or wants a target without parameters. */
unsigned           pattern_parameters(const struct pattern *);
const struct glob *pattern_parameter(const struct pattern *, unsigned);
struct slice       pattern_parameter_text(const struct pattern *, unsigned);
/* An expression that is compared with the query too. */
bool pattern_sees_query(const struct pattern *);
/* Only the query part; `query` after the "?". */
bool pattern_matches_query(const struct pattern *, struct slice query);

#endif
