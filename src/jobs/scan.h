/*
 * Where the values of a JSON document begin and end, in a body of any size: nothing of it is held but a window.
 *
 * The document is known to be well-formed (http/json_check.h), so a value's extent is all there is to find; what is in
 * one is read by Jansson, item by item.
 */
#ifndef WEIR_JOBS_SCAN_H
#define WEIR_JOBS_SCAN_H

#include "base/arena.h"
#include "store/spool.h"

enum { SCAN_WINDOW_BYTES = 16 * 1024 };

struct span { /* of a value, without white space around it */
    int64_t from, to;
};

struct json_scan { /* scan_begin() */
    struct spool *body;
    int64_t       at;
    int64_t       window_at;
    size_t        window_bytes;
    char          window[SCAN_WINDOW_BYTES];
};

void scan_begin(struct json_scan *, struct spool *body, int64_t at);
/* The next byte that is no white space, not taken; '\0' at the end. */
char scan_peek(struct json_scan *);
/* To the next line end, which is not taken.  False: there is none, and it stands at the end. */
bool scan_to_line_end(struct json_scan *);
/* The value that begins here, and past it. */
struct span scan_value(struct json_scan *);
/* Into an array or object: its bracket is taken. */
void scan_enter(struct json_scan *);
/* The next member of the array or object that was entered.  False: it has ended, and its bracket is taken.  `key` is
 * NULL for an array; else it gets the name, with its quotes. */
bool scan_next(struct json_scan *, struct span *key, struct span *value);
/* Its text, in the arena; ptr NULL: it cannot be read again (the disk). */
struct slice scan_text(const struct json_scan *, struct span, struct arena *);

#endif
