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

/* Of a line that is a JSON object; what holds no escape borrows of it.  False: it is none, or lacks one of these. */
bool line_scan(struct slice line, struct line_scan *, struct arena *);

#endif
