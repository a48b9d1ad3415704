/*
 * Selections: made once when a response is stored, compared for every
 * look-up that finds one.
 */
#include "policy/vary.h"

#include "http/encoding.h"
#include "http/hop.h"
#include "http/list.h"
#include "policy/caller.h"

#include <sodium.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SECRET_HASH_BYTES = 16, SECRET_HEX_BYTES = 2 * SECRET_HASH_BYTES };

/* ---- the normalised value of one field ---- */

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

/* Does white space stand next to a comma (in quotes or not: that is looked at then)? */
static bool has_loose_commas(struct slice s)
{
    for (size_t i = slice_find(s, ',', 0); i < s.len; i = slice_find(s, ',', i + 1))
        if ((i > 0 && is_ows(s.ptr[i - 1])) || (i + 1 < s.len && is_ows(s.ptr[i + 1])))
            return true;
    return false;
}

/* RFC 9111 4.1: white space may come and go where the syntax allows it, which for a list is around
 * its commas. */
static struct slice without_loose_space(struct slice value, struct arena *a)
{
    bool   quoted = false;
    size_t used = 0;
    char  *out;

    if (!has_loose_commas(value))
        return value;
    out = arena_alloc_raw(a, value.len);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '"')
            quoted = !quoted;
        if (quoted && c == '\\' && i + 1 < value.len) {
            out[used++] = c;
            c = value.ptr[++i];
        } else if (!quoted && c == ',') {
            while (used > 0 && is_ows(out[used - 1]))
                used--;
            while (i + 1 < value.len && is_ows(value.ptr[i + 1]))
                i++;
        }
        out[used++] = c;
    }
    return (struct slice){ out, used };
}

/* Fields that carry secrets whatever the settings call a credential: their value never stands in a
 * record. */
static bool is_secret(struct slice name)
{
    static const enum http_name secrets[] = { HTTP_AUTHORIZATION, HTTP_COOKIE,        HTTP_PROXY_AUTHORIZATION,
                                              HTTP_X_API_KEY,     HTTP_PRIVATE_TOKEN, HTTP_SIGNATURE };
    enum http_name              id = http_name_parse(name);

    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (id == secrets[i])
            return true;
    return false;
}

static struct slice hashed(struct slice value, struct arena *a)
{
    unsigned char hash[SECRET_HASH_BYTES];
    char         *hex = arena_alloc_raw(a, SECRET_HEX_BYTES + 1);

    crypto_generichash(hash, sizeof hash, (const unsigned char *)value.ptr, value.len, NULL, 0);
    sodium_bin2hex(hex, SECRET_HEX_BYTES + 1, hash, sizeof hash);
    return (struct slice){ hex, SECRET_HEX_BYTES };
}

/* ptr NULL where the request has no such field. `name` in lower case. */
static struct slice selecting_value(const struct policy_options *o, const struct http_fields *request,
                                    struct slice name, struct arena *a)
{
    struct slice value = http_fields_join(request, name, a);

    if (value.ptr == NULL)
        return value;
    if (policy_signature_field(http_name_parse(name)) && policy_is_signed_by_fields(request, a))
        return SLICE(""); /* whom it names is the partition's */
    if (slice_eq(name, SLICE("cookie"))) {
        value = policy_cookies_that_count(o, value, a);
        return value.len > 0 ? hashed(value, a) : SLICE_NONE;
    }
    if (slice_eq(name, SLICE("accept-encoding")))
        return http_accept_encoding_normalise(request, a);
    if (slice_eq(name, SLICE("accept-language")))
        return http_accept_language_normalise(request, a);
    return is_secret(name) ? hashed(value, a) : without_loose_space(value, a);
}

/* ---- making a selection ---- */

static struct slice lower_copy(struct slice s, struct arena *a)
{
    char *p = arena_alloc_raw(a, s.len + 1);

    for (size_t i = 0; i < s.len; i++)
        p[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] | 0x20) : s.ptr[i];
    p[s.len] = '\0';
    return (struct slice){ p, s.len };
}

/* Fields that tell no two requests apart as the API sees them: what never reaches it, and what the
 * partition stands for (under `shared` that is to make no difference). */
static bool selects_nothing(const struct policy_options *o, struct slice name)
{
    if (http_name_stays_here(name))
        return true;
    for (const char *const *c = o->credential_headers; c != NULL && *c != NULL; c++)
        if (slice_eq_nocase(name, slice_of(*c)))
            return true;
    return false;
}

/* Puts `name` in its place among the sorted ones; once. */
static void insert_sorted(struct slice *names, unsigned *count, struct slice name)
{
    unsigned at = *count;

    while (at > 0 && strcmp(names[at - 1].ptr, name.ptr) > 0)
        at--;
    if (at > 0 && slice_eq(names[at - 1], name))
        return;
    memmove(&names[at + 1], &names[at], (*count - at) * sizeof names[0]);
    names[at] = name;
    (*count)++;
}

static unsigned count_members(const struct http_fields *response)
{
    struct http_list list = http_list_of_field(response, HTTP_VARY);
    struct slice     member;
    unsigned         n = 0;

    while (http_list_next(&list, &member))
        n++;
    return n;
}

/* What came in a coding was negotiated, whether or not the origin says so in Vary: who names no
 * coding that he takes is not to get it because another did. */
static bool is_coded(const struct http_fields *response)
{
    return http_coding_is_negotiated(http_fields_get(response, HTTP_CONTENT_ENCODING));
}

static struct slice write_selection(const struct policy_options *o, const struct slice *names, unsigned count,
                                    const struct http_fields *request, struct arena *a)
{
    struct slice *values = arena_alloc_raw(a, count * sizeof values[0]);
    size_t        length = 0;
    char         *text, *at;

    for (unsigned i = 0; i < count; i++) {
        values[i] = selecting_value(o, request, names[i], a);
        length += names[i].len + values[i].len + 3;
    }
    text = at = arena_alloc_raw(a, length);
    for (unsigned i = 0; i < count; i++) {
        at = (char *)memcpy(at, names[i].ptr, names[i].len) + names[i].len;
        if (values[i].ptr != NULL) {
            *at++ = ':';
            *at++ = ' ';
            if (values[i].len > 0)
                at = (char *)memcpy(at, values[i].ptr, values[i].len) + values[i].len;
        }
        *at++ = '\n';
    }
    return (struct slice){ text, (size_t)(at - text) };
}

bool policy_selection(const struct policy_options *o, const struct http_fields *response,
                      const struct http_fields *request, struct arena *a, struct slice *selection)
{
    struct http_list list = http_list_of_field(response, HTTP_VARY);
    unsigned         members = count_members(response), count = 0;
    bool             coded = is_coded(response);
    struct slice    *names, member;

    *selection = SLICE("");
    if (members == 0 && !coded)
        return true;
    names = arena_alloc_raw(a, (members + 2) * sizeof names[0]);
    if (coded)
        insert_sorted(names, &count, SLICE("accept-encoding"));
    while (http_list_next(&list, &member)) {
        /* What is no field name selects nothing that could be compared: as safe as "*". */
        if (slice_eq(member, SLICE("*")) || !http_is_token(member))
            return false;
        if (!selects_nothing(o, member))
            insert_sorted(names, &count, lower_copy(member, a));
    }
    *selection = write_selection(o, names, count, request, a);
    return true;
}

/* ---- comparing ---- */

/* One coding that the client takes does for all the ways to ask for it.  Who sends no Accept-Encoding
 * takes anything (RFC 9110 12.5.3) but can seldom read it: plain is what the origin would send. */
static bool coding_selects(const struct http_fields *request, struct slice stored_content_encoding)
{
    if (http_fields_find(request, HTTP_ACCEPT_ENCODING, 0) < 0)
        return !http_coding_is_negotiated(stored_content_encoding);
    return http_coding_is_acceptable(request, stored_content_encoding);
}

bool policy_selects(const struct policy_options *o, struct slice selection, const struct http_fields *request,
                    struct slice stored_content_encoding, struct arena *a)
{
    while (selection.len > 0) {
        size_t       end = slice_find(selection, '\n', 0);
        struct slice line = slice_sub(selection, 0, end);
        size_t       colon = slice_find(line, ':', 0);
        struct slice name = slice_sub(line, 0, colon);
        struct slice value = selecting_value(o, request, name, a);
        bool         absent = value.ptr == NULL;
        bool         same = absent ? colon == line.len
                                   : colon < line.len && slice_eq(value, slice_sub(line, colon + 2, line.len));

        if (!same && !(slice_eq(name, SLICE("accept-encoding")) && coding_selects(request, stored_content_encoding)))
            return false;
        selection = slice_sub(selection, end + 1, selection.len);
    }
    return http_coding_is_acceptable(request, stored_content_encoding);
}

struct slice policy_selection_again(const struct policy_options *o, struct slice selection,
                                    const struct http_fields *request, struct arena *a)
{
    struct slice *names = NULL, rest = selection;
    unsigned      count = 0, capacity = 0;

    while (rest.len > 0) {
        size_t end = slice_find(rest, '\n', 0);

        ARENA_ROOM(a, names, capacity, count);
        names[count++] = slice_sub(rest, 0, slice_find(slice_sub(rest, 0, end), ':', 0));
        rest = slice_sub(rest, end + 1, rest.len);
    }
    return count > 0 ? write_selection(o, names, count, request, a) : SLICE("");
}

void policy_variant_hash(struct slice selection, uint8_t out[VARIANT_HASH_BYTES])
{
    XXH128_canonical_t canonical;

    _Static_assert(sizeof canonical.digest == VARIANT_HASH_BYTES, "XXH3-128");
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(selection.ptr, selection.len));
    memcpy(out, canonical.digest, VARIANT_HASH_BYTES);
}
