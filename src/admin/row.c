/*
 * See row.h.
 */
#include "admin/row.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

enum { ROW_BYTES = 512 /* beside its texts */ };

void row_put_text(struct json_out *o, const char *name, struct slice text)
{
    json_key(o, name);
    if (text.ptr != NULL)
        json_text(o, text);
    else
        json_raw(o, SLICE("null"));
}

static void put_seconds(struct json_out *o, const char *name, int64_t ns)
{
    char          text[40];
    const int64_t ms = ns / NS_PER_MS;

    snprintf(text, sizeof text, "%s%" PRId64 ".%03d", ms < 0 ? "-" : "", (ms < 0 ? -ms : ms) / 1000,
             (int)((ms < 0 ? -ms : ms) % 1000));
    json_key(o, name);
    json_raw(o, slice_of(text));
}

size_t row_room(const struct entry_facts *e)
{
    return ROW_BYTES + 6 * (e->url.len + e->method.len + e->whose.len + e->upstream.len + e->type.len +
                            (e->rule != NULL ? strlen(e->rule) : 0));
}

void row_put(struct json_out *o, const struct entry_facts *e, int64_t hits)
{
    row_put_text(o, "url", e->url);
    row_put_text(o, "method", e->method);
    json_key(o, "status");
    json_int(o, e->status);
    row_put_text(o, "type", e->type);
    json_key(o, "size");
    json_int(o, e->body_bytes);
    put_seconds(o, "age_s", e->age_ns);
    if (e->state == ENTRY_UNUSED || e->left_ns == INT64_MAX)
        row_put_text(o, "left_s", SLICE_NONE);
    else
        put_seconds(o, "left_s", e->left_ns);
    row_put_text(o, "state", slice_of(entry_state_text(e->state)));
    if (hits < 0) {
        row_put_text(o, "hits", SLICE_NONE);
    } else {
        json_key(o, "hits");
        json_int(o, hits);
    }
    row_put_text(o, "rule", slice_of(e->rule));
    row_put_text(o, "upstream", e->upstream);
    row_put_text(o, "whose", e->whose);
}

struct slice row_without_marks(struct slice value, struct arena *a)
{
    struct slice out = { "", 0 };

    if (memchr(value.ptr, '\0', value.len) == NULL)
        return value;
    while (value.len > 0) {
        size_t begin = slice_find(value, '\0', 0);
        size_t end = begin < value.len ? slice_find(value, '\0', begin + 1) : value.len;

        end = end < value.len ? slice_find(value, '\0', end + 1) : value.len;
        out = arena_printf(a, SLICE_FMT SLICE_FMT "%s", SLICE_ARG(out), SLICE_ARG(slice_sub(value, 0, begin)),
                           begin < value.len ? "***" : "");
        value = slice_sub(value, end + 1, value.len);
    }
    return out;
}
