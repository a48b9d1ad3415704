/*
 * A state machine over bytes.  Numbers end with the first byte that is not
 * theirs, which is then looked at again as what follows a value.
 */
#include "http/json_check.h"

#include <string.h>

enum json_check_state {
    START, /* a value must come; before it may stand a byte order mark (RFC 8259 8.1) */
    MARK,
    VALUE,       /* a value must come */
    FIRST_VALUE, /* after '[': a value or ']' */
    FIRST_KEY,   /* after '{': a name or '}' */
    KEY,
    COLON,
    AFTER, /* a value has ended */
    STRING,
    ESCAPE,
    HEX,
    UTF8,
    LITERAL,
    MINUS,
    ZERO,
    INTEGER,
    POINT,
    FRACTION,
    EXPONENT,
    EXPONENT_SIGN,
    EXPONENT_DIGITS,
    BAD
};

static bool is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(unsigned char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool in_object(const struct json_check *j)
{
    unsigned top = j->depth - 1;

    return (j->objects[top / 8] >> (top % 8) & 1) != 0;
}

static enum json_check_state push(struct json_check *j, bool object)
{
    if (j->depth == JSON_CHECK_DEPTH)
        return BAD;
    if (object)
        j->objects[j->depth / 8] |= (uint8_t)(1u << (j->depth % 8));
    else
        j->objects[j->depth / 8] &= (uint8_t) ~(1u << (j->depth % 8));
    j->depth++;
    return object ? FIRST_KEY : FIRST_VALUE;
}

static enum json_check_state begin_string(struct json_check *j, bool key)
{
    j->in_key = key;
    return STRING;
}

static enum json_check_state begin_literal(struct json_check *j, const char *rest)
{
    j->literal = rest;
    return LITERAL;
}

static enum json_check_state begin_value(struct json_check *j, unsigned char c)
{
    switch (c) {
    case '{':
        return push(j, true);
    case '[':
        return push(j, false);
    case '"':
        return begin_string(j, false);
    case 't':
        return begin_literal(j, "rue");
    case 'f':
        return begin_literal(j, "alse");
    case 'n':
        return begin_literal(j, "ull");
    case '-':
        return MINUS;
    case '0':
        return ZERO;
    default:
        return is_digit(c) ? INTEGER : BAD;
    }
}

static enum json_check_state close_container(struct json_check *j, bool object)
{
    if (j->depth == 0 || in_object(j) != object)
        return BAD;
    j->depth--;
    return AFTER;
}

static enum json_check_state after_value(struct json_check *j, unsigned char c)
{
    if (is_space(c))
        return AFTER;
    if (c == '}' || c == ']')
        return close_container(j, c == '}');
    if (c == ',' && j->depth > 0)
        return in_object(j) ? KEY : VALUE;
    return BAD;
}

static enum json_check_state in_utf8(struct json_check *j, char c)
{
    if (!utf8_check_feed(&j->text, &c, 1))
        return BAD;
    return utf8_check_end(&j->text) ? STRING : UTF8;
}

static enum json_check_state in_string(struct json_check *j, unsigned char c)
{
    if (c == '"')
        return j->in_key ? COLON : AFTER;
    if (c == '\\')
        return ESCAPE;
    if (c < 0x20)
        return BAD;
    return c < 0x80 ? STRING : in_utf8(j, (char)c);
}

static enum json_check_state in_escape(struct json_check *j, unsigned char c)
{
    if (c == 'u') {
        j->digits_left = 4;
        return HEX;
    }
    return strchr("\"\\/bfnrt", c) != NULL && c != '\0' ? STRING : BAD;
}

static enum json_check_state in_number(struct json_check *j, enum json_check_state at, unsigned char c)
{
    switch (at) {
    case MINUS:
        return c == '0' ? ZERO : is_digit(c) ? INTEGER : BAD;
    case POINT:
        return is_digit(c) ? FRACTION : BAD;
    case EXPONENT:
        if (c == '+' || c == '-')
            return EXPONENT_SIGN;
        return is_digit(c) ? EXPONENT_DIGITS : BAD;
    case EXPONENT_SIGN:
        return is_digit(c) ? EXPONENT_DIGITS : BAD;
    case INTEGER:
    case FRACTION:
    case EXPONENT_DIGITS:
        if (is_digit(c))
            return at;
        break;
    default:
        break;
    }
    if (c == '.' && (at == ZERO || at == INTEGER))
        return POINT;
    if ((c == 'e' || c == 'E') && at != EXPONENT_DIGITS)
        return EXPONENT;
    return after_value(j, c);
}

static enum json_check_state begin_text(struct json_check *j, unsigned char c)
{
    static const char rest_of_mark[] = "\xbb\xbf";

    if (c != 0xef)
        return is_space(c) ? VALUE : begin_value(j, c);
    j->literal = rest_of_mark;
    return MARK;
}

static enum json_check_state step(struct json_check *j, unsigned char c)
{
    enum json_check_state at = (enum json_check_state)j->state;

    switch (at) {
    case START:
        return begin_text(j, c);
    case MARK:
        return (unsigned char)*j->literal != c ? BAD : *++j->literal == '\0' ? VALUE : MARK;
    case VALUE:
        return is_space(c) ? VALUE : begin_value(j, c);
    case FIRST_VALUE:
        if (is_space(c))
            return FIRST_VALUE;
        return c == ']' ? close_container(j, false) : begin_value(j, c);
    case FIRST_KEY:
        if (c == '}')
            return close_container(j, true);
        /* fall through */
    case KEY:
        if (is_space(c))
            return at;
        return c == '"' ? begin_string(j, true) : BAD;
    case COLON:
        return is_space(c) ? COLON : c == ':' ? VALUE : BAD;
    case AFTER:
        return after_value(j, c);
    case STRING:
        return in_string(j, c);
    case ESCAPE:
        return in_escape(j, c);
    case HEX:
        if (!is_hex(c))
            return BAD;
        return --j->digits_left == 0 ? STRING : HEX;
    case UTF8:
        return in_utf8(j, (char)c);
    case LITERAL:
        if ((unsigned char)*j->literal != c)
            return BAD;
        return *++j->literal == '\0' ? AFTER : LITERAL;
    case BAD:
        return BAD;
    default:
        return in_number(j, at, c);
    }
}

bool json_check_feed(struct json_check *j, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count && j->state != BAD; i++)
        j->state = (unsigned char)step(j, (unsigned char)bytes[i]);
    return j->state != BAD;
}

bool json_check_end(const struct json_check *j)
{
    enum json_check_state at = (enum json_check_state)j->state;

    return j->depth == 0 && (at == AFTER || at == ZERO || at == INTEGER || at == FRACTION || at == EXPONENT_DIGITS);
}
