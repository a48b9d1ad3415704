/*
 * WARC 1.1 (ISO 28500:2017), written: a warcinfo record, then a request and a response for each exchange.
 *
 * A record's block is an HTTP message as it stands on the wire, so its fields have to be true of its body: what says
 * how it was framed is left out, and Content-Length is the body's.
 */
#include "snapshot/archive_parts.h"

#include "http/message.h"
#include "snapshot/internal.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdlib.h>

enum { URN_BYTES = 64 };

/* RFC 4122 4.4: random, version 4. */
static void take_urn(char out[URN_BYTES])
{
    unsigned char b[16];

    randombytes_buf(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, URN_BYTES, "<urn:uuid:%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x>", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static void put_digest(FILE *out, const char *name, struct slice bytes)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char          hex[HASH_HEX + 1];

    crypto_hash_sha256(hash, (const unsigned char *)bytes.ptr, bytes.len);
    fprintf(out, "%s: sha256:%s\r\n", name, sodium_bin2hex(hex, sizeof hex, hash, sizeof hash));
}

/* What stands for a credential, {api_key}, holds characters that no URI has (RFC 3986 2). */
static void put_url(FILE *out, struct slice url)
{
    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] == '{' || url.ptr[i] == '}')
            fputs(url.ptr[i] == '{' ? "%7B" : "%7D", out);
        else
            putc(url.ptr[i], out);
}

struct warc_record {
    const char  *type, *content_type;
    const char  *urn, *concurrent; /* concurrent: NULL: none */
    struct slice url;              /* ptr NULL: none */
    int64_t      time_ms;
    struct slice head, body; /* of the block */
    bool         has_payload, is_cut;
    const char  *why_cut;
};

static void put_record(FILE *out, const struct warc_record *r)
{
    json_t *time = line_time(r->time_ms);

    fprintf(out, "WARC/1.1\r\nWARC-Type: %s\r\nWARC-Record-ID: %s\r\nWARC-Date: %s\r\n", r->type, r->urn,
            json_string_value(time));
    json_decref(time);
    if (r->url.ptr != NULL) {
        fputs("WARC-Target-URI: ", out);
        put_url(out, r->url);
        fputs("\r\n", out);
    }
    if (r->concurrent != NULL)
        fprintf(out, "WARC-Concurrent-To: %s\r\n", r->concurrent);
    if (r->is_cut)
        fprintf(out, "WARC-Truncated: %s\r\n", r->why_cut);
    if (r->has_payload)
        put_digest(out, "WARC-Payload-Digest", r->body);
    fprintf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n", r->content_type, r->head.len + r->body.len);
    fwrite(r->head.ptr, 1, r->head.len, out);
    if (r->body.len > 0)
        fwrite(r->body.ptr, 1, r->body.len, out);
    fputs("\r\n\r\n", out);
}

static void put_fields(FILE *out, const struct http_fields *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        const struct http_field *is = &f->items[i];

        if ((http_name_flags(is->id) & HTTP_HOP_BY_HOP) == 0 && is->id != HTTP_CONTENT_LENGTH)
            fprintf(out, SLICE_FMT ": " SLICE_FMT "\r\n", SLICE_ARG(is->name), SLICE_ARG(is->value));
    }
}

/* The target and the host that it is asked of, out of an absolute URL. */
static void put_request_line(FILE *out, const struct snapshot_exchange *x)
{
    const char *slashes = memmem(x->url.ptr, x->url.len, "://", 3);
    size_t      host = slashes != NULL ? (size_t)(slashes - x->url.ptr) + 3 : 0, path = slice_find(x->url, '/', host),
           mark = slice_find(x->url, '?', host);

    path = path < mark ? path : mark;
    fprintf(out, SLICE_FMT " %s", SLICE_ARG(x->method), path < x->url.len && x->url.ptr[path] == '/' ? "" : "/");
    put_url(out, slice_sub(x->url, path, x->url.len));
    fprintf(out, " HTTP/1.1\r\nHost: " SLICE_FMT "\r\n", SLICE_ARG(slice_sub(x->url, host, path)));
}

static char *head_of(const struct archive_item *i, bool of_request, size_t *bytes)
{
    const struct snapshot_exchange *x = &i->x;
    struct slice                    body = of_request ? i->sent : i->came;
    char                           *text = NULL;
    FILE                           *out = open_memstream(&text, bytes);

    if (of_request)
        put_request_line(out, x);
    else
        fprintf(out, "HTTP/1.1 %u %s\r\n", x->status, http_status_reason(x->status));
    put_fields(out, of_request ? &x->request : &x->response);
    if (body.len > 0 || (!of_request && !http_status_has_no_body(x->status) && !slice_eq(x->method, SLICE("HEAD"))))
        fprintf(out, "Content-Length: %zu\r\n", body.len);
    fputs("\r\n", out);
    fclose(out);
    return text;
}

static bool add(struct archive_writer *w, const struct archive_item *i)
{
    char   answer_urn[URN_BYTES], request_urn[URN_BYTES];
    size_t bytes;
    char  *head;

    if (i->x.status == 0)
        return false;
    take_urn(answer_urn);
    take_urn(request_urn);
    head = head_of(i, false, &bytes);
    put_record(w->out, &(struct warc_record){ .type = "response",
                                              .content_type = "application/http;msgtype=response",
                                              .urn = answer_urn,
                                              .url = i->x.url,
                                              .time_ms = i->x.time_ms,
                                              .head = { head, bytes },
                                              .body = i->came,
                                              .has_payload = true,
                                              .is_cut = i->x.end != SNAPSHOT_WHOLE,
                                              .why_cut = i->x.end == SNAPSHOT_TIMED_OUT ? "time" : "disconnect" });
    free(head);
    head = head_of(i, true, &bytes);
    put_record(w->out, &(struct warc_record){ .type = "request",
                                              .content_type = "application/http;msgtype=request",
                                              .urn = request_urn,
                                              .concurrent = answer_urn,
                                              .url = i->x.url,
                                              .time_ms = i->x.time_ms,
                                              .head = { head, bytes },
                                              .body = i->sent,
                                              .has_payload = true });
    free(head);
    return true;
}

static void begin(struct archive_writer *w)
{
    char urn[URN_BYTES];

    take_urn(urn);
    put_record(w->out, &(struct warc_record){
                           .type = "warcinfo",
                           .content_type = "application/warc-fields",
                           .urn = urn,
                           .time_ms = w->created_ms,
                           .head = SLICE("software: Weir " PACKAGE_VERSION "\r\nformat: WARC File Format 1.1\r\n") });
}

static void end(struct archive_writer *w)
{
    (void)w;
}

const struct archive_format archive_warc = { begin, add, end };
