/*
 * Does an event stream end with the event that says that it is whole ("data: [DONE]")?  The mark is one line of that
 * event; comments and empty lines may follow it.  Keeps nothing but the line that is being read.  Pure.
 */
#ifndef WEIR_HTTP_EVENT_MARK_H
#define WEIR_HTTP_EVENT_MARK_H

#include "base/slice.h"

#include <stdbool.h>

enum { EVENT_MARK_BYTES = 255 };

struct event_mark {    /* all zero but for the mark: at the start */
    struct slice mark; /* borrowed */
    char         line[EVENT_MARK_BYTES + 2];
    size_t       line_bytes;                    /* may be more than are kept */
    bool         after_cr, in_event, is_marked; /* the newest event has begun, and is it the one? */
};

/* "data: [DONE]", "event: message_stop": a field and its value. */
bool event_mark_is_valid(struct slice mark);
void event_mark_feed(struct event_mark *, const char *bytes, size_t count);
/* No more will come.  What ends with its last line, without an empty one, has said it all the same. */
bool event_mark_end(struct event_mark *);

#endif
