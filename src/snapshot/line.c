/*
 * A line of a snapshot: an exchange as JSON, its members always in the same order, so that two recordings can be
 * compared line by line.  A field's value that is no UTF-8 stands as {"base64": "..."}.
 */
#include "snapshot/internal.h"

#include "http/date.h"
#include "http/json_of.h"
#include "http/media.h"

#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const ends[] = { "whole", "cut", "timeout", "refused", "no-connection" };

const char *snapshot_end_name(enum snapshot_end end)
{
    return ends[end];
}

/* ---- body names ---- */

struct slice line_body_name(const char hash[HASH_HEX + 1], struct slice content_type, struct arena *a)
{
    const char *kind = "bin";

    if (http_media_has_json(content_type))
        kind = "json";
    else if (slice_starts_with(content_type, SLICE("text/")) || http_media_is_event_stream(content_type) ||
             http_media_is_same_type(content_type, SLICE("application/x-www-form-urlencoded")) ||
             http_media_is_same_type(content_type, SLICE("application/xml")) ||
             http_media_is_same_type(content_type, SLICE("application/javascript")))
        kind = "txt";
    return arena_printf(a, "%s.%s", hash, kind);
}

struct slice line_name_body(struct slice bytes, struct slice content_type, struct arena *a)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char          hex[HASH_HEX + 1];

    if (bytes.len == 0)
        return SLICE_NONE;
    crypto_hash_sha256(hash, (const unsigned char *)bytes.ptr, bytes.len);
    return line_body_name(sodium_bin2hex(hex, sizeof hex, hash, sizeof hash), content_type, a);
}

bool line_body_name_is_valid(struct slice name)
{
    struct slice kind = slice_sub(name, HASH_HEX, name.len);

    for (size_t i = 0; i < HASH_HEX; i++)
        if (i >= name.len || strchr("0123456789abcdef", name.ptr[i]) == NULL || name.ptr[i] == '\0')
            return false;
    return slice_eq(kind, SLICE(".json")) || slice_eq(kind, SLICE(".txt")) || slice_eq(kind, SLICE(".bin"));
}

/* ---- making ---- */

/* What is no UTF-8 stays what it is. */
static json_t *value_json(struct slice s)
{
    json_t *text = json_stringn(s.ptr != NULL ? s.ptr : "", s.len);

    return text != NULL ? text : json_pack("{s:o}", "base64", json_of_base64(s));
}

json_t *line_time(int64_t ms)
{
    time_t    s = (time_t)(ms / 1000);
    struct tm tm = { 0 };
    char      text[64];

    gmtime_r(&s, &tm);
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
             tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
    return json_string(text);
}

static json_t *answer_json(const struct snapshot_exchange *x)
{
    json_t *r = json_pack("{s:i, s:o, s:o, s:I}", "status", (int)x->status, "headers",
                          json_of_fields(&x->response, value_json), "body", json_of_text(x->body.name), "bytes",
                          (json_int_t)x->body.bytes);

    if (x->trailers.count > 0)
        json_object_set_new(r, "trailers", json_of_fields(&x->trailers, value_json));
    if (x->interim_count > 0)
        json_object_set_new(r, "interim", json_array());
    for (unsigned i = 0; i < x->interim_count; i++)
        json_array_append_new(json_object_get(r, "interim"),
                              json_pack("{s:i, s:o}", "status", (int)x->interims[i].status, "headers",
                                        json_of_fields(&x->interims[i].fields, value_json)));
    if (x->end != SNAPSHOT_WHOLE)
        json_object_set_new(r, "end", json_string(ends[x->end]));
    if (x->end != SNAPSHOT_WHOLE && x->error.len > 0)
        json_object_set_new(r, "error", value_json(x->error));
    if (x->timing_count > 0)
        json_object_set_new(r, "timing", json_array());
    for (unsigned i = 0; i < x->timing_count; i++)
        json_array_append_new(json_object_get(r, "timing"),
                              json_pack("[I, I]", (json_int_t)x->timing[i].at_ms, (json_int_t)x->timing[i].bytes));
    return r;
}

json_t *line_make(const struct snapshot_exchange *x)
{
    json_t *request = json_pack("{s:o, s:o}", "headers", json_of_fields(&x->request, value_json), "body",
                                json_of_text(x->request_body.name));

    if (x->had_credential)
        json_object_set_new(request, "credential", json_true());
    return json_pack("{s:o, s:o, s:I, s:o, s:I, s:o, s:o}", "method", json_of_text(x->method), "url",
                     json_of_text(x->url), "seq", (json_int_t)x->seq, "time", line_time(x->time_ms), "took",
                     (json_int_t)x->took_ms, "request", request, "response", answer_json(x));
}

char *line_text(const json_t *line, size_t *bytes)
{
    char  *made = json_dumps(line, JSON_COMPACT), *text;
    size_t length;

    if (made == NULL)
        return NULL;
    length = strlen(made);
    text = mem_alloc_raw(length + 2);
    memcpy(text, made, length);
    memcpy(text + length, "\n", 2);
    free(made);
    *bytes = length + 1;
    return text;
}

/* ---- reading ---- */

static struct slice text_of(const json_t *j, struct arena *a)
{
    const json_t *coded = json_object_get(j, "base64");
    const char   *text = json_string_value(coded);
    char         *plain;
    size_t        length;

    if (json_is_string(j))
        return arena_copy(a, (struct slice){ json_string_value(j), json_string_length(j) });
    if (text == NULL)
        return SLICE_NONE;
    plain = arena_alloc(a, strlen(text) + 1);
    if (sodium_base642bin((unsigned char *)plain, strlen(text), text, strlen(text), NULL, &length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return SLICE_NONE;
    return (struct slice){ plain, length };
}

static int read_fields(const json_t *list, struct http_fields *out, struct arena *a, struct fault *why)
{
    size_t  i;
    json_t *pair;

    *out = (struct http_fields){ 0 };
    json_array_foreach(list, i, pair)
    {
        struct slice name = text_of(json_array_get(pair, 0), a), value = text_of(json_array_get(pair, 1), a);

        if (name.ptr == NULL || value.ptr == NULL || !http_is_token(name) || !http_is_field_value(value))
            return fault_set(why, "a header is no [name, value] of HTTP");
        http_fields_add(out, a, name, value);
    }
    return 0;
}

static int read_body(const json_t *j, struct snapshot_body *out, struct arena *a, struct fault *why)
{
    *out = (struct snapshot_body){ 0 };
    if (j == NULL || json_is_null(j))
        return 0;
    out->name = text_of(j, a);
    if (out->name.ptr == NULL || !line_body_name_is_valid(out->name))
        return fault_set(why, "a body is no name of a file in bodies/");
    return 0;
}

static bool read_time(const char *text, int64_t *ms)
{
    int     year, month, day, hour, minute, second, milli = 0;
    int64_t s;

    if (text == NULL ||
        sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3d", &year, &month, &day, &hour, &minute, &second, &milli) < 6)
        return false;
    if (!http_date_seconds(year, month, day, hour, minute, second, &s))
        return false;
    *ms = s * 1000 + milli;
    return true;
}

static int read_interims(const json_t *list, struct snapshot_exchange *x, struct arena *a, struct fault *why)
{
    x->interim_count = (unsigned)json_array_size(list);
    x->interims = arena_alloc(a, x->interim_count * sizeof *x->interims);
    for (unsigned i = 0; i < x->interim_count; i++) {
        const json_t *j = json_array_get(list, i);

        x->interims[i].status = (unsigned)json_integer_value(json_object_get(j, "status"));
        if (x->interims[i].status < 100 || x->interims[i].status > 199)
            return fault_set(why, "an interim status is not from 100 to 199");
        if (read_fields(json_object_get(j, "headers"), &x->interims[i].fields, a, why) != 0)
            return -1;
    }
    return 0;
}

static void read_timing(const json_t *list, struct snapshot_exchange *x, struct arena *a)
{
    struct snapshot_piece *pieces = arena_alloc(a, (json_array_size(list) + 1) * sizeof *pieces);

    x->timing = pieces;
    x->timing_count = (unsigned)json_array_size(list);
    for (unsigned i = 0; i < x->timing_count; i++) {
        const json_t *pair = json_array_get(list, i);

        pieces[i].at_ms = json_integer_value(json_array_get(pair, 0));
        pieces[i].bytes = (uint64_t)json_integer_value(json_array_get(pair, 1));
    }
}

static int read_answer(const json_t *r, struct snapshot_exchange *x, struct arena *a, struct fault *why)
{
    const char *end = json_string_value(json_object_get(r, "end"));
    json_int_t  status = json_integer_value(json_object_get(r, "status"));

    for (size_t i = 0; end != NULL && i < sizeof ends / sizeof *ends; i++)
        if (strcmp(end, ends[i]) == 0) {
            x->end = (enum snapshot_end)i;
            end = NULL;
        }
    if (end != NULL)
        return fault_set(why, "end is none of whole, cut, timeout, refused, no-connection");
    if (status != 0 && (status < 200 || status > 999))
        return fault_set(why, "the status is not from 200 to 999");
    if (status == 0 && x->end == SNAPSHOT_WHOLE)
        return fault_set(why, "there is neither a status nor an end that would say why");
    x->status = (unsigned)status;
    x->error = text_of(json_object_get(r, "error"), a);
    if (read_fields(json_object_get(r, "headers"), &x->response, a, why) != 0 ||
        read_fields(json_object_get(r, "trailers"), &x->trailers, a, why) != 0 ||
        read_body(json_object_get(r, "body"), &x->body, a, why) != 0 ||
        read_interims(json_object_get(r, "interim"), x, a, why) != 0)
        return -1;
    x->body.bytes = (uint64_t)json_integer_value(json_object_get(r, "bytes"));
    read_timing(json_object_get(r, "timing"), x, a);
    return 0;
}

int line_read(struct slice text, struct snapshot_exchange *x, struct arena *a, struct fault *why)
{
    json_error_t error;
    json_t      *j = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &error), *request;
    int          result = -1;

    *x = (struct snapshot_exchange){ 0 };
    if (j == NULL)
        return fault_set(why, "it is no JSON: %s", error.text);
    request = json_object_get(j, "request");
    x->method = text_of(json_object_get(j, "method"), a);
    x->url = text_of(json_object_get(j, "url"), a);
    x->seq = (uint64_t)json_integer_value(json_object_get(j, "seq"));
    x->took_ms = json_integer_value(json_object_get(j, "took"));
    x->had_credential = json_is_true(json_object_get(request, "credential"));
    if (x->method.ptr == NULL || !http_is_token(x->method))
        fault_set(why, "the method is missing, or no token");
    else if (x->url.ptr == NULL)
        fault_set(why, "the url is missing");
    else if (!read_time(json_string_value(json_object_get(j, "time")), &x->time_ms))
        fault_set(why, "the time is missing, or not as in 2030-01-31T12:00:00.000Z");
    else if (read_fields(json_object_get(request, "headers"), &x->request, a, why) == 0 &&
             read_body(json_object_get(request, "body"), &x->request_body, a, why) == 0)
        result = read_answer(json_object_get(j, "response"), x, a, why);
    json_decref(j);
    return result;
}
