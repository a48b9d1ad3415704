/*
 * The filter's parser and judge.
 */
#include "engine/record_filter.h"

#include "base/clock.h"
#include "http/duration.h"

#include <stddef.h>
#include <stdio.h>

enum operator{ OP_NONE, OP_EQUAL, OP_UNEQUAL, OP_HAS, OP_LACKS, OP_OVER, OP_AT_LEAST, OP_UNDER, OP_AT_MOST };

/* The longer ones first. */
static const struct {
    const char *text;
    enum        operator op;
} operators[] = {
    { "!=", OP_UNEQUAL }, { "!~", OP_LACKS }, { ">=", OP_AT_LEAST }, { "<=", OP_AT_MOST },
    { "=", OP_EQUAL },    { "~", OP_HAS },    { ">", OP_OVER },      { "<", OP_UNDER },
};

struct value {
    struct slice text;
    int64_t      low, high; /* of a number: from low on, up to and without high */
};

struct term {
    const struct record_field *field;
    enum                       operator op;
    struct value              *values;
    unsigned                   count, room;
};

struct record_filter {
    struct term *terms;
    unsigned     count, room;
};

struct filter_text {
    struct slice  text;
    size_t        at;
    struct arena *arena;
    struct fault *why;
};

/* -- names -- */

/* Other names for some, as a person would say it. */
static const struct {
    const char *name, *field;
} also[] = {
    { "url", "target" },
    { "wait", "queue_ms" },
    { "took", "took_ms" },
    { "upstream_time", "upstream_ms" },
};

static const struct record_field *field_named(struct slice name)
{
    for (size_t i = 0; i < sizeof also / sizeof also[0]; i++)
        if (slice_eq(name, slice_of(also[i].name)))
            name = slice_of(also[i].field);
    for (const struct record_field *f = record_fields; f < record_fields + RECORD_FIELDS; f++)
        if (f->type != RECORD_TIME && slice_eq(name, slice_of(f->name)))
            return f;
    return NULL;
}

static struct slice all_names(struct arena *a)
{
    struct slice names = SLICE("url, wait, took");

    for (const struct record_field *f = record_fields; f < record_fields + RECORD_FIELDS; f++)
        if (f->type != RECORD_TIME)
            names = ARENA_JOIN(a, names, SLICE(", "), slice_of(f->name));
    return names;
}

/* -- parsing -- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static char look(const struct filter_text *p)
{
    return p->at < p->text.len ? p->text.ptr[p->at] : '\0';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || c == '_';
}

/* What is printed of the filter itself: it may come from anywhere. */
static const char *shown(const struct filter_text *p, size_t from, size_t to)
{
    struct slice part = arena_copy(p->arena, slice_sub(p->text, from, to - from > 60 ? from + 60 : to));
    char        *c = (char *)(uintptr_t)part.ptr;

    for (size_t i = 0; i < part.len; i++)
        if ((unsigned char)c[i] < ' ' || (unsigned char)c[i] >= 0x7f)
            c[i] = '?';
    return c;
}

static size_t term_end(const struct filter_text *p, size_t from)
{
    while (from < p->text.len && !is_space(p->text.ptr[from]))
        from++;
    return from;
}

static enum operator take_operator(struct filter_text *p)
{
    struct slice rest = slice_sub(p->text, p->at, p->text.len);

    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (slice_starts_with(rest, slice_of(operators[i].text))) {
            p->at += strlen(operators[i].text);
            return operators[i].op;
        }
    return OP_NONE;
}

static bool take_value(struct filter_text *p, struct slice *out)
{
    size_t from = p->at;

    if (look(p) == '"') {
        size_t end = slice_find(p->text, '"', from + 1);

        if (end == p->text.len) {
            fault_set(p->why, "at character %zu: the quote that begins %s is not closed", from + 1,
                      shown(p, from, term_end(p, from)));
            return false;
        }
        *out = slice_sub(p->text, from + 1, end);
        p->at = end + 1;
        return true;
    }
    while (p->at < p->text.len && !is_space(look(p)) && look(p) != ',')
        p->at++;
    *out = slice_sub(p->text, from, p->at);
    return true;
}

/* -- values -- */

static const struct {
    const char *unit;
    int64_t     times;
} sizes[] = {
    { "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { "kB", 1000 }, { "MB", 1000000 }, { "GB", 1000000000 },
};

static bool read_number(struct slice text, int64_t *out)
{
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (slice_ends_with(text, slice_of(sizes[i].unit))) {
            struct slice digits = slice_sub(text, 0, text.len - strlen(sizes[i].unit));

            return slice_to_int64(digits, out) && !__builtin_mul_overflow(*out, sizes[i].times, out);
        }
    return slice_to_int64(text, out);
}

/* "5xx" is 500 up to 599. */
static bool read_class(const struct term *t, struct slice text, struct value *v)
{
    if (t->field->offset != offsetof(struct request_record, status) || text.len != 3 || text.ptr[0] < '1' ||
        text.ptr[0] > '9' || text.ptr[1] != 'x' || text.ptr[2] != 'x')
        return false;
    v->low = (text.ptr[0] - '0') * 100;
    v->high = v->low + 100;
    return true;
}

/* "1s", "250ms"; a bare number is milliseconds, as they are shown. */
static bool read_span(struct slice text, int64_t *ns)
{
    int64_t ms;

    if (slice_to_int64(text, &ms))
        return !__builtin_mul_overflow(ms, NS_PER_MS, ns);
    return http_duration_parse(text, ns);
}

static bool read_value(const struct term *t, struct slice text, struct value *v)
{
    v->text = text;
    switch (t->field->type) {
    case RECORD_SLICE:
        return true;
    case RECORD_FLAG:
        v->low = slice_eq(text, SLICE("true")) || slice_eq(text, SLICE("yes"));
        v->high = v->low + 1;
        return v->low == 1 || slice_eq(text, SLICE("false")) || slice_eq(text, SLICE("no"));
    case RECORD_SPAN:
        if (!read_span(text, &v->low))
            return false;
        break;
    case RECORD_NUMBER:
    case RECORD_TRIES:
        if (read_class(t, text, v))
            return true;
        if (!read_number(text, &v->low))
            return false;
        break;
    case RECORD_TIME:
        return false;
    }
    v->high = v->low < INT64_MAX ? v->low + 1 : v->low;
    return true;
}

static const char *wanted(const struct record_field *f)
{
    switch (f->type) {
    case RECORD_FLAG:
        return "true or false";
    case RECORD_SPAN:
        return "a duration such as 1s or 250ms";
    case RECORD_NUMBER:
    case RECORD_TRIES:
        return f->offset == offsetof(struct request_record, status) ? "a number such as 503, or 5xx"
                                                                    : "a number such as 12 or, for bytes, 2MiB";
    default:
        return "a text";
    }
}

static bool may_compare(const struct record_field *f, enum operator op)
{
    if (op == OP_EQUAL || op == OP_UNEQUAL)
        return true;
    return f->type == RECORD_SLICE ? op == OP_HAS || op == OP_LACKS : f->type != RECORD_FLAG && op >= OP_OVER;
}

static bool take_values(struct filter_text *p, struct term *t, size_t begin)
{
    do {
        struct value v = { .low = 0 };
        size_t       from = p->at;
        struct slice text;

        if (!take_value(p, &text))
            return false;
        if (text.len == 0 && p->at == from) {
            fault_set(p->why, "at character %zu: after %s a value is missing: %s", from + 1, shown(p, begin, from),
                      wanted(t->field));
            return false;
        }
        if (!read_value(t, arena_copy(p->arena, text), &v)) {
            fault_set(p->why, "at character %zu: %s is not what %s takes: %s", from + 1, shown(p, from, p->at),
                      t->field->name, wanted(t->field));
            return false;
        }
        ARENA_ROOM(p->arena, t->values, t->room, t->count);
        t->values[t->count++] = v;
    } while (t->op < OP_OVER && look(p) == ',' && p->at++ < p->text.len);
    if (p->at < p->text.len && !is_space(look(p))) {
        fault_set(p->why, "at character %zu: %s cannot follow the value; a space ends a term", p->at + 1,
                  shown(p, p->at, term_end(p, p->at)));
        return false;
    }
    return true;
}

static bool take_term(struct filter_text *p, struct term *t)
{
    const size_t from = p->at;
    struct slice name;

    while (is_name(look(p)))
        p->at++;
    name = slice_sub(p->text, from, p->at);
    t->field = field_named(name);
    t->op = take_operator(p);
    if (t->op == OP_NONE || name.len == 0) {
        fault_set(p->why,
                  "at character %zu: %s is no term; one is a name, an operator (= != ~ !~ > >= < <=) and a value, such "
                  "as url~taxa or status>=500",
                  from + 1, shown(p, from, term_end(p, from)));
        return false;
    }
    if (t->field == NULL) {
        fault_set(p->why, "at character %zu: there is nothing called %s; there are " SLICE_FMT, from + 1,
                  shown(p, from, from + name.len), SLICE_ARG(all_names(p->arena)));
        return false;
    }
    if (!may_compare(t->field, t->op)) {
        fault_set(p->why, "at character %zu: %s takes %s", p->at, t->field->name,
                  t->field->type == RECORD_SLICE  ? "= != ~ !~"
                  : t->field->type == RECORD_FLAG ? "= !="
                                                  : "= != > >= < <=");
        return false;
    }
    return take_values(p, t, from);
}

const struct record_filter *record_filter_parse(struct slice text, struct arena *a, struct fault *why)
{
    struct record_filter *f = arena_alloc(a, sizeof *f);
    struct filter_text    p = { .text = text, .arena = a, .why = why };

    for (;;) {
        struct term t = { .op = OP_NONE };

        while (p.at < text.len && is_space(look(&p)))
            p.at++;
        if (p.at == text.len)
            return f;
        if (!take_term(&p, &t))
            return NULL;
        ARENA_ROOM(a, f->terms, f->room, f->count);
        f->terms[f->count++] = t;
    }
}

/* -- judging -- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool has_part(struct slice text, struct slice part)
{
    for (size_t i = 0; i + part.len <= text.len; i++) {
        size_t k = 0;

        while (k < part.len && lower(text.ptr[i + k]) == lower(part.ptr[k]))
            k++;
        if (k == part.len)
            return true;
    }
    return false;
}

static bool text_fits(const struct term *t, const struct value *v, struct slice text)
{
    return t->op == OP_HAS || t->op == OP_LACKS ? has_part(text, v->text) : slice_matches(v->text, text);
}

static int64_t number_of(const struct term *t, const struct request_record *r)
{
    return t->field->type == RECORD_FLAG ? record_flag(r, t->field) : record_number(r, t->field);
}

static bool number_fits(const struct term *t, const struct value *v, int64_t n)
{
    switch (t->op) {
    case OP_OVER:
        return n >= v->high;
    case OP_AT_LEAST:
        return n >= v->low;
    case OP_UNDER:
        return n < v->low;
    case OP_AT_MOST:
        return n < v->high;
    default:
        return n >= v->low && n < v->high;
    }
}

static bool term_fits(const struct term *t, const struct request_record *r)
{
    const bool is_text = t->field->type == RECORD_SLICE, negates = t->op == OP_UNEQUAL || t->op == OP_LACKS;

    for (unsigned i = 0; i < t->count; i++)
        if (is_text ? text_fits(t, &t->values[i], record_slice(r, t->field))
                    : number_fits(t, &t->values[i], number_of(t, r)))
            return !negates;
    return negates;
}

bool record_filter_fits(const struct record_filter *f, const struct request_record *r)
{
    for (unsigned i = 0; i < f->count; i++)
        if (!term_fits(&f->terms[i], r))
            return false;
    return true;
}
