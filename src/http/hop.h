/*
 * Which fields are for one connection only (RFC 9110 7.6.1).  Pure.
 */
#ifndef WEIR_HTTP_HOP_H
#define WEIR_HTTP_HOP_H

#include "http/fields.h"

/*
 * Copies the end-to-end fields: leaves out the hop-by-hop ones, those that a
 * Connection field names (RFC 9110 7.6.1), and Weir's own.  Values are
 * borrowed, the array is in the arena.
 */
struct http_fields http_fields_end_to_end(const struct http_fields *f, struct arena *a);
/* Leaves out Connection and the fields that it names, where it names any but hop-by-hop ones and those that speak to
 * Weir; the rest stays as it is.  The new array is in the arena. */
void http_fields_drop_named(struct http_fields *f, struct arena *a);
/* Does a field of this name never reach the API: hop-by-hop ones and Weir's own? */
bool http_name_stays_here(struct slice name);

#endif
