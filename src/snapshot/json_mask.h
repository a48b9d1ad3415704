/*
 * Members of JSON bodies, replaced where they stand: every other byte stays what it was.  Pure.
 */
#ifndef WEIR_SNAPSHOT_JSON_MASK_H
#define WEIR_SNAPSHOT_JSON_MASK_H

#include "base/arena.h"

/* Called with each value that is masked, as it is written. */
typedef void (*json_masked)(void *context, struct slice value);

/* The text with "{member}" in the place of what the pointers (RFC 6901, where "*" is any member or element; the list
 * ends with NULL) lead to; the text itself where they lead nowhere.  Several values, line by line, are masked each. */
struct slice json_mask(char *const *pointers, struct slice text, json_masked, void *context, struct arena *);

#endif
