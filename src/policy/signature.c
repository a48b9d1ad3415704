/*
 * The tables: a row for each scheme of Authorization, and one for each family
 * of query parameters.  A row counts only where its signature is there as well
 * as what it names: "OAuth TOKEN" and a parameter "Signature" alone are ordinary.
 */
#include "policy/signature.h"

#include "http/list.h"
#include "http/structured.h"
#include "http/url.h"

#include <string.h>

enum { NAMES_MAX = 3, PARAMETERS_MAX = 12 };

/* ---- what is named ---- */

/* The length stands before the text, so that no two sets read the same. */
static void name_identity(struct signature *s, struct slice kind, struct slice value, struct arena *a)
{
    s->identity = arena_printf(a, SLICE_FMT " %zu:" SLICE_FMT, SLICE_ARG(s->identity.ptr != NULL ? s->identity : kind),
                               value.len, SLICE_ARG(value));
}

/* "AKID/20250101/eu-west-1/s3/aws4_request" is the credential AKID and its scope; a user's name may hold any byte. */
static struct slice named(const char *name, struct slice value, struct arena *a)
{
    struct slice plain = http_percent_decode(value, a);

    if (slice_ends_with(slice_of(name), SLICE("redential")))
        plain = slice_sub(plain, 0, slice_find(plain, '/', 0));
    return plain;
}

/* ---- Authorization ---- */

enum form { FORM_PARAMETERS, FORM_KEY_COLON, FORM_OPAQUE };

static const struct scheme {
    struct slice name; /* of the scheme; its beginning where `is_prefix` */
    bool         is_prefix;
    enum form    form;
    char         between;          /* FORM_PARAMETERS: what stands between them */
    const char  *mark;             /* the parameter that signs */
    const char  *names[NAMES_MAX]; /* those that say who */
} schemes[] = {
#define SCHEME(text, prefix, ...) \
    { \
        { text, sizeof(text) - 1 }, prefix, __VA_ARGS__ \
    }
    SCHEME("OAuth", false, FORM_PARAMETERS, ',', "oauth_signature",
           { "oauth_consumer_key", "oauth_token", "xoauth_requestor_id" }),
    SCHEME("Digest", false, FORM_PARAMETERS, ',', "response", { "username", "username*", "realm" }),
    SCHEME("Hawk", false, FORM_PARAMETERS, ',', "mac", { "id", "app" }),
    SCHEME("Signature", false, FORM_PARAMETERS, ',', "signature", { "keyId" }),
    SCHEME("AWS4-", true, FORM_PARAMETERS, ',', "Signature", { "Credential" }),
    SCHEME("GOOG4-", true, FORM_PARAMETERS, ',', "Signature", { "Credential" }),
    SCHEME("TC3-", true, FORM_PARAMETERS, ',', "Signature", { "Credential" }),
    SCHEME("ACS3-", true, FORM_PARAMETERS, ',', "Signature", { "Credential" }),
    SCHEME("OSS4-", true, FORM_PARAMETERS, ',', "Signature", { "Credential" }),
    SCHEME("EG1-", true, FORM_PARAMETERS, ';', "signature", { "client_token", "access_token" }),
    SCHEME("HMAC-SHA256", false, FORM_PARAMETERS, '&', "Signature", { "Credential" }),
    SCHEME("AWS", false, FORM_KEY_COLON, 0, NULL, { NULL }),
    SCHEME("OSS", false, FORM_KEY_COLON, 0, NULL, { NULL }),
    SCHEME("acs", false, FORM_KEY_COLON, 0, NULL, { NULL }),
    SCHEME("SharedKey", false, FORM_KEY_COLON, 0, NULL, { NULL }),
    SCHEME("SharedKeyLite", false, FORM_KEY_COLON, 0, NULL, { NULL }),
    SCHEME("Negotiate", false, FORM_OPAQUE, 0, NULL, { NULL }),
    SCHEME("NTLM", false, FORM_OPAQUE, 0, NULL, { NULL }),
#undef SCHEME
};

static const struct scheme *scheme_of(struct slice name)
{
    if (slice_eq_nocase(name, SLICE("Bearer")) || slice_eq_nocase(name, SLICE("Basic")))
        return NULL; /* nearly all */
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const struct scheme *s = &schemes[i];

        if (slice_eq_nocase(s->is_prefix ? slice_sub(name, 0, s->name.len) : name, s->name))
            return s;
    }
    return NULL;
}

static bool next_parameter(char between, struct http_list *list, struct slice *rest, struct slice *parameter)
{
    size_t end;

    if (between == ',')
        return http_list_next(list, parameter);
    if (rest->len == 0)
        return false;
    end = slice_find(*rest, between, 0);
    *parameter = slice_trim(slice_sub(*rest, 0, end));
    *rest = slice_sub(*rest, end + 1, rest->len);
    return true;
}

static int index_of(const struct scheme *s, struct slice name)
{
    for (int i = 0; i < NAMES_MAX && s->names[i] != NULL; i++)
        if (slice_eq_nocase(name, slice_of(s->names[i])))
            return i;
    return -1;
}

/* The names in the order of the table, whatever theirs is in the field. */
static void read_parameters(const struct scheme *s, struct slice text, struct arena *a, struct signature *out)
{
    struct slice     values[NAMES_MAX] = { SLICE_NONE }, parameter;
    struct http_list list = http_list_of_value(text);
    char             between = slice_find(text, s->between, 0) < text.len ? s->between : ',';

    while (next_parameter(between, &list, &text, &parameter)) {
        struct slice name, value;
        int          at;

        http_split_parameter(parameter, &name, &value);
        out->is_signed = out->is_signed || slice_eq_nocase(name, slice_of(s->mark));
        at = index_of(s, name);
        if (at >= 0 && value.ptr != NULL)
            values[at] = http_unquote(slice_trim(value), a);
    }
    for (int i = 0; i < NAMES_MAX && out->is_signed; i++)
        if (values[i].len > 0)
            name_identity(out, s->name, named(s->names[i], values[i], a), a);
}

static bool is_credential_field(const struct policy_options *o, struct slice name)
{
    for (const char *const *c = o->credential_headers; c != NULL && *c != NULL; c++)
        if (slice_eq_nocase(name, slice_of(*c)))
            return true;
    return false;
}

static void read_authorization(const struct policy_options *o, struct slice value, struct arena *a,
                               struct signature *out)
{
    size_t               space = slice_find(value, ' ', 0);
    const struct scheme *s = scheme_of(slice_sub(value, 0, space));
    struct slice         rest = slice_trim(slice_sub(value, space, value.len));
    size_t               colon = slice_find(rest, ':', 0);

    if (s == NULL || !is_credential_field(o, SLICE("Authorization")))
        return;
    switch (s->form) {
    case FORM_PARAMETERS:
        read_parameters(s, rest, a, out);
        break;
    case FORM_KEY_COLON:
        if (colon == 0 || colon == rest.len)
            return;
        out->is_signed = true;
        name_identity(out, s->name, slice_sub(rest, 0, colon), a);
        break;
    case FORM_OPAQUE:
        out->is_signed = true;
        break;
    }
    out->by_authorization = out->is_signed;
}

/* ---- Signature-Input, and Signature as it was before the standard ---- */

/* RFC 9421 4.1: a dictionary; each member has its parameters, keyid among them (2.3). */
static void read_input(struct slice value, struct arena *a, struct signature *out)
{
    struct sf_members d;

    out->is_signed = true;
    if (!sf_parse_dictionary(value, a, &d))
        return;
    for (unsigned i = 0; i < d.count; i++)
        for (unsigned k = 0; k < d.items[i].parameter_count; k++)
            if (slice_eq(d.items[i].parameters[k].key, SLICE("keyid")))
                name_identity(out, SLICE("message"), d.items[i].parameters[k].value.text, a);
}

static void read_fields(const struct http_fields *f, struct arena *a, struct signature *out)
{
    static const struct scheme before = { .name = { "Signature", 9 },
                                          .between = ',',
                                          .mark = "signature",
                                          .names = { "keyId" } };
    struct slice               input = http_fields_join(f, SLICE("Signature-Input"), a);

    if (input.ptr != NULL)
        read_input(input, a, out);
    else if (http_fields_find(f, HTTP_SIGNATURE, 0) >= 0)
        read_parameters(&before, http_fields_get(f, HTTP_SIGNATURE), a, out);
}

/* ---- the query, or a form ---- */

struct signed_query {
    const char *mark;                   /* the parameter that signs */
    const char *names[NAMES_MAX];       /* those that say who: the first must be there */
    const char *others[PARAMETERS_MAX]; /* what else belongs to it */
};

static const struct signed_query queries[] = {
    { "oauth_signature",
      { "oauth_consumer_key", "oauth_token" },
      { "oauth_signature_method", "oauth_timestamp", "oauth_nonce", "oauth_version", "oauth_body_hash" } },
    { "X-Amz-Signature",
      { "X-Amz-Credential" },
      { "X-Amz-Algorithm", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Security-Token" } },
    { "X-Goog-Signature",
      { "X-Goog-Credential" },
      { "X-Goog-Algorithm", "X-Goog-Date", "X-Goog-Expires", "X-Goog-SignedHeaders" } },
    { "x-oss-signature",
      { "x-oss-credential" },
      { "x-oss-signature-version", "x-oss-date", "x-oss-expires", "x-oss-additional-headers",
        "x-oss-security-token" } },
    { "Signature",
      { "AWSAccessKeyId" },
      { "Expires", "Timestamp", "SignatureMethod", "SignatureVersion", "x-amz-security-token" } },
    { "Signature", { "GoogleAccessId" }, { "Expires" } },
    { "Signature", { "OSSAccessKeyId" }, { "Expires", "security-token" } },
    { "Signature", { "Key-Pair-Id" }, { "Expires", "Policy" } },
};

static bool is_among(const char *const *names, size_t most, struct slice name)
{
    for (size_t i = 0; i < most && names[i] != NULL; i++)
        if (slice_eq_nocase(name, slice_of(names[i])))
            return true;
    return false;
}

bool policy_signature_has(const struct signed_query *q, struct slice name)
{
    return q != NULL && (slice_eq_nocase(name, slice_of(q->mark)) || is_among(q->names, NAMES_MAX, name) ||
                         is_among(q->others, PARAMETERS_MAX, name));
}

/* The first of that name; ptr NULL where there is none. */
static struct slice value_in(struct slice query, const char *wanted, struct arena *a)
{
    struct slice parameter;

    while (wanted != NULL && http_query_next(&query, &parameter))
        if (slice_eq_nocase(http_parameter_name(parameter, a), slice_of(wanted)))
            return slice_sub(parameter, slice_find(parameter, '=', 0) + 1, parameter.len);
    return SLICE_NONE;
}

static const struct signed_query *read_query(struct slice query, struct arena *a, struct signature *out)
{
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        const struct signed_query *q = &queries[i];

        if (value_in(query, q->mark, a).ptr == NULL || value_in(query, q->names[0], a).ptr == NULL)
            continue;
        out->is_signed = true;
        for (int k = 0; k < NAMES_MAX && q->names[k] != NULL; k++) {
            struct slice value = value_in(query, q->names[k], a);

            if (value.len > 0)
                name_identity(out, slice_of(q->names[0]), named(q->names[k], value, a), a);
        }
        return q;
    }
    return NULL;
}

/* All marks end so: most targets are done with here. */
static bool may_sign(struct slice text)
{
    return text.len > 0 && memmem(text.ptr, text.len, "ignature", 8) != NULL;
}

static bool is_form(const struct http_request *r)
{
    static const struct slice form = { "application/x-www-form-urlencoded", 33 };

    return slice_eq_nocase(slice_sub(http_fields_get(&r->fields, HTTP_CONTENT_TYPE), 0, form.len), form);
}

void policy_signature(const struct policy_options *o, const struct http_request *r, struct slice target,
                      struct slice body, struct arena *a, struct signature *out)
{
    size_t mark = slice_find(target, '?', 0);
    bool   by_field = false;

    *out = (struct signature){ .is_signed = false };
    for (unsigned i = 0; i < r->fields.count; i++) {
        enum http_name id = r->fields.items[i].id;

        if (id == HTTP_AUTHORIZATION && !out->by_authorization)
            read_authorization(o, r->fields.items[i].value, a, out);
        by_field = by_field || policy_signature_field(id);
    }
    /* Of two nobody knows which one the API reads. */
    out->by_authorization = out->by_authorization && http_fields_count(&r->fields, HTTP_AUTHORIZATION) == 1;
    if (by_field)
        read_fields(&r->fields, a, out);
    if (mark < target.len && may_sign(slice_sub(target, mark + 1, target.len)))
        out->query = read_query(slice_sub(target, mark + 1, target.len), a, out);
    if (body.ptr != NULL && is_form(r) && may_sign(body))
        out->form = read_query(body, a, out);
}

bool policy_is_signed_by_fields(const struct http_fields *request, struct arena *a)
{
    struct signature s = { .is_signed = false };

    read_fields(request, a, &s);
    return s.is_signed;
}

bool policy_signature_field(enum http_name id)
{
    return id == HTTP_SIGNATURE || id == HTTP_SIGNATURE_INPUT;
}

bool policy_signature_secret(struct slice name)
{
    static const char *const secrets[] = { "oauth_token", "X-Amz-Security-Token", "x-oss-security-token",
                                           "security-token" };

    return slice_eq_nocase(slice_sub(name, name.len < 9 ? name.len : name.len - 9, name.len), SLICE("signature")) ||
           is_among(secrets, sizeof secrets / sizeof secrets[0], name);
}
