/*
 * Writing small JSON into a fixed buffer (log lines, problem bodies): escapes
 * as RFC 8259 7 asks; bytes that are no UTF-8 become U+FFFD.  Pure.
 * Reading JSON is Jansson's work.
 */
#ifndef WEIR_HTTP_JSON_H
#define WEIR_HTTP_JSON_H

#include "base/slice.h"

struct json_out {
    char  *buffer;
    size_t capacity;
    size_t used;
    bool   overflow; /* something did not fit: the text is not to be used */
};

void json_raw(struct json_out *o, struct slice text);
/* "\"...\"".  Not json_string(): that name is Jansson's, and one program has both. */
void json_text(struct json_out *o, struct slice text);
/* ,"name":  (no comma after '{' or '[' or at the start) */
void json_key(struct json_out *o, const char *name);
void json_int(struct json_out *o, int64_t n);

#endif
