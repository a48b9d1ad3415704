/*
 * The guard: framing two parsers could read differently, names that are not
 * Weir's, and pages of other sites.  Each check is a function of the head
 * alone; the engine asks them in this order before anything else is done.
 */
#include "engine/guard.h"

#include "base/address.h"
#include "http/list.h"
#include "http/url.h"

static const struct refusal no_refusal = { PROBLEM_NONE, NULL };

static struct refusal bad_request(const char *detail)
{
    return (struct refusal){ PROBLEM_MALFORMED_REQUEST, detail };
}

/* RFC 9112 6.1, 6.3: a message whose length two recipients could see differently is a smuggling attempt. */
static struct refusal check_length(const struct http_request *r)
{
    unsigned lengths = http_fields_count(&r->fields, HTTP_CONTENT_LENGTH);
    unsigned codings = http_fields_count(&r->fields, HTTP_TRANSFER_ENCODING);
    int64_t  length;

    if (lengths > 0 && codings > 0)
        return bad_request("Send either Content-Length or Transfer-Encoding, not both.");
    if (lengths > 1)
        return bad_request("Send Content-Length once.");
    if (lengths == 1 && !slice_to_int64(http_fields_get(&r->fields, HTTP_CONTENT_LENGTH), &length))
        return bad_request("Content-Length must be one decimal number.");
    if (codings > 0 && r->version_minor == 0)
        return bad_request("Transfer-Encoding is not part of HTTP/1.0.");
    if (codings > 1)
        return bad_request("Send Transfer-Encoding once.");
    if (codings == 1 && !slice_eq_nocase(http_fields_get(&r->fields, HTTP_TRANSFER_ENCODING), SLICE("chunked")))
        return bad_request("The only transfer coding understood is chunked.");
    return no_refusal;
}

static struct refusal check_host_field(const struct http_request *r)
{
    unsigned     hosts = http_fields_count(&r->fields, HTTP_HOST);
    struct slice host;
    unsigned     port;

    if (hosts > 1)
        return bad_request("Send Host once.");
    if (hosts == 0)
        return r->version_minor >= 1 ? bad_request("An HTTP/1.1 request needs a Host field.") : no_refusal;
    if (!http_authority_parse(http_fields_get(&r->fields, HTTP_HOST), &host, &port))
        return bad_request("Host must be a name or an address with an optional port.");
    return no_refusal;
}

struct refusal guard_framing(const struct http_request *r, size_t head_bytes)
{
    struct refusal no;

    if (head_bytes > GUARD_HEAD_BYTES)
        return (struct refusal){ PROBLEM_HEAD_TOO_LARGE, "The request line and the fields together may have 32 KiB." };
    if (!http_is_token(r->method_name))
        return bad_request("The method holds a character that is not allowed there.");
    for (unsigned i = 0; i < r->fields.count; i++) {
        const struct http_field *f = &r->fields.items[i];

        if (!http_is_token(f->name))
            return bad_request("A field name holds a character that is not allowed there.");
        if (!http_is_field_value(f->value))
            return bad_request("A field value holds a control character.");
    }
    no = check_host_field(r);
    return no.kind != PROBLEM_NONE ? no : check_length(r);
}

bool guard_is_own_host(const struct config *c, struct slice authority)
{
    struct slice host, own;
    unsigned     port, own_port;

    if (!http_authority_parse(authority, &host, &port))
        return false;
    if (address_is_loopback_name(host))
        return true;
    for (const char *const *name = c->allow_hosts; name != NULL && *name != NULL; name++)
        if (slice_eq_nocase(host, slice_of(*name)) || slice_eq_nocase(authority, slice_of(*name)))
            return true;
    for (unsigned i = 0; i < c->listener_count; i++)
        if (http_authority_parse(slice_of(c->listeners[i].address), &own, &own_port) && slice_eq_nocase(host, own))
            return true;
    if (c->admin_listen != NULL && http_authority_parse(slice_of(c->admin_listen), &own, &own_port) &&
        slice_eq_nocase(host, own))
        return true;
    return c->metrics_listen != NULL && http_authority_parse(slice_of(c->metrics_listen), &own, &own_port) &&
           slice_eq_nocase(host, own);
}

static bool origin_is_allowed(const struct config_upstream *up, struct slice origin)
{
    if (up == NULL || up->allow_origins == NULL || origin.ptr == NULL)
        return false;
    for (const char *const *allowed = up->allow_origins; *allowed != NULL; allowed++)
        if (slice_eq(slice_of(*allowed), SLICE("*")) || slice_eq_nocase(slice_of(*allowed), origin))
            return true;
    return false;
}

static bool is_origin_of(struct slice origin, const char *scheme, struct slice host)
{
    return slice_starts_with(origin, slice_of(scheme)) &&
           slice_eq_nocase(slice_sub(origin, strlen(scheme), origin.len), host);
}

/* A page of the host that is asked: Weir's own, or the API's through a proxy ("https://" out of a CONNECT). */
static bool origin_is_own(struct slice origin, struct slice host)
{
    return is_origin_of(origin, "http://", host) || is_origin_of(origin, "https://", host);
}

struct refusal guard_origin(const struct config_upstream *up, const struct http_request *r, struct slice host,
                            struct slice *allowed)
{
    struct slice origin = http_fields_get(&r->fields, HTTP_ORIGIN);
    struct slice site = http_fields_get(&r->fields, HTTP_SEC_FETCH_SITE);
    bool         from_elsewhere = false;

    if (origin.ptr != NULL)
        from_elsewhere = !origin_is_own(origin, host);
    else if (site.ptr != NULL)
        from_elsewhere = !slice_eq(site, SLICE("same-origin")) && !slice_eq(site, SLICE("none"));
    if (allowed != NULL)
        *allowed = SLICE_NONE;
    if (!from_elsewhere)
        return no_refusal;
    if (origin_is_allowed(up, origin)) {
        if (allowed != NULL)
            *allowed = origin;
        return no_refusal;
    }
    return (struct refusal){ PROBLEM_OTHER_SITE,
                             "A page of another site may use this upstream only where the upstream's "
                             "allow_origins lists its origin." };
}

struct refusal guard_own_page(const struct config *c, const struct http_request *r, size_t head_bytes)
{
    const struct http_fields *f = &r->fields;
    const struct slice        host = http_fields_get(f, HTTP_HOST), origin = http_fields_get(f, HTTP_ORIGIN);
    const struct slice        site = http_fields_get(f, HTTP_SEC_FETCH_SITE);
    struct refusal            no = guard_framing(r, head_bytes);

    if (no.kind != PROBLEM_NONE)
        return no;
    if (host.ptr == NULL || !guard_is_own_host(c, host))
        return (struct refusal){ PROBLEM_ADMIN_REFUSED,
                                 "Host must be a name of Weir's own, as localhost or 127.0.0.1 is." };
    if (http_fields_count(f, HTTP_ORIGIN) > 1 || (origin.ptr != NULL && !is_origin_of(origin, "http://", host)))
        return (struct refusal){ PROBLEM_ADMIN_REFUSED,
                                 "Origin must be that of Weir's own page: no other page may ask here." };
    if (http_fields_count(f, HTTP_SEC_FETCH_SITE) > 1 ||
        (site.ptr != NULL && !slice_eq(site, SLICE("same-origin")) && !slice_eq(site, SLICE("none"))))
        return (struct refusal){ PROBLEM_ADMIN_REFUSED,
                                 "A page of another site or port sent this: open the address that weirctl dashboard "
                                 "prints in the browser's own address line." };
    return no_refusal;
}
