/*
 * HAR 1.2, read: as this program writes it, and as browsers do.
 *
 * A browser keeps a body without its coding, has fields that HTTP/1.1 does not (":authority"), puts several values of
 * one name into one text with line ends between them, and leaves bodies out that it does not have any more.
 */
#include "snapshot/archive.h"

#include "http/date.h"
#include "snapshot/internal.h"

#include <sodium.h>

#include <stdlib.h>

static struct slice text_of(const json_t *j)
{
    return json_is_string(j) ? (struct slice){ json_string_value(j), json_string_length(j) } : SLICE_NONE;
}

static void add_lines(struct http_fields *f, struct arena *a, struct slice name, struct slice value)
{
    for (size_t at = 0; at <= value.len;) {
        size_t       end = slice_find(value, '\n', at);
        struct slice line = slice_trim(slice_sub(value, at, end));

        if (http_is_field_value(line))
            http_fields_add(f, a, name, line);
        at = end + 1;
    }
}

static void read_fields(const json_t *list, struct http_fields *f, struct arena *a)
{
    size_t  i;
    json_t *pair;

    json_array_foreach(list, i, pair)
    {
        struct slice name = text_of(json_object_get(pair, "name")), value = text_of(json_object_get(pair, "value"));

        if (name.ptr != NULL && value.ptr != NULL && http_is_token(name))
            add_lines(f, a, name, value);
    }
}

static bool read_base64(struct slice coded, struct slice *out, struct arena *a)
{
    char  *text = arena_alloc_raw(a, coded.len + 1);
    size_t bytes;

    if (sodium_base642bin((unsigned char *)text, coded.len + 1, coded.ptr, coded.len, "\r\n ", &bytes, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    *out = (struct slice){ text, bytes };
    return true;
}

/* It is the body without its coding: the fields say so, too. */
static void fit_fields(struct http_fields *f, size_t bytes, struct arena *a)
{
    int at = http_fields_find(f, HTTP_CONTENT_LENGTH, 0);

    http_fields_remove(f, HTTP_CONTENT_ENCODING);
    if (at >= 0)
        f->items[http_fields_find(f, HTTP_CONTENT_LENGTH, 0)].value = arena_printf(a, "%zu", bytes);
}

/* False: it had one, and it is not there. */
static bool read_content(const json_t *content, struct archive_item *i, struct arena *a)
{
    struct slice raw = text_of(json_object_get(content, "_body")), text = text_of(json_object_get(content, "text")),
                 coding = text_of(json_object_get(content, "encoding"));

    if (raw.ptr != NULL)
        return read_base64(raw, &i->came, a);
    if (text.ptr == NULL)
        return json_integer_value(json_object_get(content, "size")) <= 0;
    if (slice_eq_nocase(coding, SLICE("base64")) ? !read_base64(text, &i->came, a) : coding.len > 0)
        return false;
    if (coding.ptr == NULL)
        i->came = text;
    fit_fields(&i->x.response, i->came.len, a);
    return true;
}

/* "2030-01-31T12:00:00.000Z", or with "+01:00" for the Z. */
static bool read_time(const char *text, int64_t *ms)
{
    int     year, month, day, hour, minute, second, used = 0, off_hours = 0, off_minutes = 0;
    double  part = 0;
    char    sign = 'Z';
    int64_t s;

    if (text == NULL ||
        sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &used) < 6 ||
        !http_date_seconds(year, month, day, hour, minute, second, &s))
        return false;
    if (text[used] == '.') {
        char *end;

        part = strtod(text + used, &end);
        used = (int)(end - text);
    }
    if (sscanf(text + used, "%c%2d:%2d", &sign, &off_hours, &off_minutes) >= 2 && (sign == '+' || sign == '-'))
        s -= (sign == '+' ? 1 : -1) * (off_hours * 3600 + off_minutes * 60);
    *ms = s * 1000 + (int64_t)(part * 1000 + 0.5);
    return true;
}

static bool read_entry(const json_t *entry, struct archive_item *i, struct arena *a)
{
    const json_t *request = json_object_get(entry, "request"), *response = json_object_get(entry, "response"),
                 *post = json_object_get(request, "postData");
    double took = json_number_value(json_object_get(entry, "time"));

    *i = (struct archive_item){ .came = SLICE(""), .sent = SLICE("") };
    i->x.method = text_of(json_object_get(request, "method"));
    i->x.url = text_of(json_object_get(request, "url"));
    i->x.url.len = i->x.url.ptr != NULL ? slice_find(i->x.url, '#', 0) : 0;
    i->x.took_ms = took > 0 && took < 1e12 ? (int64_t)took : 0;
    i->x.status = (unsigned)json_integer_value(json_object_get(response, "status"));
    if (i->x.method.ptr == NULL || !http_is_token(i->x.method) || i->x.url.ptr == NULL ||
        !read_time(json_string_value(json_object_get(entry, "startedDateTime")), &i->x.time_ms))
        return false;
    read_fields(json_object_get(request, "headers"), &i->x.request, a);
    read_fields(json_object_get(response, "headers"), &i->x.response, a);
    if (text_of(json_object_get(post, "text")).ptr != NULL)
        i->sent = text_of(json_object_get(post, "text"));
    if (i->x.status < 200 || !read_content(json_object_get(response, "content"), i, a)) {
        i->x.status = 0; /* nothing that could be given to anybody */
        i->x.end = SNAPSHOT_CUT;
    }
    return true;
}

int archive_read_har(struct slice text, archive_each each, void *context, struct fault *why)
{
    json_error_t  error;
    json_t       *all = json_loadb(text.ptr, text.len, 0, &error), *entry;
    const json_t *entries = json_object_get(json_object_get(all, "log"), "entries");
    size_t        n;
    int           result = 0;

    if (all == NULL)
        return fault_set(why, "it is no JSON: line %d: %s", error.line, error.text);
    if (!json_is_array(entries))
        result = fault_set(why, "it is no HAR: there is no list at log.entries");
    json_array_foreach(entries, n, entry)
    {
        struct arena        a = { 0 };
        struct archive_item i;
        bool                good = read_entry(entry, &i, &a), more = good && each(context, &i);

        arena_free(&a);
        if (!good)
            result = fault_set(why, "entry %zu lacks a method, a URL or a startedDateTime", n + 1);
        if (!more)
            break;
    }
    json_decref(all);
    return result;
}
