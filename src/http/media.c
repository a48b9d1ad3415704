/*
 * Types are compared without their parameters and without regard to case.
 */
#include "http/media.h"

/* The type and subtype, without parameters. */
static struct slice essence(struct slice content_type)
{
    return slice_trim(slice_sub(content_type, 0, slice_find(content_type, ';', 0)));
}

static bool is_one_of(struct slice type, const char *const *names)
{
    for (; *names != NULL; names++)
        if (slice_eq_nocase(type, slice_of(*names)))
            return true;
    return false;
}

static bool ends_in_json(struct slice type)
{
    static const char suffix[] = "+json";
    const size_t      length = sizeof suffix - 1;

    return type.len > length && slice_eq_nocase(slice_sub(type, type.len - length, type.len), slice_of(suffix));
}

/* The value of the parameter `charset`, without quotation marks; ptr NULL where there is none. */
static struct slice charset(struct slice content_type)
{
    size_t at = slice_find(content_type, ';', 0);

    while (at < content_type.len) {
        size_t       end = slice_find(content_type, ';', at + 1);
        struct slice parameter = slice_trim(slice_sub(content_type, at + 1, end));
        size_t       equals = slice_find(parameter, '=', 0);
        struct slice value = slice_sub(parameter, equals + 1, parameter.len);

        if (equals < parameter.len && slice_eq_nocase(slice_sub(parameter, 0, equals), SLICE("charset"))) {
            if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
                value = slice_sub(value, 1, value.len - 1);
            return value;
        }
        at = end;
    }
    return SLICE_NONE;
}

bool http_media_is_json(struct slice content_type)
{
    static const char *const names[] = { "application/json", "text/json", "application/x-json", "text/x-json", NULL };
    /* Lines of JSON under an older name. */
    static const char *const lines[] = { "application/stream+json", "application/x-json-stream", NULL };
    static const char *const charsets[] = { "utf-8", "utf8", "us-ascii", NULL };
    struct slice             type = essence(content_type), set = charset(content_type);

    return (is_one_of(type, names) || ends_in_json(type)) && !is_one_of(type, lines) &&
           (set.len == 0 || is_one_of(set, charsets));
}

bool http_media_has_json(struct slice content_type)
{
    static const char *const names[] = { "application/json",       "text/json",
                                         "application/x-json",     "text/x-json",
                                         "application/x-ndjson",   "application/ndjson",
                                         "application/jsonl",      "application/x-jsonlines",
                                         "application/json-lines", NULL };
    struct slice             type = essence(content_type);

    return is_one_of(type, names) || ends_in_json(type);
}

bool http_media_is_event_stream(struct slice content_type)
{
    static const char *const names[] = { "text/event-stream", "application/x-dom-event-stream",
                                         "application/vnd.amazon.eventstream", "multipart/x-mixed-replace", NULL };

    return is_one_of(essence(content_type), names);
}

bool http_media_is_same_type(struct slice content_type, struct slice other)
{
    return slice_eq_nocase(essence(content_type), essence(other));
}
