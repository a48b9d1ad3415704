/*
 * The parser of structured fields: RFC 8941 4.2, step by step, with the Date
 * and Display String of RFC 9651.
 *
 * A parser never reads ahead of `rest` and fails as a whole; what it made in
 * the arena until then is simply forgotten.
 */
#include "http/structured.h"

struct parser {
    struct slice  rest;
    struct arena *arena;
};

enum { NO_BYTE = -1, INTEGER_DIGITS = 15, DECIMAL_WHOLE_DIGITS = 12, DECIMAL_DIGITS = 3 };

static int peek(const struct parser *p)
{
    return p->rest.len > 0 ? (unsigned char)p->rest.ptr[0] : NO_BYTE;
}

static void skip(struct parser *p, size_t bytes)
{
    p->rest = slice_sub(p->rest, bytes, p->rest.len);
}

static bool take(struct parser *p, char c)
{
    if (peek(p) != (unsigned char)c)
        return false;
    skip(p, 1);
    return true;
}

static void skip_spaces(struct parser *p)
{
    while (take(p, ' '))
        ;
}

static void skip_ows(struct parser *p)
{
    while (take(p, ' ') || take(p, '\t'))
        ;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}
static bool is_lower(int c)
{
    return c >= 'a' && c <= 'z';
}
static bool is_alpha(int c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_key_byte(int c)
{
    return is_lower(c) || is_digit(c) || c == '_' || c == '-' || c == '.' || c == '*';
}

static bool is_token_byte(int c)
{
    char byte = (char)c;

    return c == ':' || c == '/' || (c > 0 && http_is_token((struct slice){ &byte, 1 }));
}

static bool is_base64_byte(int c)
{
    return is_alpha(c) || is_digit(c) || c == '+' || c == '/' || c == '=';
}

/* Cuts off the bytes for which `is_one` holds. */
static struct slice take_run(struct parser *p, bool (*is_one)(int))
{
    struct slice run = { p->rest.ptr, 0 };

    while (peek(p) != NO_BYTE && is_one(peek(p))) {
        skip(p, 1);
        run.len++;
    }
    return run;
}

/* 4.2.4.  Up to 15 digits fit an int64_t, so slice_to_int64() cannot fail here. */
static bool parse_number(struct parser *p, struct sf_item *out)
{
    int64_t      sign = take(p, '-') ? -1 : 1, whole, fraction = 0;
    struct slice digits = take_run(p, is_digit), decimals;

    out->type = SF_INTEGER;
    if (digits.len == 0 || digits.len > INTEGER_DIGITS || !slice_to_int64(digits, &whole))
        return false;
    out->integer = sign * whole;
    if (!take(p, '.'))
        return true;
    out->type = SF_DECIMAL;
    decimals = take_run(p, is_digit);
    if (digits.len > DECIMAL_WHOLE_DIGITS || decimals.len > DECIMAL_DIGITS || !slice_to_int64(decimals, &fraction))
        return false;
    for (size_t i = decimals.len; i < DECIMAL_DIGITS; i++)
        fraction *= 10;
    out->integer = sign * (whole * 1000 + fraction);
    return true;
}

/* 4.2.5 */
static bool parse_string(struct parser *p, struct sf_item *out)
{
    struct slice source = slice_sub(p->rest, 1, p->rest.len);
    bool         escaped = false;
    size_t       end = 0, used = 0;
    char        *text;

    for (; end < source.len && source.ptr[end] != '"'; end++) {
        unsigned char c = (unsigned char)source.ptr[end];

        if (c < 0x20 || c > 0x7e)
            return false;
        if (c != '\\')
            continue;
        escaped = true;
        if (++end == source.len || (source.ptr[end] != '"' && source.ptr[end] != '\\'))
            return false;
    }
    if (end == source.len)
        return false;
    skip(p, end + 2);
    out->type = SF_STRING;
    out->text = slice_sub(source, 0, end);
    if (!escaped)
        return true;
    text = arena_alloc_raw(p->arena, end);
    for (size_t i = 0; i < end; i++) {
        if (source.ptr[i] == '\\')
            i++;
        text[used++] = source.ptr[i];
    }
    out->text = (struct slice){ text, used };
    return true;
}

/* 4.2.6 */
static bool parse_token(struct parser *p, struct sf_item *out)
{
    out->type = SF_TOKEN;
    take_run(p, is_token_byte);
    return true;
}

/* 4.2.7; the alphabet is looked at, the encoding is left to whoever wants the bytes. */
static bool parse_binary(struct parser *p, struct sf_item *out)
{
    out->type = SF_BINARY;
    skip(p, 1);
    take_run(p, is_base64_byte);
    return take(p, ':');
}

/* 4.2.8 */
static bool parse_boolean(struct parser *p, struct sf_item *out)
{
    out->type = SF_BOOLEAN;
    skip(p, 1);
    out->integer = peek(p) == '1';
    return take(p, '0') || take(p, '1');
}

/* RFC 9651 4.2.9 */
static bool parse_date(struct parser *p, struct sf_item *out)
{
    skip(p, 1);
    if (!parse_number(p, out) || out->type != SF_INTEGER)
        return false;
    out->type = SF_DATE;
    return true;
}

static bool is_lower_hex(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

/* RFC 9651 4.2.10; the decoded bytes are not looked at. */
static bool parse_display(struct parser *p, struct sf_item *out)
{
    out->type = SF_DISPLAY;
    skip(p, 1);
    if (!take(p, '"'))
        return false;
    while (!take(p, '"')) {
        int c = peek(p);

        if (c < 0x20 || c > 0x7e) /* NO_BYTE too */
            return false;
        skip(p, 1);
        if (c != '%')
            continue;
        for (int i = 0; i < 2; i++, skip(p, 1))
            if (!is_lower_hex(peek(p)))
                return false;
    }
    return true;
}

/* 4.2.3.1, told apart by the first byte. */
static bool parse_bare_item(struct parser *p, struct sf_item *out)
{
    int         c = peek(p);
    const char *begin = p->rest.ptr;
    bool (*parse)(struct parser *, struct sf_item *) = c == '-' || is_digit(c)   ? parse_number
                                                       : c == '"'                ? parse_string
                                                       : c == '*' || is_alpha(c) ? parse_token
                                                       : c == ':'                ? parse_binary
                                                       : c == '?'                ? parse_boolean
                                                       : c == '@'                ? parse_date
                                                       : c == '%'                ? parse_display
                                                                                 : NULL;

    *out = (struct sf_item){ 0 };
    if (parse == NULL || !parse(p, out))
        return false;
    if (out->type != SF_STRING)
        out->text = (struct slice){ begin, (size_t)(p->rest.ptr - begin) };
    return true;
}

/* 4.2.3.3 */
static bool parse_key(struct parser *p, struct slice *out)
{
    if (!is_lower(peek(p)) && peek(p) != '*')
        return false;
    *out = take_run(p, is_key_byte);
    return true;
}

static struct sf_item boolean_true(void)
{
    return (struct sf_item){ .type = SF_BOOLEAN, .integer = 1 };
}

/* Room for one more member, or the one of this key; NULL where `limit` is reached. */
static struct sf_member *member_at(struct arena *a, struct sf_member **items, unsigned *count, unsigned limit,
                                   struct slice key)
{
    for (unsigned i = 0; key.len > 0 && i < *count; i++)
        if (slice_eq((*items)[i].key, key))
            return &(*items)[i];
    if (*count == limit)
        return NULL;
    if ((*count & (*count - 1)) == 0) /* full at 0, 1, 2, 4, 8..., as most have one or none */
        *items = arena_widen(a, *items, *count * sizeof **items, (*count > 0 ? *count * 2 : 1) * sizeof **items);
    return &(*items)[(*count)++];
}

/* 4.2.3.2 */
static bool parse_parameters(struct parser *p, struct sf_member *owner)
{
    while (take(p, ';')) {
        struct sf_member  made = { .value = boolean_true() };
        struct sf_member *slot;

        skip_spaces(p);
        if (!parse_key(p, &made.key) || (take(p, '=') && !parse_bare_item(p, &made.value)))
            return false;
        slot = member_at(p->arena, &owner->parameters, &owner->parameter_count, SF_PARAMETERS_MAX, made.key);
        if (slot == NULL)
            return false;
        *slot = made;
    }
    return true;
}

/* 4.2.1.2; the items are checked, and kept as text only. */
static bool parse_inner_list(struct parser *p, struct sf_item *out)
{
    const char *begin = p->rest.ptr;

    skip(p, 1);
    for (;;) {
        struct sf_member item = { 0 };

        skip_spaces(p);
        if (take(p, ')'))
            break;
        if (!parse_bare_item(p, &item.value) || !parse_parameters(p, &item) || (peek(p) != ' ' && peek(p) != ')'))
            return false;
    }
    *out = (struct sf_item){ SF_INNER_LIST, 0, { begin, (size_t)(p->rest.ptr - begin) } };
    return true;
}

/* 4.2.1.1 with its parameters. */
static bool parse_value(struct parser *p, struct sf_member *out)
{
    return (peek(p) == '(' ? parse_inner_list(p, &out->value) : parse_bare_item(p, &out->value)) &&
           parse_parameters(p, out);
}

/* One member of 4.2.2. */
static bool parse_dictionary_member(struct parser *p, struct sf_member *out)
{
    if (!parse_key(p, &out->key))
        return false;
    if (take(p, '='))
        return parse_value(p, out);
    out->value = boolean_true();
    return parse_parameters(p, out);
}

/* 4.2 and the loop that 4.2.1 and 4.2.2 share. */
static bool parse_members(struct slice text, struct arena *a, struct sf_members *out,
                          bool (*parse_member)(struct parser *, struct sf_member *))
{
    struct parser     p = { text, a };
    struct sf_members made = { NULL, 0 };

    skip_spaces(&p);
    while (p.rest.len > 0) {
        struct sf_member  member = { 0 };
        struct sf_member *slot;

        if (!parse_member(&p, &member))
            return false;
        slot = member_at(a, &made.items, &made.count, SF_MEMBERS_MAX, member.key);
        if (slot == NULL)
            return false;
        *slot = member;
        skip_ows(&p);
        if (p.rest.len == 0)
            break;
        if (!take(&p, ','))
            return false;
        skip_ows(&p);
        if (p.rest.len == 0) /* a trailing comma */
            return false;
    }
    *out = made;
    return true;
}

bool sf_parse_dictionary(struct slice text, struct arena *a, struct sf_members *out)
{
    return parse_members(text, a, out, parse_dictionary_member);
}

bool sf_parse_list(struct slice text, struct arena *a, struct sf_members *out)
{
    return parse_members(text, a, out, parse_value);
}

struct slice sf_string(struct slice text, struct arena *a)
{
    char  *out = arena_alloc_raw(a, text.len * 2 + 2);
    size_t used = 0;

    out[used++] = '"';
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c == '"' || c == '\\')
            out[used++] = '\\';
        out[used++] = c >= 0x20 && c <= 0x7e ? (char)c : '?';
    }
    out[used++] = '"';
    return (struct slice){ out, used };
}
