/*
 * A family's reset says how long its remaining holds; a member of RateLimit carries its own.
 * Moments stay as they are until they have passed, delays are counted down in the unit in which they came.
 */
#include "budget/fade.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/decimal.h"
#include "budget/learned.h"
#include "http/limit_name.h"
#include "http/list.h"
#include "http/when.h"

#define UNTOLD_NS      (3600 * NS_PER_SEC) /* nobody says until when: no longer than any word is believed */
#define LEAKING_NS     (60 * NS_PER_SEC)   /* a bucket that leaks is another by then */
#define MOMENT_FROM_NS (INT64_C(1000000000) * NS_PER_SEC) /* see http/when.c */

struct fading {
    const struct http_response *response;
    const struct limit_owns    *owns;
    struct arena               *arena;
    int64_t                     now_wall_ns;
    int64_t                     api_ns; /* by its Date; -1: not looked for yet, most answers need none */
    struct fade_piece          *pieces;
    unsigned                    count, capacity;
};

static struct fade_piece *add_piece(struct fading *f, struct slice name)
{
    ARENA_ROOM(f->arena, f->pieces, f->capacity, f->count);
    f->pieces[f->count] =
        (struct fade_piece){ .name = name, .before = SLICE(""), .after = SLICE(""), .for_ns = INT64_MAX };
    return &f->pieces[f->count++];
}

/* -- RateLimit -- */

/* Where the digits of `key` stand in a member, outside of quotes; false: it has none. */
static bool find_digits(struct slice member, struct slice key, size_t *from, size_t *to)
{
    bool quoted = false;

    for (size_t at = 0; at + key.len < member.len; at++) {
        if (member.ptr[at] == '"')
            quoted = !quoted;
        if (quoted || !slice_eq(slice_sub(member, at, at + key.len), key))
            continue;
        *from = *to = at + key.len;
        while (*to < member.len && member.ptr[*to] >= '0' && member.ptr[*to] <= '9')
            ++*to;
        return *to > *from;
    }
    return false;
}

static int64_t digits_ns(struct slice digits)
{
    int64_t n;

    return slice_to_int64(digits, &n) && n < INT64_MAX / NS_PER_SEC ? n * NS_PER_SEC : UNTOLD_NS;
}

/* limit=100, remaining=50, reset=5: all of it ends with the reset. */
static int64_t dictionary_reset_ns(struct slice text)
{
    struct http_list list = http_list_of_value(text);
    struct slice     member;
    size_t           from, to;

    while (http_list_next(&list, &member))
        if (slice_starts_with(member, SLICE("reset=")) && find_digits(member, SLICE("reset="), &from, &to))
            return digits_ns(slice_sub(member, from, to));
    return -1;
}

static void read_structured(struct fading *f, const struct http_field *field)
{
    struct http_list list = http_list_of_value(field->value);
    int64_t          all_ns = dictionary_reset_ns(field->value);
    struct slice     member, key = all_ns >= 0 ? SLICE("reset=") : SLICE(";t=");
    bool             joins = false;

    for (; http_list_next(&list, &member); joins = true) {
        struct fade_piece *p = add_piece(f, field->name);
        size_t             from, to;

        p->joins = joins;
        p->before = member;
        p->for_ns = all_ns >= 0 ? all_ns : UNTOLD_NS;
        if (!find_digits(member, key, &from, &to))
            continue;
        p->before = slice_sub(member, 0, from);
        p->after = slice_sub(member, to, member.len);
        p->for_ns = digits_ns(slice_sub(member, from, to));
        p->unit_ns = NS_PER_SEC;
    }
}

/* -- families -- */

/* How long the statement that this field is part of holds. */
static int64_t statement_ns(const struct fading *f, const struct limit_name *of)
{
    int64_t shortest_ns = INT64_MAX;

    for (unsigned i = 0; i < f->response->fields.count; i++) {
        const struct http_field *field = &f->response->fields.items[i];
        struct limit_name        n;
        struct http_when         w;

        if (!limit_field_read(f->owns, field->name, &n) || n.family != of->family || n.window_s != of->window_s ||
            !slice_eq_nocase(n.unit, of->unit) || (n.part != LIMIT_PART_RESET && n.part != LIMIT_PART_RESET_AFTER))
            continue;
        w = http_when_read_list(field->value, n.in_ms ? NS_PER_MS : NS_PER_SEC, f->api_ns);
        if (w.told && !w.odd && w.in_ns < shortest_ns)
            shortest_ns = w.in_ns;
    }
    if (shortest_ns < INT64_MAX)
        return shortest_ns;
    if (of->part == LIMIT_PART_RATIO)
        return LEAKING_NS;
    return of->window_s > 0 && of->window_s * NS_PER_SEC < UNTOLD_NS ? of->window_s * NS_PER_SEC : UNTOLD_NS;
}

/* A moment stays as it is, a delay becomes a number; what is neither, or several, ends with the next second. */
static void read_reset(struct fading *f, const struct http_field *field, const struct limit_name *n,
                       struct fade_piece *p)
{
    int64_t          unit_ns = n->in_ms ? NS_PER_MS : NS_PER_SEC, later_ns = f->api_ns + 10 * NS_PER_SEC;
    struct http_when w = http_when_read(field->value, unit_ns, f->api_ns);
    struct http_when later = http_when_read(field->value, unit_ns, later_ns);
    size_t           digits = 0;

    p->before = field->value;
    if (!w.told || w.odd) {
        p->for_ns = NS_PER_SEC;
        return;
    }
    p->for_ns = w.in_ns;
    if (w.in_ns != later.in_ns)
        return; /* the same moment, and so nearer by then */
    while (digits < field->value.len &&
           ((field->value.ptr[digits] >= '0' && field->value.ptr[digits] <= '9') || field->value.ptr[digits] == '.'))
        digits++;
    p->before = SLICE("");
    p->after = digits < field->value.len ? SLICE("s") : SLICE(""); /* "6m0s" */
    p->unit_ns = digits < field->value.len ? NS_PER_SEC : unit_ns;
}

static void read_field(struct fading *f, const struct http_field *field)
{
    struct limit_name  n;
    struct fade_piece *p;

    if (!limit_field_read(f->owns, field->name, &n) || n.family == LIMIT_FAMILY_RETRY_AFTER)
        return;
    if (f->api_ns < 0)
        f->api_ns = learned_date_ns(f->response, f->now_wall_ns);
    if (f->api_ns < 0)
        f->api_ns = f->now_wall_ns;
    if (n.part == LIMIT_PART_STRUCTURED) {
        read_structured(f, field);
        return;
    }
    p = add_piece(f, field->name);
    p->before = field->value.ptr != NULL ? field->value : SLICE("");
    switch (n.part) {
    case LIMIT_PART_RESET:
    case LIMIT_PART_RESET_AFTER:
        read_reset(f, field, &n, p);
        break;
    case LIMIT_PART_WAIT:
    case LIMIT_PART_REMAINING:
    case LIMIT_PART_USED:
    case LIMIT_PART_RATIO:
        p->for_ns = statement_ns(f, &n);
        break;
    default:
        break; /* limits, policies and names do not run out */
    }
}

unsigned fade_read(const struct http_response *r, const struct limit_owns *owns, int64_t now_wall_ns, struct arena *a,
                   struct fade_piece **out)
{
    struct fading f = { .response = r, .owns = owns, .arena = a, .now_wall_ns = now_wall_ns, .api_ns = -1 };

    for (unsigned i = 0; i < r->fields.count && f.count <= FADE_MOST; i++)
        read_field(&f, &r->fields.items[i]);
    *out = f.pieces;
    return f.count;
}

/* -- later -- */

static struct slice text_of(const struct fade_piece *p, int64_t left_ns, struct arena *a)
{
    char number[DECIMAL_BYTES];

    if (p->unit_ns == 0)
        return p->before;
    left_ns = (left_ns - 1) / NS_PER_SEC + 1; /* whole seconds, as a kept reply is whole for one */
    return ARENA_JOIN(a, p->before, decimal((uint64_t)(left_ns * (NS_PER_SEC / p->unit_ns)), number), p->after);
}

int64_t fade_write(const struct fade_piece *pieces, unsigned count, int64_t elapsed_ns, struct arena *a,
                   struct http_fields *f)
{
    int64_t stays_ns = INT64_MAX;
    int     list = -1; /* the field that members join */

    for (unsigned i = 0; i < count; i++) {
        const struct fade_piece *p = &pieces[i];
        int64_t                  left_ns = p->for_ns == INT64_MAX ? INT64_MAX : p->for_ns - elapsed_ns, until_ns;
        struct slice             text;

        if (!p->joins)
            list = -1;
        if (left_ns <= 0)
            continue;
        text = text_of(p, left_ns, a);
        until_ns = p->unit_ns > 0 ? (left_ns - 1) % NS_PER_SEC + 1 : left_ns;
        if (until_ns < stays_ns)
            stays_ns = until_ns;
        if (list >= 0) {
            f->items[list].value = ARENA_JOIN(a, f->items[list].value, SLICE(", "), text);
            continue;
        }
        http_fields_add(f, a, arena_copy(a, p->name), p->unit_ns == 0 ? arena_copy(a, text) : text);
        list = (int)f->count - 1;
    }
    return stays_ns;
}
