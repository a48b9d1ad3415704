/*
 * Terms of a limit in any unit: how they are written, and what they come to.
 */
#include "budget/term.h"

#include "base/arena.h"
#include "http/json_pointer.h"
#include "http/message.h"

#include <math.h>
#include <stdlib.h>

enum { DIGITS_MOST = 15 };
/* A product such as 0.1 * 30 is 3, whatever binary fractions make of it. */
#define ROUNDING 1e-6

/* -- reading -- */

/* Digits and at most one dot, with a sign or without. */
static bool parse_number(struct slice text, double *out)
{
    double sign = 1.0, value = 0.0, unit = 1.0;
    bool   has_dot = false;
    size_t digits = 0, i = 0;

    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+'))
        sign = text.ptr[i++] == '-' ? -1.0 : 1.0;
    for (; i < text.len; i++) {
        if (text.ptr[i] == '.' && !has_dot) {
            has_dot = true;
            continue;
        }
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || ++digits > DIGITS_MOST)
            return false;
        value = value * 10.0 + (text.ptr[i] - '0');
        unit *= has_dot ? 10.0 : 1.0;
    }
    *out = sign * value / unit;
    return digits > 0;
}

static const char *parse_source(struct slice text, struct limit_term *out)
{
    static const struct slice json = SLICE("json:"), header = SLICE("header:");
    struct slice              name = SLICE_NONE;

    if (slice_eq(text, SLICE("body"))) {
        out->kind = TERM_BODY;
        return NULL;
    }
    if (slice_starts_with(text, json)) {
        out->kind = TERM_JSON;
        name = slice_sub(text, json.len, text.len);
        if (!json_pointer_is_valid(name))
            return "after json: stands a JSON pointer (RFC 6901), as in \"json:/usage/total_tokens\"";
    } else if (slice_starts_with(text, header)) {
        out->kind = TERM_HEADER;
        name = slice_sub(text, header.len, text.len);
        if (!http_is_token(name))
            return "after header: stands the name of a field, as in \"header:X-Cost\"";
    } else {
        return "a term is \"[FACTOR] body\", \"[FACTOR] json:POINTER\", \"[FACTOR] header:NAME\" or a number";
    }
    out->name = mem_copy(name);
    return NULL;
}

bool term_parse(struct slice text, struct limit_term *out, const char **bad)
{
    struct slice      all = slice_trim(text), first = slice_sub(all, 0, slice_find(all, ' ', 0));
    struct slice      rest = slice_trim(slice_sub(all, first.len, all.len));
    struct limit_term t = { .kind = TERM_NUMBER, .factor = 1.0 };
    bool              has_factor = parse_number(first, &t.factor);

    *bad = NULL;
    if (!has_factor)
        *bad = parse_source(all, &t);
    else if (rest.len > 0)
        *bad = parse_source(rest, &t);
    if (*bad != NULL)
        return false;
    *out = t;
    return true;
}

/* -- what they come to -- */

static bool value_of(const struct limit_term *t, const struct term_facts *facts, double *out)
{
    int at;

    switch (t->kind) {
    case TERM_NUMBER:
        *out = 1.0;
        return true;
    case TERM_BODY:
        *out = (double)facts->body_bytes;
        return facts->body_bytes >= 0;
    case TERM_JSON:
        return facts->json != NULL && facts->json(facts->context, t->name, out);
    case TERM_HEADER:
        break;
    }
    at = facts->fields != NULL ? http_fields_find_name(facts->fields, slice_of(t->name), 0) : -1;
    return at >= 0 && parse_number(slice_trim(facts->fields->items[at].value), out);
}

bool terms_amount(const struct limit_term *terms, unsigned count, unsigned scale, const struct term_facts *facts,
                  uint32_t *out)
{
    double sum = 0.0, value;
    bool   found = false;

    for (unsigned i = 0; i < count; i++) {
        if (!value_of(&terms[i], facts, &value))
            continue;
        sum += terms[i].factor * value;
        found = found || terms[i].factor >= 0.0;
    }
    sum = ceil(sum * pow(10.0, scale) - ROUNDING);
    *out = !(sum > 0.0) ? 0 : sum < TERM_AMOUNT_MOST ? (uint32_t)sum : TERM_AMOUNT_MOST;
    return found;
}
