/*
 * Partition and key, built in one pass over the target with the memory for
 * the longest result taken at once: this runs for every request.
 */
#include "policy/key.h"

#include "http/cache_control.h"
#include "http/encoding.h"
#include "http/hop.h"
#include "http/media.h"
#include "http/multipart.h"
#include "http/url.h"
#include "policy/body.h"
#include "policy/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>

enum { HEX_BYTES = 2 * PARTITION_BYTES };

/* ---- small helpers ---- */

static char *put(char *at, struct slice s)
{
    if (s.len > 0)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

static char *put_hex(char *at, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 15];
    }
    return at;
}

static void hash_fast(uint8_t out[KEY_HASH_BYTES], struct slice text)
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(text.ptr, text.len));
    _Static_assert(sizeof canonical.digest == KEY_HASH_BYTES, "XXH3-128");
    memcpy(out, canonical.digest, KEY_HASH_BYTES);
}

static void hash_secret(uint8_t out[PARTITION_BYTES], const struct key_secret *secret, struct slice text)
{
    crypto_generichash(out, PARTITION_BYTES, (const unsigned char *)text.ptr, text.len, secret->bytes,
                       KEY_SECRET_BYTES);
}

/* ---- the key's text ---- */

static bool is_zero(const struct partition *p)
{
    static const struct partition zero;

    return memcmp(p, &zero, sizeof zero) == 0;
}

/* GET and HEAD share what is stored (RFC 9111 4: a GET's response answers a HEAD). */
static struct slice key_method(const struct http_request *r)
{
    return r->method == HTTP_HEAD ? SLICE("GET") : r->method_name;
}

static bool looks_at_parameters(const struct policy_options *o, const struct key_input *in)
{
    return in->signature.query != NULL || (o->ignore_params != NULL && o->ignore_params[0] != NULL) ||
           (o->credential_params != NULL && o->credential_params[0] != NULL) || o->bust_param != NULL || o->sort_params;
}

/* What signs is another each time, and whose it is the partition says. */
static bool is_left_out(const struct policy_options *o, const struct key_input *in, struct slice name)
{
    return policy_list_has(o->ignore_params, name) || policy_signature_has(in->signature.query, name) ||
           (o->bust_param != NULL && slice_eq(name, slice_of(o->bust_param)));
}

/*
 * "name=" and what stands for the value, with the parameter's own spelling of
 * the name.  The partition has the value already, and there the tokens of one
 * identity are one; without a partition the hash keeps apart what a
 * parameter named "key" or "token" may well tell apart.
 */
static char *put_credential(char *at, const struct policy_options *o, const struct key_secret *secret,
                            struct slice parameter)
{
    size_t  equals = slice_find(parameter, '=', 0);
    uint8_t hash[PARTITION_BYTES];

    at = put(at, slice_sub(parameter, 0, equals));
    *at++ = '=';
    if (!o->shared)
        return put(at, SLICE("*"));
    hash_secret(hash, secret, slice_sub(parameter, equals + 1, parameter.len));
    return put_hex(at, hash, sizeof hash);
}

/* The query with "?", or nothing where all of it is left out. */
static char *put_query(char *at, const struct policy_options *o, const struct key_secret *secret,
                       const struct key_input *in, struct slice query, struct arena *a)
{
    char         before = '?';
    struct slice parameter;

    while (http_query_next(&query, &parameter)) {
        struct slice name = http_parameter_name(parameter, a);

        if (is_left_out(o, in, name))
            continue;
        *at++ = before;
        before = '&';
        if (policy_list_has(o->credential_params, name))
            at = put_credential(at, o, secret, parameter);
        else
            at = put(at, parameter);
    }
    return at;
}

/* -- sort_params -- */

struct named_parameter {
    struct slice name, text;
};

/* By name, and equal names in their order, which is the parameters' in the text. */
static int compare_parameters(const void *one, const void *two)
{
    const struct named_parameter *a = one, *b = two;
    const int                     order = slice_compare(a->name, b->name);

    return order != 0 ? order : a->text.ptr < b->text.ptr ? -1 : 1;
}

/* The query of a key, from its "?" on: its parameters change places. */
static void sort_query(char *query, size_t bytes, struct arena *a)
{
    struct slice            rest = slice_sub(arena_copy(a, (struct slice){ query, bytes }), 1, bytes), parameter;
    size_t                  count = 0;
    struct named_parameter *all;

    for (size_t i = 0; i < bytes; i++)
        count += query[i] == '&';
    all = arena_alloc_raw(a, (count + 1) * sizeof *all);
    for (count = 0; http_query_next(&rest, &parameter); count++)
        all[count] = (struct named_parameter){ http_parameter_name(parameter, a), parameter };
    qsort(all, count, sizeof *all, compare_parameters);
    for (size_t i = 0; i < count; i++) {
        *query++ = i == 0 ? '?' : '&';
        query = put(query, all[i].text);
    }
}

static char *put_target(char *at, const struct policy_options *o, const struct key_secret *secret,
                        const struct key_input *in, struct arena *a)
{
    struct slice path, query;
    char        *end;

    http_target_split(in->target, &path, &query);
    at = put(at, path);
    end = put_query(at, o, secret, in, query, a);
    if (o->sort_params && end > at)
        sort_query(at, (size_t)(end - at), a);
    return end;
}

/* Room for put_target(): each parameter may become a hash. */
static size_t target_room(struct slice target)
{
    size_t parameters = 1;

    for (size_t i = slice_find(target, '&', 0); i < target.len; i = slice_find(target, '&', i + 1))
        parameters++;
    return target.len + parameters * (HEX_BYTES + 1);
}

/* ---- what the settings add to the key ---- */

/* A field that signs is the partition's. */
static bool is_of_signature(const struct key_input *in, struct slice name)
{
    return (in->signature.by_authorization && slice_eq_nocase(name, SLICE("Authorization"))) ||
           (in->signature.is_signed && policy_signature_field(http_name_parse(name)));
}

static struct slice header_value(const struct policy_options *o, const struct key_secret *secret,
                                 const struct key_input *in, struct slice name, struct arena *a)
{
    const struct http_request *r = in->request;
    struct slice               value;
    uint8_t                    hash[PARTITION_BYTES];
    char                      *hex;

    if (http_name_stays_here(name) || is_of_signature(in, name) || http_fields_find_name(&r->fields, name, 0) < 0)
        return SLICE_NONE;
    if (slice_eq_nocase(name, SLICE("accept-encoding")))
        return http_accept_encoding_normalise(&r->fields, a);
    if (slice_eq_nocase(name, SLICE("accept-language")))
        return http_accept_language_normalise(&r->fields, a);
    value = http_fields_join(&r->fields, name, a);
    if (slice_eq_nocase(name, SLICE("cookie")))
        value = policy_cookies_that_count(o, value, a);
    if (!policy_list_has_nocase(o->credential_headers, name))
        return value;
    hash_secret(hash, secret, value);
    hex = arena_alloc_raw(a, HEX_BYTES);
    put_hex(hex, hash, sizeof hash);
    return (struct slice){ hex, HEX_BYTES };
}

static void digest_field(struct digest *d, const struct key_secret *secret, const struct http_request *r,
                         enum http_name id)
{
    digest_add(d, secret, 'f', slice_of(http_name_text(id)), http_fields_get(&r->fields, id));
}

/* A form that signs (RFC 5849 3.5.2): what it says besides. */
static void digest_form(struct digest *d, const struct key_secret *secret, const struct key_input *in, struct arena *a)
{
    struct slice rest = in->body, parameter;

    while (http_query_next(&rest, &parameter))
        if (!policy_signature_has(in->signature.form, http_parameter_name(parameter, a)))
            digest_add(d, secret, 'q', SLICE(""), parameter);
}

/* May two bodies that say the same be one?  RFC 10008 2.7: with knowledge of the content's type, and not where the
 * client wants none of that.  A rule that says key_body knows it. */
static bool is_told_by_content(const struct key_input *in)
{
    const struct http_fields *f = &in->request->fields;
    struct slice              type = http_fields_get(f, HTTP_CONTENT_TYPE);

    if (in->signature.form != NULL)
        return false;
    return in->request->method != HTTP_QUERY ||
           ((http_media_is_json(type) || http_multipart_boundary(type).ptr != NULL) &&
            http_fields_find(f, HTTP_CONTENT_ENCODING, 0) < 0 &&
            (cache_control_of_request(f).flags & CC_NO_TRANSFORM) == 0);
}

/* A multipart body by its parts: its boundary, which the type names too, is another one each time.  False: it is none,
 * and nothing is added. */
static bool digest_parts(struct digest *d, const struct key_secret *secret, const struct key_input *in)
{
    const struct http_fields *f = &in->request->fields;
    struct slice              type = http_fields_get(f, HTTP_CONTENT_TYPE), boundary, head, content;
    struct digest             before = *d;
    struct http_multipart     m;

    if (http_fields_find(f, HTTP_CONTENT_ENCODING, 0) >= 0 || !http_multipart_open(&m, type, in->body))
        return false;
    boundary = http_multipart_boundary(type);
    digest_add(d, secret, 'm', slice_sub(type, 0, (size_t)(boundary.ptr - type.ptr)),
               slice_sub(type, (size_t)(boundary.ptr - type.ptr) + boundary.len, type.len));
    while (http_multipart_next(&m, &head, &content))
        digest_add(d, secret, 'p', head, content);
    if (!m.is_whole)
        *d = before;
    return m.is_whole;
}

/* The bytes, their type and their coding. */
static void digest_bytes(struct digest *d, const struct key_secret *secret, const struct key_input *in, struct arena *a)
{
    digest_field(d, secret, in->request, HTTP_CONTENT_TYPE);
    digest_field(d, secret, in->request, HTTP_CONTENT_ENCODING);
    if (in->signature.form != NULL)
        digest_form(d, secret, in, a);
    else
        digest_add(d, secret, 'r', SLICE(""), in->body);
}

/* JSON and what has parts by what they say, anything else by its bytes; the content of a QUERY by its type always. */
static void hash_body(uint8_t out[PARTITION_BYTES], const struct policy_options *o, const struct key_secret *secret,
                      const struct key_input *in, struct arena *a)
{
    bool          by_content = is_told_by_content(in);
    struct digest d = { .any = false };
    size_t        length = 0;
    char         *canonical = NULL;

    if (in->request->method == HTTP_QUERY)
        digest_field(&d, secret, in->request, HTTP_CONTENT_LANGUAGE);
    if (!by_content || !digest_parts(&d, secret, in)) {
        if (by_content)
            canonical = policy_body_canonical(in->body, o->ignore_body, &length);
        if (canonical != NULL && in->request->method == HTTP_QUERY)
            digest_field(&d, secret, in->request, HTTP_CONTENT_TYPE);
        if (canonical != NULL)
            digest_add(&d, secret, 'j', SLICE(""), (struct slice){ canonical, length });
        else
            digest_bytes(&d, secret, in, a);
    }
    digest_end(&d, out);
    free(canonical);
}

/* All of it, each line begun by its LF; empty for most. */
static struct slice key_extras(const struct policy_options *o, const struct key_secret *secret,
                               const struct key_input *in, struct arena *a)
{
    struct slice extras = SLICE("");

    for (const char *const *name = o->match_headers; name != NULL && *name != NULL; name++) {
        struct slice value = header_value(o, secret, in, slice_of(*name), a);
        struct slice wanted = slice_of(*name);
        char        *longer = arena_alloc_raw(a, extras.len + wanted.len + value.len + 3);
        char        *at = put(longer, extras);

        *at++ = '\n';
        at = put(at, wanted);
        if (value.ptr != NULL) {
            at = put(at, SLICE(": "));
            at = put(at, value);
        }
        extras = (struct slice){ longer, (size_t)(at - longer) };
    }
    if ((o->key_body || in->request->method == HTTP_QUERY) && in->body.ptr != NULL && in->body.len > 0) {
        char   *longer = arena_alloc_raw(a, extras.len + 2 + HEX_BYTES);
        char   *at = put(put(longer, extras), SLICE("\n#"));
        uint8_t hash[PARTITION_BYTES];

        hash_body(hash, o, secret, in, a);
        at = put_hex(at, hash, sizeof hash);
        extras = (struct slice){ longer, (size_t)(at - longer) };
    }
    return extras;
}

/* Partition and URL without its query: for all methods the same.  Half of the partition's hash is
 * plenty here: where two fell together, an invalidation would reach too far, and no more. */
void policy_path_tag(const struct partition *p, struct slice url, uint8_t out[KEY_HASH_BYTES])
{
    uint64_t           seed;
    XXH128_canonical_t canonical;

    memcpy(&seed, p->bytes, sizeof seed);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(url.ptr, slice_find(url, '?', 0), seed));
    memcpy(out, canonical.digest, KEY_HASH_BYTES);
}

struct cache_key policy_key(const struct policy_options *o, const struct key_secret *secret, const struct key_input *in,
                            const struct partition *p, struct arena *a)
{
    struct slice method = key_method(in->request);
    struct slice extras = key_extras(o, secret, in, a);
    const bool   as_it_is = !looks_at_parameters(o, in);
    size_t       room = HEX_BYTES + 5 + method.len + in->scheme.len + in->authority.len +
                  (as_it_is ? in->target.len : target_room(in->target)) + extras.len;
    char            *text = arena_alloc_raw(a, room), *at = text, *url;
    struct cache_key key;

    if (is_zero(p))
        *at++ = '-';
    else
        at = put_hex(at, p->bytes, sizeof p->bytes);
    *at++ = ' ';
    at = put(at, method);
    *at++ = ' ';
    url = at;
    at = put(at, in->scheme);
    at = put(at, SLICE("://"));
    at = put(at, in->authority);
    at = as_it_is ? put(at, in->target) : put_target(at, o, secret, in, a);
    policy_path_tag(p, (struct slice){ url, (size_t)(at - url) }, key.path_tag);
    at = put(at, extras);
    key.full = (struct slice){ text, (size_t)(at - text) };
    hash_fast(key.hash, key.full);
    return key;
}

struct slice policy_key_url(struct slice full)
{
    size_t       partition = slice_find(full, ' ', 0);
    struct slice url = slice_sub(full, slice_find(full, ' ', partition + 1) + 1, full.len);

    return slice_sub(url, 0, slice_find(url, '\n', 0));
}

bool policy_key_selects(const struct policy_options *o, struct slice full, const struct http_fields *request,
                        struct arena *a)
{
    const struct http_request r = { .fields = *request };
    const struct key_input    in = { .request = &r };
    size_t                    at = slice_find(full, '\n', 0);

    for (const char *const *each = o->match_headers; each != NULL && *each != NULL; each++) {
        const struct slice name = slice_of(*each), rest = slice_sub(full, at + 1, full.len);
        const struct slice line = slice_sub(rest, 0, slice_find(rest, '\n', 0));
        const bool         has_value = name.len < line.len && line.ptr[name.len] == ':';
        struct slice       value;

        if (at == full.len || !slice_starts_with(line, name) || (name.len < line.len && !has_value))
            return false;
        at += 1 + line.len;
        if (policy_list_has_nocase(o->credential_headers, name))
            continue;
        value = header_value(o, NULL, &in, name, a);
        if (has_value != (value.ptr != NULL) || !slice_eq(slice_sub(line, name.len + 2, line.len), value))
            return false;
    }
    return at == full.len || full.ptr[at + 1] == '#';
}

struct slice policy_key_origin(struct slice full)
{
    struct slice url = policy_key_url(full);

    return slice_sub(url, 0, slice_find(url, '/', slice_find(url, ':', 0) + 3));
}

struct slice policy_bare_target(const struct policy_options *o, const struct key_input *in, struct arena *a)
{
    struct slice path, query, parameter;
    char        *text, *at, before = '?';

    http_target_split(in->target, &path, &query);
    if (query.ptr == NULL)
        return in->target;
    text = at = arena_alloc_raw(a, in->target.len + 1);
    at = put(at, path);
    while (http_query_next(&query, &parameter)) {
        struct slice name = http_parameter_name(parameter, a);

        if (policy_list_has(o->credential_params, name) || policy_signature_has(in->signature.query, name))
            continue;
        *at++ = before;
        before = '&';
        at = put(at, parameter);
    }
    return (struct slice){ text, (size_t)(at - text) };
}

static bool is_redacted(const struct policy_options *o, struct slice name)
{
    return policy_list_has(o->credential_params, name) || policy_signature_secret(name);
}

struct slice policy_redact_target(const struct policy_options *o, struct slice target, struct arena *a)
{
    struct slice path, query, parameter;
    char        *text, *at;

    http_target_split(target, &path, &query);
    if (query.ptr == NULL)
        return target;
    text = at = arena_alloc_raw(a, target_room(target));
    at = put(at, path);
    for (char before = '?'; http_query_next(&query, &parameter); before = '&') {
        *at++ = before;
        if (is_redacted(o, http_parameter_name(parameter, a)))
            at = put(put(at, slice_sub(parameter, 0, slice_find(parameter, '=', 0))), SLICE("=***"));
        else
            at = put(at, parameter);
    }
    return (struct slice){ text, (size_t)(at - text) };
}
