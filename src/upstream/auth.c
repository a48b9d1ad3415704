/*
 * The credential that Weir adds to a request as it is sent (setting auth),
 * and the way back of any: APIs repeat a parameter in the links of their next pages.
 */
#include "upstream/internal.h"

static bool is_unreserved(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

/* RFC 3986 2.1. */
static struct slice percent_encoded(struct slice s, struct arena *a)
{
    static const char digits[] = "0123456789ABCDEF";
    char             *text = arena_alloc_raw(a, 3 * s.len + 1), *at = text;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (is_unreserved(c)) {
            *at++ = (char)c;
            continue;
        }
        *at++ = '%';
        *at++ = digits[c >> 4];
        *at++ = digits[c & 15];
    }
    return (struct slice){ text, (size_t)(at - text) };
}

static struct slice parameter(const struct fetch *f, struct arena *a)
{
    struct slice name = percent_encoded(f->auth.param, a), value = percent_encoded(f->auth.value, a);

    return arena_printf(a, SLICE_FMT "=" SLICE_FMT, SLICE_ARG(name), SLICE_ARG(value));
}

struct slice auth_target(const struct fetch *f, struct arena *a)
{
    struct slice target = f->request.target, more;
    char         last = target.len > 0 ? target.ptr[target.len - 1] : '\0';
    const char  *between = "?";

    if (f->auth.value.ptr == NULL || f->auth.param.ptr == NULL)
        return target;
    if (slice_find(target, '?', 0) < target.len)
        between = last == '?' || last == '&' ? "" : "&";
    more = parameter(f, a);
    return arena_printf(a, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(target), between, SLICE_ARG(more));
}

/* -- the way back -- */

static size_t find(struct slice s, struct slice wanted, size_t from)
{
    const char *at = memmem(s.ptr + from, s.len - from, wanted.ptr, wanted.len);

    return at != NULL ? (size_t)(at - s.ptr) : s.len;
}

/* What stands after it is no more of its value. */
static bool ends_there(struct slice text, size_t end)
{
    return end == text.len || (!is_unreserved((unsigned char)text.ptr[end]) && text.ptr[end] != '%');
}

/* "?key=secret&page=2" becomes "?page=2": as the client would have asked. */
static struct slice without_parameter(struct slice text, struct slice pair, struct arena *a)
{
    size_t at = find(text, pair, 0), done = 0, used = 0;
    char  *out;

    if (at == text.len)
        return text;
    out = arena_alloc_raw(a, text.len);
    for (; at < text.len; at = find(text, pair, done)) {
        size_t end = at + pair.len;
        char   before;

        memcpy(out + used, text.ptr + done, at - done);
        used += at - done;
        before = used > 0 ? out[used - 1] : '\0';
        done = end;
        if ((before != '?' && before != '&') || !ends_there(text, end)) {
            memcpy(out + used, pair.ptr, pair.len);
            used += pair.len;
        } else if (end < text.len && text.ptr[end] == '&') {
            done++;
        } else {
            used--;
        }
    }
    memcpy(out + used, text.ptr + done, text.len - done);
    return (struct slice){ out, used + text.len - done };
}

void auth_scrub(const struct fetch *f, struct http_fields *fields, struct arena *a)
{
    struct arena    scratch = { 0 };
    bool            by_field = f->auth.header.ptr != NULL;
    struct secrets *secret;
    struct slice    pair;

    if (f->auth.value.ptr == NULL)
        return;
    pair = by_field ? SLICE_NONE : parameter(f, &scratch);
    for (unsigned i = 0; i < fields->count && !by_field; i++)
        fields->items[i].value = without_parameter(fields->items[i].value, pair, a);
    secret = policy_secret(by_field ? 'h' : 'p', by_field ? f->auth.header : f->auth.param, f->auth.value, &scratch);
    policy_mask(secret, MASK_STARS, fields, a);
    arena_free(&scratch);
}

bool auth_mask(const struct fetch *f, enum mask how, struct http_fields *fields, struct arena *a)
{
    const struct key_input in = { .target = f->request.target, .request = &f->request };
    struct arena           scratch = { 0 };
    bool                   any;

    if (!f->caller.has_credential)
        return false;
    any = policy_mask(policy_secrets(f->policy, &in, &scratch), how, fields, a);
    arena_free(&scratch);
    return any;
}
