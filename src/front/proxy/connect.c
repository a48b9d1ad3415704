/*
 * Read by the letter of RFC 9112: CRLF ends a line, nothing is folded; what
 * goes for the fields of any request goes for these too (engine/guard.h).
 */
#include "front/proxy/connect.h"

#include "http/basic.h"
#include "http/url.h"

enum { HOST_BYTES = 255 }; /* RFC 1035 2.3.4 */

static struct refusal malformed(const char *detail)
{
    return (struct refusal){ PROBLEM_MALFORMED_REQUEST, detail };
}

/* The next line without its CRLF. */
static struct slice take_line(struct slice *rest)
{
    struct slice line = *rest;
    size_t       cr = 0;

    while ((cr = slice_find(line, '\r', cr)) + 1 < line.len && line.ptr[cr + 1] != '\n')
        cr++;
    *rest = slice_sub(line, cr + 2, line.len);
    return slice_sub(line, 0, cr);
}

/* "CONNECT host:port HTTP/1.1" */
static bool read_request_line(struct slice line, struct http_request *r, struct connect_head *out)
{
    size_t first = slice_find(line, ' ', 0), second = slice_find(line, ' ', first + 1);

    r->method = HTTP_CONNECT;
    r->method_name = slice_sub(line, 0, first);
    r->target = out->target = slice_sub(line, first + 1, second);
    line = slice_sub(line, second + 1, line.len);
    r->version_minor = slice_eq(line, SLICE("HTTP/1.0")) ? 0 : 1;
    return slice_eq(r->method_name, SLICE("CONNECT")) && (r->version_minor == 0 || slice_eq(line, SLICE("HTTP/1.1")));
}

struct refusal connect_head_parse(struct slice text, struct connect_head *out, struct arena *a)
{
    struct http_request r = { 0 };
    struct slice        rest = text, line = take_line(&rest);
    struct refusal      no;

    *out = (struct connect_head){ .user = SLICE_NONE };
    if (text.len > GUARD_HEAD_BYTES)
        return guard_framing(&r, text.len);
    if (!read_request_line(line, &r, out))
        return malformed("A CONNECT reads \"CONNECT host:port HTTP/1.1\".");
    while ((line = take_line(&rest)).len > 0) {
        size_t colon = slice_find(line, ':', 0);

        if (colon == line.len)
            return malformed("A field line has a colon after its name.");
        http_fields_add(&r.fields, a, slice_sub(line, 0, colon), slice_trim(slice_sub(line, colon + 1, line.len)));
    }
    no = guard_framing(&r, text.len);
    if (no.kind != PROBLEM_NONE)
        return no;
    if (http_fields_find(&r.fields, HTTP_CONTENT_LENGTH, 0) >= 0 ||
        http_fields_find(&r.fields, HTTP_TRANSFER_ENCODING, 0) >= 0)
        return malformed("A CONNECT has no content.");
    for (unsigned i = 0; i < r.fields.count; i++)
        if (slice_eq_nocase(slice_sub(r.fields.items[i].name, 0, 5), SLICE("Weir-")) &&
            r.fields.items[i].id != HTTP_WEIR_CLIENT)
            return malformed(
                "A Weir- field of a CONNECT would be heeded by nobody; the requests inside are to have it.");
    if (!http_authority_parse(out->target, &out->host, &out->port) || out->port == 0 || out->host.len > HOST_BYTES)
        return malformed("A CONNECT names a host and a port.");
    out->user = http_basic_user(http_fields_get(&r.fields, HTTP_PROXY_AUTHORIZATION), a);
    return no;
}
