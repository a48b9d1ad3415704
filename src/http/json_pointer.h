/* JSON pointers (RFC 6901), a name at a time.  Pure. */
#ifndef WEIR_HTTP_JSON_POINTER_H
#define WEIR_HTTP_JSON_POINTER_H

#include "base/slice.h"

#include <stdbool.h>

enum { JSON_POINTER_BYTES = 255 };

/* "/usage/total_tokens": it begins with a slash, is not the whole document, and has each ~ before 0 or 1. */
bool json_pointer_is_valid(struct slice);
/* The next name, still with ~0 and ~1; false after the last. */
bool json_pointer_next(struct slice *rest, struct slice *name);
/* Into `out`, of JSON_POINTER_BYTES + 1, as it is meant; its end is marked by NUL. */
void json_pointer_plain(struct slice name, char *out);
/* As an array's index: digits without a leading zero; false: it is none. */
bool json_pointer_index(struct slice name, unsigned long *out);

#endif
