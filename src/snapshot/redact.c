/*
 * What is masked in requests and answers.
 *
 * The same is done when recording and when looking: what a request is matched by is its redacted form.  So it depends
 * on the request alone and on what line 1 says, never on what was learned elsewhere.
 */
#include "snapshot/internal.h"

#include "http/cookie.h"
#include "http/url.h"

#include <sodium.h>

#include <stdlib.h>

enum { PARAMETER_MOST = 64 };

static const char *const usual_fields[] = {
    "authorization", "cookie", "private-token", "proxy-authorization", "x-api-key", "signature", NULL
};
static const char *const usual_params[] = { "access_token",
                                            "api_key",
                                            "apikey",
                                            "client_secret",
                                            "key",
                                            "token",
                                            "x-amz-credential",
                                            "x-amz-signature",
                                            "x-amz-security-token",
                                            "x-goog-signature",
                                            NULL };
static const char *const usual_match[] = { "method", "url", "body", NULL };

static char *lower(struct arena *a, struct slice s)
{
    char *text = (char *)(uintptr_t)arena_copy(a, s).ptr;

    for (size_t i = 0; i < s.len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] | 0x20);
    return text;
}

static bool has(char *const *list, struct slice name)
{
    for (; list != NULL && *list != NULL; list++)
        if (slice_eq_nocase(slice_of(*list), name))
            return true;
    return false;
}

static size_t length(char *const *list)
{
    size_t n = 0;

    while (list != NULL && list[n] != NULL)
        n++;
    return n;
}

/* Kept sorted, so that two recordings say the same. */
static void add_exactly(struct arena *a, char ***list, char *text)
{
    size_t n = length(*list), at = 0;
    char **longer;

    for (size_t i = 0; i < n; i++)
        if (strcmp((*list)[i], text) == 0)
            return;
    longer = arena_alloc(a, (n + 2) * sizeof *longer);
    while (at < n && strcmp((*list)[at], text) < 0)
        at++;
    if (n > 0) {
        memcpy(longer, *list, at * sizeof *longer);
        memcpy(longer + at + 1, *list + at, (n - at) * sizeof *longer);
    }
    longer[at] = text;
    *list = longer;
}

static void add(struct arena *a, char ***list, char *text)
{
    if (!has(*list, slice_of(text)))
        add_exactly(a, list, text);
}

static void add_all(struct redaction *r, char ***list, const char *const *names)
{
    for (; names != NULL && *names != NULL; names++)
        add(&r->arena, list, lower(&r->arena, slice_of(*names)));
}

bool snapshot_redact_is_valid(const char *redact, struct fault *why)
{
    if (strncmp(redact, "json:/", 6) == 0 && redact[6] != '\0')
        return true;
    if (strncmp(redact, "header:", 7) == 0 && http_is_token(slice_of(redact + 7)))
        return true;
    fault_set(why, "redact \"%s\": say \"json:/MEMBER\" (a JSON pointer; * is any member) or \"header:NAME\"", redact);
    return false;
}

static int add_redact(struct redaction *r, const char *text, struct fault *why)
{
    if (!snapshot_redact_is_valid(text, why))
        return -1;
    if (text[0] == 'j')
        add_exactly(&r->arena, &r->pointers, (char *)(uintptr_t)arena_copy(&r->arena, slice_of(text + 5)).ptr);
    else
        add(&r->arena, &r->headers, lower(&r->arena, slice_of(text + 7)));
    return 0;
}

static int add_match(struct redaction *r, const char *text, struct fault *why)
{
    bool is_header = strncmp(text, "header:", 7) == 0 && http_is_token(slice_of(text + 7));

    if (strcmp(text, "method") != 0 && strcmp(text, "url") != 0 && strcmp(text, "body") != 0 && !is_header)
        return fault_set(why, "match \"%s\": say \"method\", \"url\", \"body\" or \"header:NAME\"", text);
    add(&r->arena, &r->match, lower(&r->arena, slice_of(text)));
    return 0;
}

int redaction_open(struct redaction *r, const struct snapshot_options *o, struct fault *why)
{
    static const struct snapshot_options usual = { 0 };

    *r = (struct redaction){ 0 };
    o = o != NULL ? o : &usual;
    add_all(r, &r->fields, usual_fields);
    add_all(r, &r->fields, o->credential_fields);
    add_all(r, &r->params, usual_params);
    add_all(r, &r->params, o->credential_params);
    for (const char *const *t = o->redact; t != NULL && *t != NULL; t++)
        if (add_redact(r, *t, why) != 0)
            return -1;
    for (const char *const *t = o->match != NULL ? o->match : usual_match; *t != NULL; t++)
        if (add_match(r, *t, why) != 0)
            return -1;
    return 0;
}

void redaction_free(struct redaction *r)
{
    arena_free(&r->arena);
    *r = (struct redaction){ 0 };
}

int redaction_read(struct redaction *r, const json_t *line, struct fault *why)
{
    size_t  i;
    json_t *entry;

    r->match = NULL;
    json_array_foreach(json_object_get(line, "match"), i, entry)
    {
        if (!json_is_string(entry))
            return fault_set(why, "line 1: match holds something that is no text");
        if (add_match(r, json_string_value(entry), why) != 0)
            return -1;
    }
    for (const char *const *t = usual_match; r->match == NULL && *t != NULL; t++)
        add(&r->arena, &r->match, lower(&r->arena, slice_of(*t)));
    json_array_foreach(json_object_get(line, "redacted"), i, entry)
    {
        const char *text = json_string_value(entry);

        if (text == NULL)
            return fault_set(why, "line 1: redacted holds something that is no text");
        if (strchr(text, ':') != NULL) {
            if (add_redact(r, text, why) != 0)
                return -1;
            continue;
        }
        /* A field or a parameter: it does not say which. */
        add(&r->arena, &r->params, lower(&r->arena, slice_of(text)));
        add(&r->arena, &r->fields, lower(&r->arena, slice_of(text)));
    }
    return 0;
}

static void add_copies(struct redaction *r, char ***list, char *const *from)
{
    for (; from != NULL && *from != NULL; from++)
        add(&r->arena, list, (char *)(uintptr_t)arena_copy(&r->arena, slice_of(*from)).ptr);
}

void redaction_add(struct redaction *r, const struct redaction *other)
{
    add_copies(r, &r->fields, other->fields);
    add_copies(r, &r->params, other->params);
    add_copies(r, &r->headers, other->headers);
    for (char *const *p = other->pointers; p != NULL && *p != NULL; p++)
        add_exactly(&r->arena, &r->pointers, (char *)(uintptr_t)arena_copy(&r->arena, slice_of(*p)).ptr);
}

static void list_texts(json_t *array, char *const *list, const char *start)
{
    for (; list != NULL && *list != NULL; list++)
        json_array_append_new(array, json_sprintf("%s%s", start, *list));
}

json_t *redaction_line(const struct redaction *r)
{
    json_t *redacted = json_array(), *match = json_array();

    for (const char *const *t = usual_match; *t != NULL; t++)
        if (has(r->match, slice_of(*t)))
            json_array_append_new(match, json_string(*t));
    for (char *const *t = r->match; t != NULL && *t != NULL; t++)
        if (strchr(*t, ':') != NULL)
            json_array_append_new(match, json_string(*t));
    list_texts(redacted, r->fields, "");
    for (char *const *t = r->params; t != NULL && *t != NULL; t++)
        if (!has(r->fields, slice_of(*t)))
            json_array_append_new(redacted, json_string(*t));
    list_texts(redacted, r->headers, "header:");
    list_texts(redacted, r->pointers, "json:");
    return json_pack("{s:o, s:o}", "match", match, "redacted", redacted);
}

bool redaction_matches(const struct redaction *r, const char *what)
{
    return has(r->match, slice_of(what));
}

/* ---- learning ---- */

/* "user:password": both together, and each alone. */
static void learn_basic(struct secrets_known *s, struct slice token, struct arena *a)
{
    char  *text = arena_alloc(a, token.len + 1);
    size_t bytes, colon;

    if (sodium_base642bin((unsigned char *)text, token.len, token.ptr, token.len, "=", &bytes, NULL,
                          sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0)
        return;
    colon = slice_find((struct slice){ text, bytes }, ':', 0);
    secrets_known_add(s, (struct slice){ text, bytes });
    if (colon < bytes)
        secrets_known_add(s, (struct slice){ text + colon + 1, bytes - colon - 1 });
    /* Where the password is a stand-in ("x", none) the user is the secret. */
    if (colon < bytes && (bytes - colon - 1 < SECRET_LEAST_BYTES || strcmp(text + colon + 1, "x-oauth-basic") == 0))
        secrets_known_add(s, (struct slice){ text, colon });
    sodium_memzero(text, token.len);
}

void redact_learn_value(struct secrets_known *s, struct slice value, struct arena *a)
{
    size_t       space = slice_find(value, ' ', 0);
    struct slice token = slice_trim(slice_sub(value, space, value.len));

    secrets_known_add(s, value);
    if (space == value.len)
        return;
    secrets_known_add(s, token);
    if (slice_eq_nocase(slice_sub(value, 0, space), SLICE("Basic")))
        learn_basic(s, token, a);
}

static void learn_field(struct secrets_known *s, const struct http_field *f, struct arena *a)
{
    struct slice rest = f->value, pair;

    if (f->id != HTTP_COOKIE)
        redact_learn_value(s, f->value, a);
    while (f->id == HTTP_COOKIE && http_cookie_next(&rest, &pair))
        secrets_known_add(s, http_cookie_value(pair));
}

/* The query of a URL; ptr NULL where it has none. */
static struct slice query_of(struct slice url)
{
    size_t mark = slice_find(url, '?', 0);

    return mark < url.len ? slice_sub(url, mark + 1, url.len) : SLICE_NONE;
}

bool redact_learn(const struct redaction *r, struct secrets_known *s, struct slice url, const struct http_fields *f)
{
    struct arena a = { 0 };
    struct slice query = query_of(url), parameter;
    bool         any = false;

    while (query.ptr != NULL && http_query_next(&query, &parameter)) {
        size_t equals = slice_find(parameter, '=', 0);

        if (!has(r->params, http_parameter_name(parameter, &a)))
            continue;
        any = true;
        secrets_known_add(s, http_percent_decode(slice_sub(parameter, equals + 1, parameter.len), &a));
    }
    for (unsigned i = 0; f != NULL && i < f->count; i++)
        if (has(r->fields, f->items[i].name) || has(r->headers, f->items[i].name)) {
            any = true;
            learn_field(s, &f->items[i], &a);
        }
    arena_free(&a);
    return any;
}

void redact_learn_cookies(struct secrets_known *s, const struct http_fields *answer)
{
    int at = -1;

    while ((at = http_fields_find(answer, HTTP_SET_COOKIE, (unsigned)(at + 1))) >= 0) {
        struct slice rest = answer->items[at].value, pair;

        if (http_cookie_next(&rest, &pair))
            secrets_known_add(s, http_cookie_value(pair));
    }
}

/* ---- masking ---- */

/* "{name}" */
static struct slice stand_in(struct slice name, struct arena *a)
{
    return ARENA_JOIN(a, SLICE("{"), name, SLICE("}"));
}

struct slice redact_query(const struct redaction *r, struct slice query, struct arena *a)
{
    struct slice made = SLICE(""), parameter;

    while (http_query_next(&query, &parameter)) {
        size_t       equals = slice_find(parameter, '=', 0);
        struct slice name = slice_sub(parameter, 0, equals);

        if (equals < parameter.len && has(r->params, http_parameter_name(parameter, a)))
            parameter = ARENA_JOIN(a, name, SLICE("="), stand_in(name, a));
        made = made.len > 0 ? ARENA_JOIN(a, made, SLICE("&"), parameter) : parameter;
    }
    return made;
}

/* Bytes that are no visible ASCII, percent-encoded: the text goes into JSON. */
static struct slice visible(struct slice url, struct arena *a)
{
    char  *text = arena_alloc_raw(a, 3 * url.len + 1);
    size_t used = 0;

    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.ptr[i];

        if (c > ' ' && c < 0x7f) {
            text[used++] = (char)c;
            continue;
        }
        text[used++] = '%';
        text[used++] = "0123456789ABCDEF"[c >> 4];
        text[used++] = "0123456789ABCDEF"[c & 15];
    }
    return (struct slice){ text, used };
}

struct slice redact_url(const struct redaction *r, const struct secrets_known *own, struct slice url, struct arena *a)
{
    size_t       mark = slice_find(url, '?', 0);
    struct slice start = slice_sub(url, 0, mark), query = query_of(url);

    if (query.ptr != NULL)
        url = ARENA_JOIN(a, start, SLICE("?"), redact_query(r, query, a));
    return secrets_known_mask(own, visible(url, a), a);
}

struct http_fields redact_request(const struct redaction *r, const struct secrets_known *own,
                                  const struct http_fields *f, struct arena *a)
{
    struct http_fields made = { 0 };

    for (unsigned i = 0; i < f->count; i++) {
        const struct http_field *is = &f->items[i];

        if (has(r->fields, is->name))
            continue;
        http_fields_add(&made, a, is->name,
                        has(r->headers, is->name) ? stand_in(slice_of(lower(a, is->name)), a)
                                                  : secrets_known_mask(own, is->value, a));
    }
    return made;
}

/* Does a text end with "?NAME=", or another way to write that, of a parameter that is masked?  *name is it. */
static bool ends_in_parameter(const struct redaction *r, struct slice text, struct slice *name)
{
    size_t end = text.len, from;

    if (slice_ends_with(text, SLICE("=")))
        end--;
    else if (slice_ends_with(text, SLICE("%3D")) || slice_ends_with(text, SLICE("%3d")))
        end -= 3;
    else
        return false;
    for (from = end; from > 0 && end - from < PARAMETER_MOST; from--)
        if (strchr("?&;6", text.ptr[from - 1]) != NULL && has(r->params, slice_sub(text, from, end))) {
            *name = slice_sub(text, from, end);
            return true;
        }
    return false;
}

struct slice redact_links(const struct redaction *r, const struct secrets_known *known, struct slice text,
                          struct arena *a)
{
    struct slice *parts = NULL, name;
    size_t        count = 0, capacity = 0, done = 0, at = 0, start, end;

    while (secrets_known_find(known, 0, text, at, &start, &end)) {
        at = end;
        if (!ends_in_parameter(r, slice_sub(text, 0, start), &name))
            continue;
        ARENA_ROOM(a, parts, capacity, count);
        parts[count++] = slice_sub(text, done, start);
        ARENA_ROOM(a, parts, capacity, count);
        parts[count++] = stand_in(name, a);
        done = end;
    }
    if (count == 0)
        return text;
    ARENA_ROOM(a, parts, capacity, count);
    parts[count++] = slice_sub(text, done, text.len);
    return arena_join(a, parts, count);
}

/* "sid=31d4; Path=/": the value alone; an empty one, which deletes, stays. */
static struct slice redact_cookie(struct slice value, struct arena *a)
{
    struct slice rest = value, pair, name;
    size_t       end;

    if (!http_cookie_next(&rest, &pair) || http_cookie_value(pair).len == 0)
        return value;
    name = http_cookie_name(pair);
    end = (size_t)(pair.ptr + pair.len - value.ptr);
    return ARENA_JOIN(a, name, SLICE("="), stand_in(name, a), slice_sub(value, end, value.len));
}

struct http_fields redact_answer(const struct redaction *r, const struct secrets_known *known,
                                 const struct http_fields *f, struct arena *a)
{
    struct http_fields made = { 0 };

    for (unsigned i = 0; i < f->count; i++) {
        const struct http_field *is = &f->items[i];
        struct slice             value = is->value;

        if (has(r->headers, is->name))
            value = stand_in(slice_of(lower(a, is->name)), a);
        else if (is->id == HTTP_SET_COOKIE)
            value = secrets_known_mask(known, redact_cookie(value, a), a);
        else
            value = secrets_known_mask(known, value, a);
        http_fields_add(&made, a, is->name, value);
    }
    return made;
}
