/*
 * A mark: NUL, kind, part, form, name, NUL, the characters that were encoded, NUL.
 *
 * kind  'h' header, 'p' parameter, 'c' cookie
 * part  'a' all of it, 'u' the user and 'w' the password of Basic, 'b' both with their colon
 * form  '0' plain, 'U' and 'L' percent-encoded in upper or lower case, else a variant of libsodium's base64
 *
 * A text is gone through once, with all secrets at a time: what is masked is not looked at again.
 */
#include "policy/mask.h"

#include "http/cookie.h"
#include "http/url.h"

#include <sodium.h>

enum {
    SECRET_LEAST = 6,         /* a shorter one stands in words by chance */
    SHARED_COOKIE_LEAST = 16, /* under `shared` others would read "***" where a word was meant */
    BASE64_FORMS = 4,
    WORK_MOST = 4 * 1024 * 1024, /* bytes compared for one head: nobody's secrets are worth more */
    GLANCES = 16                 /* at a secret's first bytes, for the work of one byte */
};

struct secret {
    char         kind, part;
    struct slice name, value;
    struct slice base64[BASE64_FORMS];
    char         firsts[BASE64_FORMS + 1];
};

struct secrets {
    struct arena  *arena;
    bool           shared;
    bool           first[256]; /* bytes that some form of some secret begins with */
    size_t         work;       /* bytes compared so far */
    unsigned       count, room;
    struct secret *items;
};

/* The longer one of each pair first: what is padded is found with its padding. */
static const struct {
    char form;
    int  variant;
} base64_forms[BASE64_FORMS] = {
    { '1', sodium_base64_VARIANT_ORIGINAL },
    { '5', sodium_base64_VARIANT_URLSAFE },
    { '3', sodium_base64_VARIANT_ORIGINAL_NO_PADDING },
    { '7', sodium_base64_VARIANT_URLSAFE_NO_PADDING },
};

static struct slice base64(struct slice s, int variant, struct arena *a)
{
    size_t room = sodium_base64_encoded_len(s.len, variant);
    char  *text = arena_alloc_raw(a, room);

    sodium_bin2base64(text, room, (const unsigned char *)s.ptr, s.len, variant);
    return (struct slice){ text, room - 1 };
}

/* ---- which there are ---- */

static struct secret *next_item(struct secrets *s)
{
    struct secret *longer;

    if (s->count == s->room) {
        s->room = 2 * s->room + 8;
        longer = arena_alloc_raw(s->arena, s->room * sizeof *longer);
        if (s->count > 0)
            memcpy(longer, s->items, s->count * sizeof *longer);
        s->items = longer;
    }
    return &s->items[s->count++];
}

static bool is_named(const struct secret *s, char kind, char part, struct slice name)
{
    return s->kind == kind && s->part == part &&
           (kind == 'h' ? slice_eq_nocase(s->name, name) : slice_eq(s->name, name));
}

/* A jar sends two cookies of one name where their paths differ: the second is "name SOH 1". */
static struct slice own_name(const struct secrets *s, char kind, char part, struct slice name)
{
    struct slice own = name;
    unsigned     nth = 0;

    for (unsigned i = 0; i < s->count; i++)
        if (is_named(&s->items[i], kind, part, own))
            own = arena_printf(s->arena, SLICE_FMT "\x01%u", SLICE_ARG(name), ++nth);
    return own;
}

static void add(struct secrets *s, char kind, char part, struct slice name, struct slice value)
{
    struct secret *new;
    size_t least = kind == 'c' && s->shared ? SHARED_COOKIE_LEAST : SECRET_LEAST;

    if (value.len < least || memchr(value.ptr, '\0', value.len) != NULL || slice_find(name, '\0', 0) < name.len)
        return;
    name = own_name(s, kind, part, name);
    new = next_item(s);
    *new = (struct secret){ .kind = kind, .part = part, .name = name, .value = value, .firsts = { value.ptr[0] } };
    s->first['%'] = true;
    for (int i = 0; i < BASE64_FORMS; i++) {
        new->base64[i] = base64(value, base64_forms[i].variant, s->arena);
        new->firsts[i + 1] = new->base64[i].ptr[0];
    }
    for (size_t i = 0; i < sizeof new->firsts; i++)
        s->first[(unsigned char)new->firsts[i]] = true;
}

/* "user:password".  Where the password is a stand-in ("x", none), the user's place holds the secret. */
static void add_basic(struct secrets *s, struct slice name, struct slice token)
{
    char        *text = arena_alloc_raw(s->arena, token.len + 1);
    size_t       length, colon;
    struct slice both, password;

    if (sodium_base642bin((unsigned char *)text, token.len, token.ptr, token.len, "=", &length, NULL,
                          sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0)
        return;
    both = (struct slice){ text, length };
    colon = slice_find(both, ':', 0);
    password = slice_sub(both, colon + 1, both.len);
    add(s, 'h', 'b', name, both);
    add(s, 'h', 'w', name, password);
    if (password.len < SECRET_LEAST || slice_eq(password, SLICE("x-oauth-basic")))
        add(s, 'h', 'u', name, slice_sub(both, 0, colon));
}

static void add_header(struct secrets *s, struct slice name, struct slice value)
{
    size_t       space = slice_find(value, ' ', 0);
    struct slice token = space < value.len ? slice_trim(slice_sub(value, space, value.len)) : value;

    add(s, 'h', 'a', name, token);
    if (space < value.len && slice_eq_nocase(slice_sub(value, 0, space), SLICE("Basic")))
        add_basic(s, name, token);
}

static bool add_credential(void *context, char kind, struct slice name, struct slice value)
{
    struct secrets *s = context;
    struct slice    pair;

    if (kind == 'p')
        add(s, kind, 'a', name, http_percent_decode(value, s->arena));
    else if (!slice_eq_nocase(name, SLICE("Cookie")))
        add_header(s, name, value);
    else
        while (http_cookie_next(&value, &pair))
            add(s, 'c', 'a', http_cookie_name(pair), http_cookie_value(pair));
    return true;
}

static void add_signing(struct secrets *s, const struct key_input *in)
{
    struct slice path, query, parameter;

    http_target_split(in->target, &path, &query);
    while (http_query_next(&query, &parameter)) {
        struct slice name = http_parameter_name(parameter, s->arena);
        size_t       equals = slice_find(parameter, '=', 0);

        if (policy_signature_secret(name))
            add_credential(s, 'p', name, slice_sub(parameter, equals + 1, parameter.len));
    }
}

static struct secrets *new_secrets(struct arena *a)
{
    struct secrets *s = arena_alloc_raw(a, sizeof *s);

    s->arena = a;
    s->shared = false;
    s->count = s->room = 0;
    s->items = NULL;
    s->work = 0;
    memset(s->first, 0, sizeof s->first);
    return s;
}

struct secrets *policy_secrets(const struct policy_options *o, const struct key_input *in, struct arena *a)
{
    struct secrets *s = new_secrets(a);

    s->shared = o->shared;
    policy_each_credential(o, in, a, add_credential, s);
    add_signing(s, in);
    return s;
}

struct secrets *policy_secret(char kind, struct slice name, struct slice value, struct arena *a)
{
    struct secrets *s = new_secrets(a);

    if (kind == 'h')
        add_header(s, name, value);
    else
        add(s, kind, 'a', name, value);
    return s;
}

/* ---- a text that grows ---- */

struct text {
    struct arena *arena;
    char         *bytes;
    size_t        used, room;
};

static void put(struct text *t, struct slice s)
{
    if (t->used + s.len > t->room) {
        size_t room = 2 * (t->used + s.len) + 64;
        char  *bytes = arena_alloc_raw(t->arena, room);

        if (t->used > 0)
            memcpy(bytes, t->bytes, t->used);
        t->bytes = bytes;
        t->room = room;
    }
    if (s.len > 0)
        memcpy(t->bytes + t->used, s.ptr, s.len);
    t->used += s.len;
}

static void put_char(struct text *t, char c)
{
    put(t, (struct slice){ &c, 1 });
}

/* ---- finding ---- */

struct mask_found {
    const struct secret *secret;
    char                 form;
    size_t               end;
    unsigned             encoded_count;
    char                 encoded[256]; /* each once */
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%XX" stands for, -1 for anything else. */
static int encoded_byte(struct slice text, size_t at)
{
    int high = at + 2 < text.len && text.ptr[at] == '%' ? hex_digit(text.ptr[at + 1]) : -1;
    int low = high >= 0 ? hex_digit(text.ptr[at + 2]) : -1;

    return low >= 0 ? high << 4 | low : -1;
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'f';
}

/* Any of its bytes may be percent-encoded (RFC 3986 2.1), and a space be '+' as in forms. */
static bool matches_encoded(struct slice text, size_t at, struct slice secret, struct mask_found *f, size_t *work)
{
    f->form = '0';
    f->encoded_count = 0;
    for (size_t i = 0; i < secret.len; i++, (*work)++) {
        char c = secret.ptr[i];
        bool encoded = encoded_byte(text, at) == (unsigned char)c;

        if (encoded || (c == ' ' && at < text.len && text.ptr[at] == '+')) {
            if (encoded && (is_lower(text.ptr[at + 1]) || is_lower(text.ptr[at + 2])))
                f->form = 'L';
            else if (f->form == '0')
                f->form = 'U';
            if (memchr(f->encoded, c, f->encoded_count) == NULL)
                f->encoded[f->encoded_count++] = c;
            at += encoded ? 3 : 1;
        } else if (at < text.len && text.ptr[at] == c) {
            at++;
        } else {
            return false;
        }
    }
    f->end = at;
    return true;
}

static bool matches_base64(struct slice text, size_t at, const struct secret *s, struct mask_found *f)
{
    for (int i = 0; i < BASE64_FORMS; i++) {
        struct slice form = s->base64[i];

        if (form.len <= text.len - at && memcmp(text.ptr + at, form.ptr, form.len) == 0) {
            f->form = base64_forms[i].form;
            f->encoded_count = 0;
            f->end = at + form.len;
            return true;
        }
    }
    return false;
}

/* The longest that is there: a secret may begin with another one. */
static bool find_at(struct secrets *s, struct slice text, size_t at, struct mask_found *f)
{
    struct mask_found one;

    f->end = at;
    s->work += s->count / GLANCES;
    for (unsigned i = 0; i < s->count; i++) {
        const struct secret *secret = &s->items[i];

        if (text.ptr[at] != '%' && memchr(secret->firsts, text.ptr[at], sizeof secret->firsts) == NULL)
            continue;
        s->work++;
        one.secret = secret;
        if ((matches_encoded(text, at, secret->value, &one, &s->work) || matches_base64(text, at, secret, &one)) &&
            one.end > f->end)
            *f = one;
    }
    return f->end > at;
}

static void put_mark(struct text *out, const struct mask_found *f)
{
    const char head[] = { '\0', f->secret->kind, f->secret->part, f->form };

    put(out, (struct slice){ head, sizeof head });
    put(out, f->secret->name);
    put_char(out, '\0');
    put(out, (struct slice){ f->encoded, f->encoded_count });
    put_char(out, '\0');
}

/* ptr NULL where it holds none.  Where looking would take too long nothing of it is kept. */
static struct slice masked(struct secrets *s, enum mask how, struct slice text, struct arena *a)
{
    struct text       out = { .arena = a };
    struct mask_found f;
    size_t            done = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (s->work > WORK_MOST)
            return SLICE("***");
        if (!s->first[(unsigned char)text.ptr[i]] || !find_at(s, text, i, &f))
            continue;
        put(&out, slice_sub(text, done, i));
        if (how == MASK_STARS)
            put(&out, SLICE("***"));
        else
            put_mark(&out, &f);
        done = f.end;
        i = f.end - 1;
    }
    if (done == 0)
        return SLICE_NONE;
    put(&out, slice_sub(text, done, text.len));
    return (struct slice){ out.bytes, out.used };
}

bool policy_mask(struct secrets *s, enum mask how, struct http_fields *f, struct arena *a)
{
    bool any = false;

    for (unsigned i = 0; i < f->count && s->count > 0; i++) {
        struct slice made = f->items[i].value.len >= SECRET_LEAST ? masked(s, how, f->items[i].value, a) : SLICE_NONE;

        if (made.ptr == NULL)
            continue;
        f->items[i].value = made;
        any = true;
    }
    return any;
}

/* ---- the way back ---- */

struct mark {
    char         kind, part, form;
    struct slice name, encoded;
};

/* At the NUL of a mark. */
static bool read_mark(struct slice text, size_t at, struct mark *m, size_t *end)
{
    size_t name_end = slice_find(text, '\0', at + 4), last = slice_find(text, '\0', name_end + 1);

    if (last >= text.len)
        return false;
    *m = (struct mark){ .kind = text.ptr[at + 1],
                        .part = text.ptr[at + 2],
                        .form = text.ptr[at + 3],
                        .name = slice_sub(text, at + 4, name_end),
                        .encoded = slice_sub(text, name_end + 1, last) };
    *end = last + 1;
    return true;
}

static struct slice value_of(const struct secrets *s, const struct mark *m)
{
    for (unsigned i = 0; i < s->count; i++)
        if (is_named(&s->items[i], m->kind, m->part, m->name))
            return s->items[i].value;
    return SLICE_NONE;
}

/* Control characters, which a parameter may hold, are encoded whatever the mark says: this goes into a field. */
static void put_encoded(struct text *out, struct slice value, const struct mark *m)
{
    const char *digits = m->form == 'L' ? "0123456789abcdef" : "0123456789ABCDEF";

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (c >= ' ' && c != 0x7f && slice_find(m->encoded, (char)c, 0) == m->encoded.len) {
            put_char(out, (char)c);
            continue;
        }
        put_char(out, '%');
        put_char(out, digits[c >> 4]);
        put_char(out, digits[c & 15]);
    }
}

static void put_secret(struct text *out, const struct secrets *s, const struct mark *m)
{
    struct slice value = value_of(s, m);

    if (value.ptr == NULL) {
        put(out, SLICE("***"));
        return;
    }
    for (int i = 0; i < BASE64_FORMS; i++)
        if (m->form == base64_forms[i].form) {
            put(out, base64(value, base64_forms[i].variant, out->arena));
            return;
        }
    put_encoded(out, value, m);
}

static struct slice unmasked(const struct secrets *s, struct slice text, struct arena *a)
{
    struct text out = { .arena = a };
    struct mark m;
    size_t      done = 0, at;

    while ((at = slice_find(text, '\0', done)) < text.len) {
        put(&out, slice_sub(text, done, at));
        done = text.len; /* nothing of what is damaged */
        if (read_mark(text, at, &m, &done))
            put_secret(&out, s, &m);
    }
    put(&out, slice_sub(text, done, text.len));
    return (struct slice){ out.bytes, out.used };
}

void policy_unmask(const struct secrets *s, struct http_fields *f, struct arena *a)
{
    for (unsigned i = 0; i < f->count; i++)
        if (slice_find(f->items[i].value, '\0', 0) < f->items[i].value.len)
            f->items[i].value = unmasked(s, f->items[i].value, a);
}
