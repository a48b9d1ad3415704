/*
 * Comma-separated lists (RFC 9110 5.6.1) over one value or over all lines of
 * one field: quoted strings are honoured, empty members passed over.  Pure.
 *
 * A quote that is never closed is an ordinary byte: it must not hide the
 * members after it (a no-store, say).
 */
#ifndef WEIR_HTTP_LIST_H
#define WEIR_HTTP_LIST_H

#include "http/fields.h"

struct http_list {                    /* a cursor; fill by one of the two below */
    const struct http_fields *fields; /* NULL: one value only */
    enum http_name            id;
    unsigned                  next_line;
    struct slice              rest;
    bool                      unclosed; /* in `rest` quotes count no more */
};

struct http_list http_list_of_value(struct slice value);
struct http_list http_list_of_field(const struct http_fields *fields, enum http_name id);
/* The next member, trimmed, quotes kept; false at the end. */
bool http_list_next(struct http_list *l, struct slice *member);

/* Splits "name=value" or "name" at the first '=' outside of quotes; white space around '=' is not
 * allowed by the grammar and stays.  *value has ptr NULL where there is no '='. */
void http_split_parameter(struct slice member, struct slice *name, struct slice *value);
/* Without quotes and with \x undone where it is a quoted-string (RFC 9110 5.6.4), else as it is. */
struct slice http_unquote(struct slice value, struct arena *a);

#endif
