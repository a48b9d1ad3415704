/*
 * JSON, logfmt and the journal's fields are printed from the table of a record's fields (record.h); plain and combined
 * lines have an order of their own.
 */
#include "engine/access_format.h"

#include "base/clock.h"
#include "base/decimal.h"

#include <stddef.h>
#include <stdio.h>
#include <time.h>

enum {
    TARGET_BYTES = RECORD_TARGET_MOST,
    JSON_TARGET_BYTES = TARGET_BYTES / 2,
    TEXT_BYTES = RECORD_TEXT_MOST,
    CLIENT_BYTES = 128,
    METHOD_BYTES = 64
};

static const struct access_stamp *stamp(struct access_stamp *s, int64_t wall_ns)
{
    int64_t   second = wall_ns / NS_PER_SEC;
    struct tm tm;
    time_t    t = (time_t)second;

    if ((!s->is_known || second != s->second) && gmtime_r(&t, &tm) != NULL) {
        strftime(s->text, sizeof s->text, "%Y-%m-%dT%H:%M:%S", &tm);
        strftime(s->common, sizeof s->common, "%d/%b/%Y:%H:%M:%S +0000", &tm);
        s->second = second;
        s->is_known = true;
    }
    return s;
}

static struct slice three_digits(unsigned n, char out[3])
{
    out[0] = (char)('0' + n / 100 % 10);
    out[1] = (char)('0' + n / 10 % 10);
    out[2] = (char)('0' + n % 10);
    return (struct slice){ out, 3 };
}

static void write_time(struct json_out *o, int64_t wall_ns, struct access_stamp *s)
{
    char digits[3];

    json_raw(o, slice_of(stamp(s, wall_ns)->text));
    json_raw(o, SLICE("."));
    json_raw(o, three_digits((unsigned)(wall_ns / NS_PER_MS % 1000), digits));
    json_raw(o, SLICE("Z"));
}

static void write_number(struct json_out *o, int64_t n)
{
    char digits[DECIMAL_BYTES];

    if (n < 0)
        json_raw(o, SLICE("-"));
    json_raw(o, decimal(n < 0 ? 0 - (uint64_t)n : (uint64_t)n, digits));
}

/* Milliseconds with three digits after the point. */
static void write_span(struct json_out *o, int64_t ns)
{
    char     digits[3];
    uint64_t us = ((ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns) + NS_PER_US / 2) / NS_PER_US;

    if (ns < 0)
        json_raw(o, SLICE("-"));
    write_number(o, (int64_t)(us / 1000));
    json_raw(o, SLICE("."));
    json_raw(o, three_digits((unsigned)(us % 1000), digits));
}

/* Of long texts the beginning is enough. */
static struct slice shown(const struct request_record *r, const struct record_field *f)
{
    size_t most = TEXT_BYTES;

    if (f->offset == offsetof(struct request_record, target))
        most = JSON_TARGET_BYTES;
    else if (f->offset == offsetof(struct request_record, client))
        most = CLIENT_BYTES;
    else if (f->offset == offsetof(struct request_record, method))
        most = METHOD_BYTES;
    return slice_sub(record_slice(r, f), 0, most);
}

static void write_plain_value(struct json_out *o, const struct request_record *r, const struct record_field *f)
{
    if (f->type == RECORD_SPAN)
        write_span(o, record_number(r, f));
    else if (f->type == RECORD_FLAG)
        json_raw(o, record_flag(r, f) ? SLICE("true") : SLICE("false"));
    else
        write_number(o, record_number(r, f));
}

/* -- JSON -- */

static void write_ms(struct json_out *o, const char *name, int64_t ns)
{
    json_key(o, name);
    write_span(o, ns);
}

/* Why each attempt was made (the first one's reason is Cache-Status' fwd, every other one's the
 * outcome before it), how long it waited, and what it came to. */
static void write_tries(struct json_out *o, const struct request_record *r)
{
    char text[ATTEMPT_TEXT_BYTES];

    json_key(o, "tries");
    json_raw(o, SLICE("["));
    for (unsigned i = 0; i < record_attempts_kept(r); i++) {
        const struct attempt *a = &r->attempts[i];

        json_raw(o, i > 0 ? SLICE(",{") : SLICE("{"));
        json_key(o, "cause");
        json_text(o, record_cause(r, i, text));
        write_ms(o, "waited_ms", a->waited_ns);
        attempt_text(a, text);
        json_key(o, "outcome");
        json_text(o, slice_of(text));
        write_ms(o, "took_ms", a->took_ns);
        json_raw(o, SLICE("}"));
    }
    json_raw(o, SLICE("]"));
}

void access_format_json(struct json_out *o, const struct request_record *r, struct access_stamp *s)
{
    json_raw(o, SLICE("{"));
    for (const struct record_field *f = record_fields; f < record_fields + RECORD_FIELDS; f++) {
        if (!record_has(r, f))
            continue;
        json_key(o, f->name);
        if (f->type == RECORD_SLICE) {
            json_text(o, shown(r, f));
        } else if (f->type == RECORD_TIME) {
            json_raw(o, SLICE("\""));
            write_time(o, r->started_wall_ns, s);
            json_raw(o, SLICE("\""));
        } else {
            write_plain_value(o, r, f);
        }
        if (f->type == RECORD_TRIES && r->attempt_count > 0)
            write_tries(o, r);
    }
    json_raw(o, SLICE("}"));
}

/* -- logfmt -- */

static bool needs_quotes(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return true;
    }
    return text.len == 0;
}

static void write_logfmt_text(struct json_out *o, struct slice text)
{
    if (needs_quotes(text))
        json_text(o, text);
    else
        json_raw(o, text);
}

/* "503/0.1ms,200/500.0ms": outcomes, and the waits before them. */
static void write_tries_short(struct json_out *o, const struct request_record *r)
{
    char outcome[ATTEMPT_TEXT_BYTES], digits[DECIMAL_BYTES];

    for (unsigned i = 0; i < record_attempts_kept(r); i++) {
        attempt_text(&r->attempts[i], outcome);
        json_raw(o, i > 0 ? SLICE(",") : SLICE(""));
        json_raw(o, slice_of(outcome));
        json_raw(o, SLICE("/"));
        json_raw(o, decimal_ms(r->attempts[i].waited_ns, digits));
        json_raw(o, SLICE("ms"));
    }
}

static void format_logfmt(struct json_out *o, const struct request_record *r, struct access_stamp *s)
{
    for (const struct record_field *f = record_fields; f < record_fields + RECORD_FIELDS; f++) {
        if (!record_has(r, f))
            continue;
        json_raw(o, f > record_fields ? SLICE(" ") : SLICE(""));
        json_raw(o, slice_of(f->name));
        json_raw(o, SLICE("="));
        if (f->type == RECORD_SLICE)
            write_logfmt_text(o, shown(r, f));
        else if (f->type == RECORD_TIME)
            write_time(o, r->started_wall_ns, s);
        else
            write_plain_value(o, r, f);
        if (f->type == RECORD_TRIES && record_attempts_kept(r) > 0) {
            json_raw(o, SLICE(" tries="));
            write_tries_short(o, r);
        }
    }
}

/* -- plain -- */

/* Printable ASCII but no quote: the plain line's fields stay apart. */
static void plain(struct json_out *o, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i] > ' ' && text.ptr[i] < 0x7f && text.ptr[i] != '"' ? text.ptr[i] : '?';

        json_raw(o, (struct slice){ &c, 1 });
    }
}

static void write_tenth_ms(struct json_out *o, struct slice name, int64_t ns)
{
    char digits[DECIMAL_BYTES];

    json_raw(o, name);
    json_raw(o, decimal_ms(ns, digits));
    json_raw(o, SLICE("ms"));
}

static void format_plain(struct json_out *o, const struct request_record *r, struct access_stamp *s)
{
    write_time(o, r->started_wall_ns, s);
    json_raw(o, SLICE(" "));
    json_raw(o, r->peer);
    json_raw(o, SLICE(" "));
    plain(o, slice_sub(r->method, 0, METHOD_BYTES));
    json_raw(o, SLICE(" "));
    plain(o, slice_sub(r->target, 0, TARGET_BYTES));
    json_raw(o, SLICE(" "));
    write_number(o, r->status);
    json_raw(o, SLICE(" "));
    write_number(o, r->sent_bytes);
    json_raw(o, SLICE(" "));
    json_raw(o, r->cache);
    json_raw(o, SLICE(" fwd="));
    json_raw(o, r->forward.ptr != NULL ? r->forward : SLICE("-"));
    json_raw(o, SLICE(" attempts="));
    write_number(o, r->attempt_count);
    write_tenth_ms(o, SLICE(" queue="), r->queued_ns);
    write_tenth_ms(o, SLICE(" upstream="), r->upstream_ns);
    write_tenth_ms(o, SLICE(" took="), r->took_ns);
    if (r->client.len > 0) {
        json_raw(o, SLICE(" client="));
        write_logfmt_text(o, slice_sub(r->client, 0, CLIENT_BYTES));
    }
    if (record_attempts_kept(r) > 0)
        json_raw(o, SLICE(" tries="));
    write_tries_short(o, r);
    json_raw(o, r->whole ? SLICE("") : SLICE(" broken"));
}

/* -- combined -- */

/* As Apache escapes: no quote, backslash, control byte or byte beyond ASCII stands there as it is. */
static void escaped(struct json_out *o, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        char          out[8];

        if (c == '"' || c == '\\')
            snprintf(out, sizeof out, "\\%c", c);
        else if (c < ' ' || c >= 0x7f)
            snprintf(out, sizeof out, "\\x%02x", c);
        else
            snprintf(out, sizeof out, "%c", c);
        json_raw(o, slice_of(out));
    }
}

/* One word: the peer's host without its port, the client's name without spaces. */
static void word(struct json_out *o, struct slice text)
{
    if (text.len == 0)
        json_raw(o, SLICE("-"));
    for (size_t i = 0; i < text.len; i++) {
        struct slice c = slice_sub(text, i, i + 1);

        if (c.ptr[0] == ' ')
            json_raw(o, SLICE(","));
        else
            escaped(o, c);
    }
}

static struct slice host_of(struct slice peer)
{
    const char *colon = peer.len > 0 ? memrchr(peer.ptr, ':', peer.len) : NULL;

    if (colon == NULL)
        return peer;
    peer.len = (size_t)(colon - peer.ptr);
    return peer.len > 2 && peer.ptr[0] == '[' ? slice_sub(peer, 1, peer.len - 1) : peer;
}

static void quoted(struct json_out *o, struct slice text)
{
    json_raw(o, SLICE(" \""));
    escaped(o, text.len > 0 ? text : SLICE("-"));
    json_raw(o, SLICE("\""));
}

static void format_combined(struct json_out *o, const struct request_record *r, struct access_stamp *s)
{
    word(o, host_of(r->peer));
    json_raw(o, SLICE(" - "));
    word(o, slice_sub(r->client, 0, CLIENT_BYTES));
    json_raw(o, SLICE(" ["));
    json_raw(o, slice_of(stamp(s, r->started_wall_ns)->common));
    json_raw(o, SLICE("] \""));
    escaped(o, slice_sub(r->method, 0, METHOD_BYTES));
    json_raw(o, SLICE(" "));
    escaped(o, slice_sub(r->target, 0, TARGET_BYTES / 2));
    json_raw(o, r->version_minor == 0 ? SLICE(" HTTP/1.0\" ") : SLICE(" HTTP/1.1\" "));
    write_number(o, r->status);
    json_raw(o, SLICE(" "));
    if (r->sent_bytes > 0)
        write_number(o, r->sent_bytes);
    else
        json_raw(o, SLICE("-"));
    quoted(o, slice_sub(r->referer, 0, TARGET_BYTES / 4));
    quoted(o, slice_sub(r->agent, 0, TARGET_BYTES / 8));
}

/* -- all of them -- */

static void format(struct json_out *o, enum access_format how, const struct request_record *r, struct access_stamp *s)
{
    switch (how) {
    case ACCESS_PLAIN:
        format_plain(o, r, s);
        break;
    case ACCESS_LOGFMT:
        format_logfmt(o, r, s);
        break;
    case ACCESS_COMBINED:
        format_combined(o, r, s);
        break;
    case ACCESS_JSON:
        access_format_json(o, r, s);
        break;
    }
}

void access_format(struct json_out *o, enum access_format how, const struct request_record *r, struct access_stamp *s)
{
    format(o, how, r, s);
    json_raw(o, SLICE("\n"));
}

/* A native field's value ends with its line. */
static void write_native_text(struct json_out *o, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = (unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f ? '?' : text.ptr[i];

        json_raw(o, (struct slice){ &c, 1 });
    }
}

void access_format_native(struct json_out *o, enum access_format how, const struct request_record *r,
                          struct access_stamp *s)
{
    json_raw(o, SLICE("MESSAGE="));
    format(o, how, r, s);
    json_raw(o, SLICE("\nPRIORITY=6\nSYSLOG_IDENTIFIER=weir-access\n"));
    for (const struct record_field *f = record_fields; f < record_fields + RECORD_FIELDS; f++) {
        if (f->native == NULL || !record_has(r, f))
            continue;
        json_raw(o, slice_of(f->native));
        json_raw(o, SLICE("="));
        if (f->type == RECORD_SLICE)
            write_native_text(o, shown(r, f));
        else
            write_plain_value(o, r, f);
        json_raw(o, SLICE("\n"));
    }
    json_raw(o, SLICE("\n"));
}
