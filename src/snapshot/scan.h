/*
 * What a snapshot is looked up by, out of a line that is not parsed: ten thousand lines are opened so in a moment, and
 * the rest of a line is read when it is asked for.  Pure.
 */
#ifndef WEIR_SNAPSHOT_SCAN_H
#define WEIR_SNAPSHOT_SCAN_H

#include "base/arena.h"

struct line_scan {
    struct slice method, url;
    struct slice body;      /* the request's, in bodies/; ptr NULL: none */
    struct slice seq, time; /* as they are written */
};

/* The next member of the object in `s`, past *at (0 at first): its name with escapes, its value as it is written.
 * False: there is none. */
bool scan_member(struct slice s, size_t *at, struct slice *key, struct slice *value);
/* The next element of an array. */
bool scan_element(struct slice s, size_t *at, struct slice *value);
/* The next of several values that stand one after the other. */
bool scan_one(struct slice s, size_t *at, struct slice *value);
/* Of a JSON string with its quotes; ptr NULL: it is none.  What holds no escape borrows of it. */
struct slice scan_text_of(struct slice value, struct arena *);
/* Of a line that is a JSON object; what holds no escape borrows of it.  False: it is none, or lacks one of these. */
bool line_scan(struct slice line, struct line_scan *, struct arena *);

#endif
