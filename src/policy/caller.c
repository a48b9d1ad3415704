/*
 * One pass over the credentials for each hash.  This runs for every request:
 * cookies are parsed only where there is a Cookie field, and the account is
 * hashed apart only where it is another than the partition.
 */
#include "policy/caller.h"

#include "http/cookie.h"
#include "http/url.h"
#include "policy/digest.h"

enum { SCHEME_BYTES = 16 };

bool policy_list_has(const char *const *list, struct slice name)
{
    for (; list != NULL && *list != NULL; list++)
        if (slice_eq(name, slice_of(*list)))
            return true;
    return false;
}

bool policy_list_has_nocase(const char *const *list, struct slice name)
{
    for (; list != NULL && *list != NULL; list++)
        if (slice_eq_nocase(name, slice_of(*list)))
            return true;
    return false;
}

/* ---- cookies ---- */

void policy_cookie_firsts(const char *const *patterns, uint64_t firsts[4])
{
    memset(firsts, 0, 4 * sizeof *firsts);
    for (; patterns != NULL && *patterns != NULL; patterns++) {
        unsigned char first = (unsigned char)**patterns;

        if (first == '*')
            memset(firsts, 0xff, 4 * sizeof *firsts);
        firsts[first / 64] |= UINT64_C(1) << first % 64;
    }
}

static bool may_be_ignored(const struct policy_options *o, unsigned char first)
{
    const uint64_t *f = o->cookie_firsts;

    return (f[first / 64] >> first % 64 & 1) != 0 || (f[0] | f[1] | f[2] | f[3]) == 0;
}

bool policy_cookie_is_ignored(const struct policy_options *o, struct slice name)
{
    if (name.len == 0 || !may_be_ignored(o, (unsigned char)name.ptr[0]))
        return false;
    for (const char *const *p = o->ignore_cookies; p != NULL && *p != NULL; p++)
        if ((**p == name.ptr[0] || **p == '*') && slice_matches(slice_of(*p), name))
            return true;
    return false;
}

/* Neither a comma nor white space stands in the value of a cookie (RFC 6265 4.1.1), but some servers, and RFC 2965
 * before, read another cookie after it: it may be the one that says who. */
static bool is_one_ignored(const struct policy_options *o, struct slice pair)
{
    struct slice value = http_cookie_value(pair);

    return policy_cookie_is_ignored(o, http_cookie_name(pair)) && slice_find(value, ',', 0) == value.len &&
           slice_find(value, ' ', 0) == value.len && slice_find(value, '\t', 0) == value.len;
}

struct slice policy_cookies_that_count(const struct policy_options *o, struct slice cookies, struct arena *a)
{
    struct slice rest = cookies, pair;
    bool         any = false;
    char        *text, *at;

    while (!any && http_cookie_next(&rest, &pair))
        any = is_one_ignored(o, pair);
    if (!any)
        return cookies;
    text = at = arena_alloc_raw(a, cookies.len + 1);
    for (rest = cookies; http_cookie_next(&rest, &pair);) {
        if (is_one_ignored(o, pair))
            continue;
        if (at > text) {
            *at++ = ';';
            *at++ = ' ';
        }
        at = (char *)memcpy(at, pair.ptr, pair.len) + pair.len;
    }
    return (struct slice){ text, (size_t)(at - text) };
}

/* ---- credentials ---- */

static bool each_header(const struct policy_options *o, const struct http_fields *f, struct slice wanted,
                        struct arena *a, policy_credential_each each, void *context)
{
    for (int at = http_fields_find_name(f, wanted, 0); at >= 0;
         at = http_fields_find_name(f, wanted, (unsigned)at + 1)) {
        struct slice value = f->items[at].value;

        if (f->items[at].id == HTTP_COOKIE) {
            value = policy_cookies_that_count(o, value, a);
            if (value.len == 0)
                continue;
        }
        if (!each(context, 'h', wanted, value))
            return false;
    }
    return true;
}

void policy_each_credential(const struct policy_options *o, const struct key_input *in, struct arena *a,
                            policy_credential_each each, void *context)
{
    struct slice path, query, parameter;

    for (const char *const *name = o->credential_headers; name != NULL && *name != NULL; name++)
        if (!each_header(o, &in->request->fields, slice_of(*name), a, each, context))
            return;
    if (o->credential_params == NULL || o->credential_params[0] == NULL)
        return;
    http_target_split(in->target, &path, &query);
    while (http_query_next(&query, &parameter)) {
        struct slice name = http_parameter_name(parameter, a);
        size_t       equals = slice_find(parameter, '=', 0);

        if (policy_list_has(o->credential_params, name) &&
            !each(context, 'p', name, slice_sub(parameter, equals + 1, parameter.len)))
            return;
    }
}

/* ---- hashing ---- */

struct digesting {
    struct digest           *digest; /* NULL: only what there is, is asked */
    const struct key_secret *secret;
    const struct key_input  *in;
    struct arena            *arena;
    bool                     no_cookies; /* they do not count */
    bool                     any, cookies, explicit;
};

/* RFC 9110 11.1: a scheme is the same in any case.  "bearer  x" is "Bearer x". */
static struct slice same_scheme(struct slice value, struct arena *a)
{
    size_t       space = slice_find(value, ' ', 0);
    struct slice rest = slice_trim(slice_sub(value, space, value.len));
    char         scheme[SCHEME_BYTES];
    bool         same = space + 1 + rest.len == value.len;

    if (space == value.len || space > sizeof scheme || space == 0)
        return value;
    for (size_t i = 0; i < space; i++) {
        char c = value.ptr[i];

        if (i == 0 && c >= 'a' && c <= 'z')
            c = (char)(c & ~0x20);
        else if (i > 0 && c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        scheme[i] = c;
        same = same && c == value.ptr[i];
    }
    return same ? value : ARENA_JOIN(a, ((struct slice){ scheme, space }), SLICE(" "), rest);
}

static bool digest_credential(void *context, char kind, struct slice name, struct slice value)
{
    struct digesting *d = context;
    struct slice      named = d->in->credential_field, known = d->in->credential_value;
    bool              same = kind == 'h' ? slice_eq_nocase(name, named) : slice_eq(name, named);
    bool              cookie = kind == 'h' && slice_eq_nocase(name, SLICE("Cookie"));
    bool              authorization = kind == 'h' && slice_eq_nocase(name, SLICE("Authorization"));

    /* Beside the token of a principal there may be somebody else's: the API may read that one. */
    if ((named.ptr != NULL && same && (known.ptr == NULL || slice_eq(value, known))) || (cookie && d->no_cookies) ||
        (authorization && d->in->signature.by_authorization))
        return true;
    d->any = true;
    d->cookies = d->cookies || cookie;
    d->explicit = d->explicit || !cookie;
    if (d->digest != NULL)
        digest_add(d->digest, d->secret, kind, name, authorization ? same_scheme(value, d->arena) : value);
    return true;
}

/* Names first, then what the request brings. */
static void digest_all(const struct policy_options *o, struct digesting *d)
{
    const struct key_input *in = d->in;

    if (in->credential_name.ptr != NULL) {
        d->any = d->explicit = true;
        if (d->digest != NULL)
            digest_add(d->digest, d->secret, 'n', in->credential_name, SLICE(""));
    }
    if (in->signature.is_signed) {
        d->any = d->explicit = true;
        if (d->digest != NULL)
            digest_add(d->digest, d->secret, 's', in->signature.identity, in->signer);
    }
    if (in->credential_name.ptr == NULL || in->credential_field.ptr != NULL)
        policy_each_credential(o, in, d->arena, digest_credential, d);
}

struct caller policy_caller(const struct policy_options *o, const struct key_secret *secret, const struct key_input *in,
                            struct arena *a)
{
    struct digest    digest;
    struct digesting d = { .digest = o->shared ? NULL : &digest, .secret = secret, .in = in, .arena = a };
    struct caller    c;

    digest.any = false;
    digest_all(o, &d);
    digest_end(&digest, c.partition.bytes);
    c.has_credential = d.any;
    c.is_explicit = d.explicit;
    c.account_differs = d.any && (o->shared || (d.cookies && d.explicit));
    return c;
}

struct partition policy_partition(const struct policy_options *o, const struct key_secret *secret,
                                  const struct key_input *in, struct arena *a)
{
    return policy_caller(o, secret, in, a).partition;
}

struct partition policy_account(const struct policy_options *o, const struct key_secret *secret,
                                const struct key_input *in, struct arena *a)
{
    struct digest    digest;
    struct digesting d = { .digest = &digest, .secret = secret, .in = in, .arena = a, .no_cookies = true };
    struct partition p;

    digest.any = false;
    digest_all(o, &d);
    if (!d.any) {
        d.no_cookies = false;
        digest_all(o, &d);
    }
    digest_end(&digest, p.bytes);
    return p;
}
