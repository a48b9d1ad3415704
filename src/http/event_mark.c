/*
 * WHATWG HTML 9.2.6: lines end with LF, CR or both; a line that begins with a colon is a comment; one space after the
 * field's colon is no part of the value.
 */
#include "http/event_mark.h"

#include <string.h>

static void split(struct slice line, struct slice *name, struct slice *value)
{
    size_t colon = slice_find(line, ':', 0);

    *name = slice_sub(line, 0, colon);
    *value = slice_sub(line, colon + 1, line.len);
    if (slice_starts_with(*value, SLICE(" ")))
        *value = slice_sub(*value, 1, value->len);
}

bool event_mark_is_valid(struct slice mark)
{
    struct slice name, value;

    split(mark, &name, &value);
    for (size_t i = 0; i < mark.len; i++)
        if (mark.ptr[i] == '\n' || mark.ptr[i] == '\r')
            return false;
    return mark.len <= EVENT_MARK_BYTES && name.len > 0 && name.len < mark.len && value.len > 0 &&
           slice_find(name, ' ', 0) == name.len;
}

static bool is_mark(const struct event_mark *e)
{
    struct slice line = { e->line, e->line_bytes }, name, value, mark_name, mark_value;

    if (e->line_bytes > sizeof e->line)
        return false;
    split(line, &name, &value);
    split(e->mark, &mark_name, &mark_value);
    return slice_eq(name, mark_name) && slice_eq(value, mark_value);
}

static void end_line(struct event_mark *e)
{
    if (e->line_bytes == 0) {
        e->in_event = false;
    } else if (e->line[0] != ':') {
        e->is_marked = is_mark(e) || (e->in_event && e->is_marked);
        e->in_event = true;
    }
    e->line_bytes = 0;
}

void event_mark_feed(struct event_mark *e, const char *bytes, size_t count)
{
    for (const char *at = bytes, *end = bytes + count; at < end;) {
        const char *to = at;
        size_t      room;

        if (*at == '\n' || *at == '\r') {
            if (!(e->after_cr && *at == '\n'))
                end_line(e);
            e->after_cr = *at++ == '\r';
            continue;
        }
        e->after_cr = false;
        while (to < end && *to != '\n' && *to != '\r')
            to++;
        room = e->line_bytes < sizeof e->line ? sizeof e->line - e->line_bytes : 0;
        if (room > 0)
            memcpy(e->line + e->line_bytes, at, (size_t)(to - at) < room ? (size_t)(to - at) : room);
        e->line_bytes += (size_t)(to - at);
        at = to;
    }
}

bool event_mark_end(struct event_mark *e)
{
    if (e->line_bytes > 0)
        end_line(e);
    return e->is_marked;
}
