/*
 * Cache-Control: one table of directives for both directions and for the
 * targeted fields.
 *
 * Where the grammar leaves open what a wrong spelling means, the reading that
 * stores and reuses less is taken: a restriction counts whatever its argument,
 * a permission only without one, and a lifetime that cannot be read is over.
 */
#include "http/cache_control.h"

#include "http/list.h"
#include "http/structured.h"

#include <stddef.h>

static const int64_t DELTA_SECONDS_MAX = INT64_C(2147483648); /* RFC 9111 1.2.2 */

enum cache_control_side { REQUEST = 1, RESPONSE = 2, BOTH = 3 };
enum cache_control_kind { RESTRICTION, PERMISSION, SECONDS, FIELD_LIST };

static const struct directive {
    struct slice            name;
    unsigned                sides;
    enum cache_control_kind kind;
    unsigned                flag;      /* SECONDS: what no argument means, 0 for junk */
    unsigned                list_flag; /* FIELD_LIST: set with a list instead of flag */
    size_t                  offset;    /* SECONDS: of the number; FIELD_LIST: of the slice */
} directives[] = {
#define NAME(text) \
    { \
        text, sizeof(text) - 1 \
    }
#define IN(member) offsetof(struct cache_control, member)
    // clang-format off
    { NAME("max-age"),          BOTH,     SECONDS,     0, 0, IN(max_age_s) },
    { NAME("s-maxage"),         RESPONSE, SECONDS,     0, 0, IN(s_maxage_s) },
    { NAME("max-stale"),        REQUEST,  SECONDS,     CC_MAX_STALE_ANY, 0, IN(max_stale_s) },
    { NAME("min-fresh"),        REQUEST,  SECONDS,     0, 0, IN(min_fresh_s) },
    { NAME("stale-while-revalidate"), RESPONSE, SECONDS, 0, 0, IN(stale_while_revalidate_s) },
    { NAME("stale-if-error"),   BOTH,     SECONDS,     0, 0, IN(stale_if_error_s) },
    { NAME("no-store"),         BOTH,     RESTRICTION, CC_NO_STORE, 0, 0 },
    { NAME("no-cache"),         REQUEST,  RESTRICTION, CC_NO_CACHE, 0, 0 },
    { NAME("no-cache"),         RESPONSE, FIELD_LIST,  CC_NO_CACHE, CC_NO_CACHE_FIELDS,
      IN(no_cache_fields) },
    { NAME("private"),          RESPONSE, FIELD_LIST,  CC_PRIVATE, CC_PRIVATE_FIELDS,
      IN(private_fields) },
    { NAME("public"),           RESPONSE, PERMISSION,  CC_PUBLIC, 0, 0 },
    { NAME("must-revalidate"),  REQUEST,  RESTRICTION, CC_MUST_REVALIDATE | CC_NO_CACHE, 0, 0 },
    { NAME("must-revalidate"),  RESPONSE, RESTRICTION, CC_MUST_REVALIDATE, 0, 0 },
    { NAME("proxy-revalidate"), RESPONSE, RESTRICTION, CC_PROXY_REVALIDATE, 0, 0 },
    { NAME("must-understand"),  RESPONSE, PERMISSION,  CC_MUST_UNDERSTAND, 0, 0 },
    { NAME("immutable"),        RESPONSE, PERMISSION,  CC_IMMUTABLE, 0, 0 },
    { NAME("no-transform"),     BOTH,     RESTRICTION, CC_NO_TRANSFORM, 0, 0 },
    { NAME("only-if-cached"),   REQUEST,  RESTRICTION, CC_ONLY_IF_CACHED, 0, 0 },
// clang-format on
#undef NAME
#undef IN
};

static const struct cache_control nothing_said = {
    .max_age_s = CC_ABSENT,
    .s_maxage_s = CC_ABSENT,
    .max_stale_s = CC_ABSENT,
    .min_fresh_s = CC_ABSENT,
    .stale_while_revalidate_s = CC_ABSENT,
    .stale_if_error_s = CC_ABSENT,
};

static const struct directive *find_directive(struct slice name, enum cache_control_side side)
{
    for (size_t i = 0; i < sizeof directives / sizeof directives[0]; i++)
        if ((directives[i].sides & side) != 0 && slice_eq_nocase(directives[i].name, name))
            return &directives[i];
    return NULL;
}

static int64_t *number_of(const struct directive *d, struct cache_control *cc)
{
    return (int64_t *)(void *)((char *)cc + d->offset);
}

static struct slice *list_of(const struct directive *d, struct cache_control *cc)
{
    return (struct slice *)(void *)((char *)cc + d->offset);
}

/* Both forms of an argument are taken (5.2), which for these never need an escape. */
static struct slice without_quotes(struct slice s)
{
    if (s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"')
        return slice_sub(s, 1, s.len - 1);
    return s;
}

/* RFC 9111 1.2.2: digits only; what is too large to hold is the largest. */
static bool parse_delta_seconds(struct slice s, int64_t *out)
{
    int64_t n = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        n = n * 10 + (s.ptr[i] - '0');
        if (n > DELTA_SECONDS_MAX)
            n = DELTA_SECONDS_MAX;
    }
    *out = n;
    return true;
}

/* Of several the first counts (4.2.1), also where it is junk or max-stale without a value. */
static void take_seconds(struct cache_control *cc, const struct directive *d, struct slice argument,
                         enum cache_control_side side)
{
    int64_t *number = number_of(d, cc);

    if (*number != CC_ABSENT || (d->flag != 0 && (cc->flags & d->flag) != 0))
        return;
    if (argument.ptr == NULL && d->flag != 0)
        cc->flags |= d->flag;
    else if (!parse_delta_seconds(without_quotes(argument), number) && side == RESPONSE)
        *number = 0;
}

/* A list of tokens and nothing else; in doubt ('single quotes') all of the response is meant. */
static bool is_field_list(struct slice s)
{
    struct http_list list = http_list_of_value(s);
    struct slice     name;
    bool             any = false;

    while (http_list_next(&list, &name)) {
        if (!http_is_token(name) || name.ptr[0] == '\'')
            return false;
        any = true;
    }
    return any;
}

static void take_field_list(struct cache_control *cc, const struct directive *d, struct slice argument)
{
    struct slice list = without_quotes(argument);

    if (!is_field_list(list) || (cc->flags & d->list_flag) != 0) {
        cc->flags |= d->flag; /* two lists do not fit one slice */
        return;
    }
    cc->flags |= d->list_flag;
    *list_of(d, cc) = list;
}

static void take_directive(struct cache_control *cc, const struct directive *d, struct slice argument,
                           enum cache_control_side side)
{
    switch (d->kind) {
    case SECONDS:
        take_seconds(cc, d, argument, side);
        break;
    case FIELD_LIST:
        take_field_list(cc, d, argument);
        break;
    case RESTRICTION:
        cc->flags |= d->flag;
        break;
    case PERMISSION:
        if (argument.ptr == NULL)
            cc->flags |= d->flag;
        break;
    }
}

static struct cache_control parse_lines(const struct http_fields *fields, enum cache_control_side side)
{
    struct cache_control cc = nothing_said;
    struct http_list     list = http_list_of_field(fields, HTTP_CACHE_CONTROL);
    struct slice         member, name, argument;

    if (http_fields_find(fields, HTTP_CACHE_CONTROL, 0) >= 0)
        cc.flags |= CC_PRESENT;
    while (http_list_next(&list, &member)) {
        const struct directive *d;

        http_split_parameter(member, &name, &argument);
        d = find_directive(name, side);
        if (d != NULL)
            take_directive(&cc, d, argument, side);
    }
    return cc;
}

struct cache_control cache_control_of_request(const struct http_fields *fields)
{
    struct cache_control cc = parse_lines(fields, REQUEST);
    struct http_list     pragma = http_list_of_field(fields, HTTP_PRAGMA);
    struct slice         member;

    while ((cc.flags & CC_PRESENT) == 0 && http_list_next(&pragma, &member))
        if (slice_eq_nocase(member, SLICE("no-cache"))) {
            cc.flags |= CC_NO_CACHE;
            break;
        }
    return cc;
}

/* RFC 9213 2.1: a member whose type is not its directive's does not count.  True where it does. */
static bool take_member(struct cache_control *cc, const struct directive *d, const struct sf_item *value)
{
    bool is_true = value->type == SF_BOOLEAN && value->integer == 1;

    if (d->kind == SECONDS) {
        int64_t seconds = value->type == SF_INTEGER ? value->integer : 0;

        *number_of(d, cc) = seconds < 0 ? 0 : seconds < DELTA_SECONDS_MAX ? seconds : DELTA_SECONDS_MAX;
        return value->type == SF_INTEGER;
    }
    if (d->kind == FIELD_LIST && (value->type == SF_STRING || value->type == SF_TOKEN)) {
        take_field_list(cc, d, value->text);
        return true;
    }
    if (is_true)
        cc->flags |= d->flag;
    return is_true;
}

/* False where nothing in the field counts: then it is as if it was not there. */
static bool take_members(struct cache_control *cc, const struct sf_members *members)
{
    bool any = false;

    for (unsigned i = 0; i < members->count; i++) {
        const struct sf_member *m = &members->items[i];
        const struct directive *d = find_directive(m->key, RESPONSE);

        if (d == NULL || take_member(cc, d, &m->value))
            any = true;
    }
    return any;
}

static bool lies_within(struct slice inner, struct slice outer)
{
    uintptr_t inner_at = (uintptr_t)inner.ptr, outer_at = (uintptr_t)outer.ptr;

    return inner_at >= outer_at && inner_at + inner.len <= outer_at + outer.len;
}

/* A list that was joined of several lines or unescaped dies with our arena: without its list the
 * directive covers the whole response, which is never less. */
static void drop_foreign_list(struct cache_control *cc, struct slice first_line, unsigned flag, unsigned list_flag,
                              struct slice *list)
{
    if ((cc->flags & list_flag) == 0 || lies_within(*list, first_line))
        return;
    cc->flags = (cc->flags & ~list_flag) | flag;
    *list = SLICE_NONE;
}

static bool parse_targeted(const struct http_fields *fields, enum http_name id, struct cache_control *out)
{
    struct slice         first_line = http_fields_get(fields, id);
    struct cache_control cc = nothing_said;
    struct arena         arena = { 0 };
    struct sf_members    members;
    bool                 valid;

    if (first_line.ptr == NULL)
        return false;
    valid = sf_parse_dictionary(http_fields_join(fields, slice_of(http_name_text(id)), &arena), &arena, &members) &&
            take_members(&cc, &members);
    if (valid) {
        drop_foreign_list(&cc, first_line, CC_NO_CACHE, CC_NO_CACHE_FIELDS, &cc.no_cache_fields);
        drop_foreign_list(&cc, first_line, CC_PRIVATE, CC_PRIVATE_FIELDS, &cc.private_fields);
        cc.flags |= CC_PRESENT | CC_TARGETED;
        *out = cc;
    }
    arena_free(&arena);
    return valid;
}

struct cache_control cache_control_of_response(const struct http_fields *fields)
{
    static const enum http_name targets[] = { HTTP_WEIR_CACHE_CONTROL, HTTP_CDN_CACHE_CONTROL };
    struct cache_control        cc;

    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        if (parse_targeted(fields, targets[i], &cc))
            return cc;
    return parse_lines(fields, RESPONSE);
}

bool field_list_has(struct slice list, struct slice name)
{
    struct http_list cursor = http_list_of_value(list);
    struct slice     member;

    while (http_list_next(&cursor, &member))
        if (slice_eq_nocase(member, name))
            return true;
    return false;
}
