/*
 * HAR 1.2, written.
 *
 * Browsers keep a body without its content coding, and so does this.  Where there is a coding, the bytes as they came
 * stand beside it in "_body": names that begin so are for such things (HAR 1.2, "Custom fields").  "_resourceType" is
 * Chromium's, whose developer tools take what has none for a script.
 */
#include "snapshot/archive_parts.h"

#include "http/json_of.h"
#include "http/message.h"
#include "http/url.h"
#include "http/utf8.h"
#include "snapshot/internal.h"

static json_t *fields_json(const struct http_fields *f)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < f->count; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "name", json_of_text(f->items[i].name), "value",
                                              json_of_text(f->items[i].value)));
    return list;
}

static json_t *query_json(struct slice url, struct arena *a)
{
    size_t       mark = slice_find(url, '?', 0);
    struct slice rest = slice_sub(url, mark + 1, url.len), parameter;
    json_t      *list = json_array();

    while (mark < url.len && http_query_next(&rest, &parameter)) {
        size_t equals = slice_find(parameter, '=', 0);

        json_array_append_new(list,
                              json_pack("{s:o, s:o}", "name", json_of_text(http_parameter_name(parameter, a)), "value",
                                        json_of_text(
                                            http_percent_decode(slice_sub(parameter, equals + 1, parameter.len), a))));
    }
    return list;
}

static struct slice type_of(const struct http_fields *f)
{
    struct slice type = http_fields_get(f, HTTP_CONTENT_TYPE);

    return type.ptr != NULL ? type : SLICE("application/octet-stream");
}

/* In base64 where it is no text that JSON can hold. */
static void put_text(json_t *to, struct slice plain)
{
    json_t *text = json_stringn(plain.ptr, plain.len);

    if (text == NULL) {
        text = json_of_base64(plain);
        json_object_set_new(to, "encoding", json_string("base64"));
    }
    json_object_set_new(to, "text", text);
}

static json_t *content_json(const struct http_fields *f, struct slice body, struct arena *a)
{
    struct slice plain = body;
    bool         coded = http_fields_get(f, HTTP_CONTENT_ENCODING).ptr != NULL && body.len > 0;
    json_t      *content;

    if (coded && !redact_decode(f, body, a, &plain))
        plain = body;
    content = json_pack("{s:I, s:o}", "size", (json_int_t)plain.len, "mimeType", json_of_text(type_of(f)));
    if (plain.len > 0)
        put_text(content, plain);
    if (coded) {
        json_object_set_new(content, "compression", json_integer((json_int_t)plain.len - (json_int_t)body.len));
        json_object_set_new(content, "_body", json_of_base64(body));
    }
    return content;
}

static json_t *request_json(const struct archive_item *i, struct arena *a)
{
    json_t *r = json_pack("{s:o, s:o, s:s, s:[], s:o, s:o, s:i, s:I}", "method", json_of_text(i->x.method), "url",
                          json_of_text(i->x.url), "httpVersion", "HTTP/1.1", "cookies", "headers",
                          fields_json(&i->x.request), "queryString", query_json(i->x.url, a), "headersSize", -1,
                          "bodySize", (json_int_t)i->sent.len);
    json_t *post;

    if (i->sent.len == 0)
        return r;
    post = json_pack("{s:o, s:[]}", "mimeType", json_of_text(type_of(&i->x.request)), "params");
    put_text(post, i->sent);
    /* Of posted data HAR 1.2 has no "encoding". */
    if (json_object_get(post, "encoding") != NULL) {
        json_object_del(post, "encoding");
        json_object_set_new(post, "_encoding", json_string("base64"));
    }
    json_object_set_new(r, "postData", post);
    return r;
}

static json_t *answer_json(const struct archive_item *i, struct arena *a)
{
    struct slice location = http_fields_get(&i->x.response, HTTP_LOCATION);
    json_t *r = json_pack("{s:i, s:s, s:s, s:[], s:o, s:o, s:o, s:i, s:I}", "status", (int)i->x.status, "statusText",
                          http_status_reason(i->x.status), "httpVersion", "HTTP/1.1", "cookies", "headers",
                          fields_json(&i->x.response), "content", content_json(&i->x.response, i->came, a),
                          "redirectURL", json_of_text(location.ptr != NULL ? location : SLICE("")), "headersSize", -1,
                          "bodySize", (json_int_t)i->came.len);

    if (i->x.end != SNAPSHOT_WHOLE) {
        json_object_set_new(r, "_end", json_string(snapshot_end_name(i->x.end)));
        json_object_set_new(r, "_error", json_of_text(i->x.error));
    }
    return r;
}

static bool add(struct archive_writer *w, const struct archive_item *i)
{
    struct arena a = { 0 };
    json_t      *entry = json_object();

    json_object_set_new(entry, "startedDateTime", line_time(i->x.time_ms));
    json_object_set_new(entry, "time", json_integer(i->x.took_ms));
    json_object_set_new(entry, "request", request_json(i, &a));
    json_object_set_new(entry, "response", answer_json(i, &a));
    json_object_set_new(entry, "_resourceType", json_string("fetch"));
    json_object_set_new(entry, "cache", json_object());
    json_object_set_new(entry, "timings",
                        json_pack("{s:i, s:I, s:i}", "send", 0, "wait", (json_int_t)i->x.took_ms, "receive", 0));
    fputs(w->count > 0 ? ",\n" : "\n", w->out);
    json_dumpf(entry, w->out, JSON_COMPACT);
    json_decref(entry);
    arena_free(&a);
    return true;
}

static void begin(struct archive_writer *w)
{
    fprintf(w->out, "{\"log\":{\"version\":\"1.2\",\"creator\":{\"name\":\"Weir\",\"version\":\"%s\"},\"entries\":[",
            PACKAGE_VERSION);
}

static void end(struct archive_writer *w)
{
    fputs("\n]}}\n", w->out);
}

const struct archive_format archive_har = { begin, add, end };
