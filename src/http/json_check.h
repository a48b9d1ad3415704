/*
 * Does a body that comes in pieces parse as JSON (RFC 8259)?  Keeps nothing but
 * its place in the grammar, so that a body of any size can be checked while it
 * streams.  Pure.
 */
#ifndef WEIR_HTTP_JSON_CHECK_H
#define WEIR_HTTP_JSON_CHECK_H

#include "http/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_CHECK_DEPTH = 1024 }; /* deeper nesting counts as invalid */

struct json_check { /* all zero: at the start */
    unsigned char     state;
    unsigned char     in_key;      /* the string being read is a name */
    unsigned char     digits_left; /* of \uXXXX */
    struct utf8_check text;        /* of a string */
    const char       *literal;     /* what is left of true, false, null or the mark */
    unsigned          depth;
    uint8_t           objects[JSON_CHECK_DEPTH / 8]; /* bit set: an object, else an array */
};

/* False: it cannot become JSON any more; further calls say the same. */
bool json_check_feed(struct json_check *, const char *bytes, size_t count);
/* The body has ended: was it one whole value? */
bool json_check_end(const struct json_check *);

#endif
