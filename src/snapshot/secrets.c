/*
 * Credentials that went through, and whether one of them stands in a text.
 *
 * Each has several forms: as it is, and in base64 at the three places where it may begin among the bytes that are
 * encoded with it ("user:password").  Each form is looked for byte by byte, where any byte may be percent-encoded
 * (RFC 3986 2.1) or escaped as JSON does it (RFC 8259 7), so what an API encodes twice is found too.
 */
#include "snapshot/internal.h"

#include <sodium.h>

#include <stdlib.h>

enum { ALIGNMENTS = 3, LONGEST_ESCAPE = 6 /* \u0041 */ };

struct known_form {
    struct slice text;
    unsigned     secret;
};

struct secrets_known {
    struct arena       arena;
    struct slice      *values;
    unsigned           count, value_room;
    struct known_form *forms;
    unsigned           form_count, form_room;
    bool               first[256]; /* bytes that a form begins with, or an escape */
};

struct secrets_known *secrets_known_open(void)
{
    struct secrets_known *s = mem_alloc(sizeof *s);

    s->first['%'] = s->first['\\'] = true;
    return s;
}

void secrets_known_close(struct secrets_known *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->count; i++)
        sodium_memzero((void *)(uintptr_t)s->values[i].ptr, s->values[i].len);
    free(s->values);
    free(s->forms);
    arena_free(&s->arena);
    free(s);
}

static void add_form(struct secrets_known *s, struct slice text)
{
    for (unsigned i = 0; i < s->form_count; i++)
        if (slice_eq(s->forms[i].text, text))
            return;
    MEM_ROOM(s->forms, s->form_room, s->form_count + 1);
    s->forms[s->form_count++] = (struct known_form){ text, s->count };
    s->first[(unsigned char)text.ptr[0]] = true;
}

/* What base64 makes of it after `before` other bytes, without the characters that those and later ones touch. */
static void add_base64(struct secrets_known *s, struct slice value, unsigned before, int variant)
{
    size_t bytes = before + value.len, room = sodium_base64_encoded_len(bytes, variant);
    char  *whole = arena_alloc(&s->arena, bytes + 1), *text = arena_alloc(&s->arena, room);
    size_t from = before == 0 ? 0 : before + 1, to = bytes * 8 / 6;

    memcpy(whole + before, value.ptr, value.len);
    sodium_bin2base64(text, room, (const unsigned char *)whole, bytes, variant);
    add_form(s, (struct slice){ text + from, to - from });
}

bool secrets_known_add(struct secrets_known *s, struct slice value)
{
    if (value.len < SECRET_LEAST_BYTES)
        return false;
    for (unsigned i = 0; i < s->count; i++)
        if (slice_eq(s->values[i], value))
            return false;
    value = arena_copy(&s->arena, value);
    add_form(s, value);
    for (unsigned before = 0; before < ALIGNMENTS; before++) {
        add_base64(s, value, before, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
        add_base64(s, value, before, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    }
    MEM_ROOM(s->values, s->value_room, s->count + 1);
    s->values[s->count++] = value;
    return true;
}

unsigned secrets_known_count(const struct secrets_known *s)
{
    return s->count;
}

size_t secrets_known_longest(const struct secrets_known *s)
{
    size_t longest = 0;

    for (unsigned i = 0; i < s->form_count; i++)
        longest = s->forms[i].text.len > longest ? s->forms[i].text.len : longest;
    return longest * LONGEST_ESCAPE;
}

/* ---- finding ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* So many digits as one number, -1 where there are others. */
static int hex_number(struct slice text, size_t at, size_t digits)
{
    int number = 0;

    if (at + digits > text.len)
        return -1;
    for (size_t i = 0; i < digits; i++) {
        int digit = hex_digit(text.ptr[at + i]);

        if (digit < 0)
            return -1;
        number = number << 4 | digit;
    }
    return number;
}

/* How many characters of the text stand for this byte here; 0: none do. */
static size_t stands_for(struct slice text, size_t at, unsigned char c)
{
    unsigned char is;

    if (at >= text.len)
        return 0;
    is = (unsigned char)text.ptr[at];
    if (is == '%' && hex_number(text, at + 1, 2) == c)
        return 3;
    if (is == '\\' && at + 1 < text.len && text.ptr[at + 1] == 'u' && hex_number(text, at + 2, 4) == c)
        return 6;
    if (is == '\\' && (c == '/' || c == '"' || c == '\\') && at + 1 < text.len && (unsigned char)text.ptr[at + 1] == c)
        return 2;
    return is == c || (is == '+' && c == ' ') ? 1 : 0;
}

/* Where it ends that begins here; 0: it does not.  What is encoded twice ("%252F") counts as well: "%25" is a '%'. */
static size_t ends_at(struct slice text, size_t at, struct slice form)
{
    for (size_t i = 0; i < form.len; i++) {
        size_t step = stands_for(text, at, (unsigned char)form.ptr[i]);

        if (step == 0 && at + 5 <= text.len && memcmp(text.ptr + at, "%25", 3) == 0 &&
            hex_number(text, at + 3, 2) == (unsigned char)form.ptr[i])
            step = 5;
        if (step == 0)
            return 0;
        at += step;
    }
    return at;
}

bool secrets_known_find(const struct secrets_known *s, unsigned from, struct slice text, size_t at, size_t *start,
                        size_t *end)
{
    if (from >= s->count)
        return false;
    for (; at < text.len; at++) {
        unsigned char c = (unsigned char)text.ptr[at];

        if (!s->first[c])
            continue;
        *end = 0;
        for (unsigned i = 0; i < s->form_count; i++) {
            const struct known_form *f = &s->forms[i];
            size_t                   ends;

            if (f->secret < from || ((unsigned char)f->text.ptr[0] != c && c != '%' && c != '\\'))
                continue;
            ends = ends_at(text, at, f->text);
            *end = ends > *end ? ends : *end;
        }
        *start = at;
        if (*end > 0)
            return true;
    }
    return false;
}

struct slice secrets_known_mask(const struct secrets_known *s, struct slice text, struct arena *a)
{
    struct slice made = SLICE(""), rest = text;
    size_t       start, end;
    bool         any = false;

    while (secrets_known_find(s, 0, rest, 0, &start, &end)) {
        made = ARENA_JOIN(a, made, slice_sub(rest, 0, start), SLICE("***"));
        rest = slice_sub(rest, end, rest.len);
        any = true;
    }
    return any ? ARENA_JOIN(a, made, rest) : text;
}
