/*
 * Splitting of URLs, authorities, targets and queries.
 */
#include "http/url.h"

#include <arpa/inet.h>

enum { HIGHEST_PORT = 65535 };

/* RFC 3986 3.2.2: what a reg-name is made of; '%' stands for its encoded bytes. */
static const bool is_host_byte[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true, ['.'] = true,
    ['_'] = true,         ['~'] = true,         ['%'] = true,         ['!'] = true, ['$'] = true,
    ['&'] = true,         ['\''] = true,        ['('] = true,         [')'] = true, ['*'] = true,
    ['+'] = true,         [','] = true,         [';'] = true,         ['='] = true,
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The byte that "%XX" at `at` stands for; -1 where there is no such thing. */
static int percent_byte(struct slice s, size_t at)
{
    int high, low;

    if (at + 2 >= s.len || s.ptr[at] != '%')
        return -1;
    high = hex_digit(s.ptr[at + 1]);
    low = hex_digit(s.ptr[at + 2]);
    return high >= 0 && low >= 0 ? high * 16 + low : -1;
}

static bool is_reg_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_host_byte[(unsigned char)s.ptr[i]])
            return false;
        if (s.ptr[i] == '%' && percent_byte(s, i) < 0)
            return false;
    }
    return s.len > 0;
}

/* "[...]"; no zone, no IPvFuture. */
static bool is_bracketed_ipv6(struct slice s)
{
    char            text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    struct slice    inner = slice_sub(s, 1, s.len - 1);

    if (s.len < 4 || s.ptr[s.len - 1] != ']' || inner.len >= sizeof text || slice_find(inner, '\0', 0) < inner.len)
        return false;
    memcpy(text, inner.ptr, inner.len);
    text[inner.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

/* Offset of the colon before the port; s.len where there is none. */
static size_t find_port_colon(struct slice s)
{
    size_t from = s.len > 0 && s.ptr[0] == '[' ? slice_find(s, ']', 0) : 0;

    return slice_find(s, ':', from);
}

bool http_authority_parse(struct slice text, struct slice *host, unsigned *port)
{
    size_t       colon = find_port_colon(text);
    struct slice name = slice_sub(text, 0, colon);
    struct slice digits = slice_sub(text, colon + 1, text.len);
    int64_t      number = 0;

    if (name.len == 0 || (name.ptr[0] == '[' ? !is_bracketed_ipv6(name) : !is_reg_name(name)))
        return false;
    /* "host:" is "host" (RFC 3986 3.2.3). */
    if (digits.len > 0 && (!slice_to_int64(digits, &number) || number < 1 || number > HIGHEST_PORT))
        return false;
    *host = name;
    *port = (unsigned)number;
    return true;
}

/* Neither a space nor a control byte, nor a '#', which would begin a fragment (RFC 9112 3.2). */
static bool has_target_bytes(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c <= 0x20 || c == 0x7f || c == '#')
            return false;
    }
    return true;
}

static size_t find_authority_end(struct slice s)
{
    size_t i = 0;

    while (i < s.len && s.ptr[i] != '/' && s.ptr[i] != '?' && s.ptr[i] != '#')
        i++;
    return i;
}

bool http_url_parse(struct slice text, struct http_url *out)
{
    static const struct {
        struct slice scheme;
        unsigned     port;
    } schemes[] = {
        { { "http", 4 }, 80 },
        { { "https", 5 }, 443 },
    };
    struct http_url url = { .scheme = slice_sub(text, 0, slice_find(text, ':', 0)) };
    struct slice    rest = slice_sub(text, url.scheme.len, text.len);
    unsigned        default_port = 0;
    size_t          end;

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (slice_eq_nocase(url.scheme, schemes[i].scheme))
            default_port = schemes[i].port;
    if (default_port == 0 || !slice_starts_with(rest, SLICE("://")))
        return false;
    rest = slice_sub(rest, 3, rest.len);
    end = find_authority_end(rest);
    url.authority = slice_sub(rest, 0, end);
    url.target = slice_sub(rest, end, rest.len);
    if (!http_authority_parse(url.authority, &url.host, &url.port) || !has_target_bytes(url.target))
        return false;
    url.port_given = url.port != 0;
    if (!url.port_given)
        url.port = default_port;
    *out = url;
    return true;
}

bool http_target_is_valid(struct slice target)
{
    if (slice_eq(target, SLICE("*")))
        return true;
    return target.len > 0 && target.ptr[0] == '/' && has_target_bytes(target);
}

void http_target_split(struct slice target, struct slice *path, struct slice *query)
{
    size_t mark = slice_find(target, '?', 0);

    *path = slice_sub(target, 0, mark);
    *query = mark < target.len ? slice_sub(target, mark + 1, target.len) : SLICE_NONE;
}

bool http_query_next(struct slice *rest, struct slice *parameter)
{
    size_t end;

    if (rest->ptr == NULL)
        return false;
    end = slice_find(*rest, '&', 0);
    *parameter = slice_sub(*rest, 0, end);
    *rest = end < rest->len ? slice_sub(*rest, end + 1, rest->len) : SLICE_NONE;
    return true;
}

struct slice http_parameter_name(struct slice parameter, struct arena *a)
{
    return http_percent_decode(slice_sub(parameter, 0, slice_find(parameter, '=', 0)), a);
}

struct slice http_percent_decode(struct slice raw, struct arena *a)
{
    char  *out;
    size_t used = 0;

    if (slice_find(raw, '%', 0) == raw.len)
        return raw;
    out = arena_alloc_raw(a, raw.len);
    for (size_t i = 0; i < raw.len; i++) {
        int byte = percent_byte(raw, i);

        out[used++] = byte >= 0 ? (char)byte : raw.ptr[i];
        if (byte >= 0)
            i += 2;
    }
    return (struct slice){ out, used };
}
