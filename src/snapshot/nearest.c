/*
 * What a request that is not recorded comes nearest to, and what differs: for the person whose script has changed.
 *
 * Nearest is what differs in the least that counts: the body, one parameter, several, the method, the end of the path.
 * All values that are named are of the redacted request.
 */
#include "snapshot/internal.h"

#include "http/url.h"

#include <stdlib.h>

enum { VALUE_MOST = 60, NAMED_MOST = 3, BODY_MOST_BYTES = 8 * 1024 * 1024, DEPTH_MOST = 64 };

struct target_parts {
    struct slice origin, path, query; /* query.ptr NULL: none */
};

static struct target_parts split(struct slice url)
{
    const char  *slashes = memmem(url.ptr, url.len, "://", 3);
    size_t       from = slashes != NULL ? (size_t)(slashes - url.ptr) + 3 : 0, path = slice_find(url, '/', from);
    size_t       mark = slice_find(url, '?', 0);
    struct slice query = mark < url.len ? slice_sub(url, mark + 1, url.len) : SLICE_NONE;

    path = path < mark ? path : mark;
    return (struct target_parts){ slice_sub(url, 0, path), slice_sub(url, path, mark), query };
}

/* ---- parameters ---- */

static struct slice name_of(struct slice parameter)
{
    return slice_sub(parameter, 0, slice_find(parameter, '=', 0));
}

static struct slice value_of(struct slice parameter)
{
    return slice_sub(parameter, slice_find(parameter, '=', 0) + 1, parameter.len);
}

/* The nth of that name. */
static bool find_parameter(struct slice query, struct slice name, unsigned nth, struct slice *out)
{
    while (query.ptr != NULL && http_query_next(&query, out))
        if (slice_eq(name_of(*out), name) && nth-- == 0)
            return true;
    return false;
}

/* How many of that name come before `end` in it. */
static unsigned nth_of(struct slice query, struct slice name, const char *end)
{
    struct slice parameter;
    unsigned     n = 0;

    while (http_query_next(&query, &parameter) && parameter.ptr < end)
        n += slice_eq(name_of(parameter), name);
    return n;
}

struct nearest_told {
    struct arena *arena;
    struct slice  text;
    unsigned      count;
};

static struct slice short_of(struct slice s, struct arena *a)
{
    return s.len <= VALUE_MOST ? s : ARENA_JOIN(a, slice_sub(s, 0, VALUE_MOST), SLICE("..."));
}

static void tell(struct nearest_told *t, struct slice part)
{
    t->count++;
    if (t->count > NAMED_MOST)
        return;
    t->text = t->count > 1 ? ARENA_JOIN(t->arena, t->text, SLICE("; "), part) : part;
}

/* Without `t` they are only counted. */
static unsigned compare_queries(struct slice asked, struct slice was, struct nearest_told *t)
{
    struct slice rest = asked, one, other;
    unsigned     differ = 0;

    while (rest.ptr != NULL && http_query_next(&rest, &one)) {
        bool is_there = find_parameter(was, name_of(one), nth_of(asked, name_of(one), one.ptr), &other);

        if (is_there && slice_eq(one, other))
            continue;
        differ++;
        if (t != NULL && is_there)
            tell(t, arena_printf(t->arena, "the parameter " SLICE_FMT " is " SLICE_FMT " and was " SLICE_FMT,
                                 SLICE_ARG(name_of(one)), SLICE_ARG(short_of(value_of(one), t->arena)),
                                 SLICE_ARG(short_of(value_of(other), t->arena))));
        else if (t != NULL)
            tell(t, arena_printf(t->arena, "the parameter " SLICE_FMT " was not there", SLICE_ARG(name_of(one))));
    }
    for (rest = was; rest.ptr != NULL && http_query_next(&rest, &one);) {
        if (find_parameter(asked, name_of(one), nth_of(was, name_of(one), one.ptr), &other))
            continue;
        differ++;
        if (t != NULL)
            tell(t, arena_printf(t->arena, "the parameter " SLICE_FMT " is missing, which was " SLICE_FMT,
                                 SLICE_ARG(name_of(one)), SLICE_ARG(short_of(value_of(one), t->arena))));
    }
    return differ;
}

/* ---- bodies ---- */

static struct slice json_shown(const json_t *j, struct arena *a)
{
    char        *text = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    struct slice shown = text != NULL ? short_of(arena_copy(a, slice_of(text)), a) : SLICE("?");

    free(text);
    return shown;
}

static void compare_json(const json_t *asked, const json_t *was, struct slice where, unsigned depth,
                         struct nearest_told *t);

static void compare_members(const json_t *asked, const json_t *was, struct slice where, unsigned depth,
                            struct nearest_told *t)
{
    const char *key;
    json_t     *value;

    json_object_foreach((json_t *)(uintptr_t)asked, key, value)
    {
        struct slice at = ARENA_JOIN(t->arena, where, SLICE("/"), slice_of(key));

        if (json_object_get(was, key) == NULL)
            tell(t, arena_printf(t->arena, "the body's " SLICE_FMT " was not there", SLICE_ARG(at)));
        else
            compare_json(value, json_object_get(was, key), at, depth + 1, t);
    }
    json_object_foreach((json_t *)(uintptr_t)was, key, value)
    {
        if (json_object_get(asked, key) == NULL)
            tell(t, arena_printf(t->arena, "the body's " SLICE_FMT "/%s is missing, which was " SLICE_FMT,
                                 SLICE_ARG(where), key, SLICE_ARG(json_shown(value, t->arena))));
    }
}

static void compare_json(const json_t *asked, const json_t *was, struct slice where, unsigned depth,
                         struct nearest_told *t)
{
    bool arrays = json_is_array(asked) && json_is_array(was);

    if (json_equal(asked, was))
        return;
    if (json_is_object(asked) && json_is_object(was) && depth < DEPTH_MOST) {
        compare_members(asked, was, where, depth, t);
        return;
    }
    if (arrays && json_array_size(asked) == json_array_size(was) && depth < DEPTH_MOST) {
        for (size_t i = 0; i < json_array_size(asked); i++)
            compare_json(json_array_get(asked, i), json_array_get(was, i),
                         arena_printf(t->arena, SLICE_FMT "/%zu", SLICE_ARG(where), i), depth + 1, t);
        return;
    }
    tell(t, arena_printf(t->arena, "the body's " SLICE_FMT " is " SLICE_FMT " and was " SLICE_FMT,
                         SLICE_ARG(where.len > 0 ? where : SLICE("value")), SLICE_ARG(json_shown(asked, t->arena)),
                         SLICE_ARG(json_shown(was, t->arena))));
}

static bool is_form(struct slice body)
{
    return slice_find(body, '=', 0) < body.len && slice_find(body, '\n', 0) == body.len;
}

static void compare_bodies(struct snapshot_reader *s, struct slice asked, const struct gathered_line *l,
                           struct nearest_told *t)
{
    struct snapshot_body body = { .name = l->body };
    struct slice         was = SLICE("");
    json_t              *a, *b;
    unsigned             before = t->count;

    if (l->body.ptr != NULL && !snapshot_body_all(s, &body, BODY_MOST_BYTES, t->arena, &was, NULL)) {
        tell(t, SLICE("the body is another one"));
        return;
    }
    if (asked.len == 0 || was.len == 0) {
        tell(t, asked.len == 0 ? SLICE("there is no body, and there was one") : SLICE("there was no body"));
        return;
    }
    a = json_loadb(asked.ptr, asked.len, JSON_DECODE_ANY, NULL);
    b = json_loadb(was.ptr, was.len, JSON_DECODE_ANY, NULL);
    if (a != NULL && b != NULL)
        compare_json(a, b, SLICE(""), 0, t);
    else if (is_form(asked) && is_form(was))
        compare_queries(asked, was, t);
    if (t->count == before && a != NULL && b != NULL)
        tell(t, SLICE("the body is the same JSON in other bytes"));
    else if (t->count == before)
        tell(t, arena_printf(t->arena, "the body has %zu bytes and had %zu", asked.len, was.len));
    json_decref(a);
    json_decref(b);
}

/* ---- which ---- */

static size_t alike_bytes(struct slice a, struct slice b)
{
    size_t i = 0;

    while (i < a.len && i < b.len && a.ptr[i] == b.ptr[i])
        i++;
    return i;
}

/* The more the nearer. */
static int64_t nearness(const struct gathered_line *l, struct slice method, const struct target_parts *asked,
                        struct slice body)
{
    struct target_parts was = split(l->url);
    bool                same_origin = slice_eq(asked->origin, was.origin), same_method = slice_eq(l->method, method);
    int64_t             near = 0;

    if (same_origin && slice_eq(asked->path, was.path)) {
        near = INT64_C(1) << 40;
        near -= (int64_t)compare_queries(asked->query, was.query, NULL) << 20;
    } else {
        near = same_origin ? INT64_C(1) << 30 : 0;
        near += (int64_t)alike_bytes(asked->path, was.path) << 8;
    }
    near += same_method ? INT64_C(3) << 18 : 0;
    return near + (slice_eq(slice_sub(l->body, 0, HASH_HEX), slice_sub(body, 0, HASH_HEX)) ? INT64_C(1) << 18 : 0);
}

void nearest_find(struct snapshot_reader *s, struct slice method, struct slice url, struct slice body_name,
                  struct slice body, struct snapshot_nearest *out, struct arena *a)
{
    struct target_parts         asked = split(url), was;
    const struct gathered_line *best = NULL;
    struct nearest_told         t = { .arena = a, .text = SLICE("") };
    int64_t                     most = -1;

    *out = (struct snapshot_nearest){ 0 };
    for (size_t i = 0; i < s->all.count; i++) {
        int64_t near = nearness(&s->all.lines[i], method, &asked, body_name);

        if (near > most) {
            most = near;
            best = &s->all.lines[i];
        }
    }
    if (best == NULL)
        return;
    was = split(best->url);
    if (!slice_eq(method, best->method))
        tell(&t, arena_printf(a, "the method is " SLICE_FMT " and was " SLICE_FMT, SLICE_ARG(method),
                              SLICE_ARG(best->method)));
    if (!slice_eq(asked.origin, was.origin))
        tell(&t, arena_printf(a, "the host is " SLICE_FMT " and was " SLICE_FMT, SLICE_ARG(asked.origin),
                              SLICE_ARG(was.origin)));
    if (!slice_eq(asked.path, was.path))
        tell(&t, arena_printf(a, "the path is " SLICE_FMT " and was " SLICE_FMT, SLICE_ARG(short_of(asked.path, a)),
                              SLICE_ARG(short_of(was.path, a))));
    compare_queries(asked.query, was.query, &t);
    if (!slice_eq(slice_sub(best->body, 0, HASH_HEX), slice_sub(body_name, 0, HASH_HEX)))
        compare_bodies(s, body, best, &t);
    if (t.count == 0)
        tell(&t, SLICE("it is recorded for other fields alone: a part of it, or that it has not changed"));
    if (t.count > NAMED_MOST)
        t.text = arena_printf(a, SLICE_FMT "; and %u more", SLICE_ARG(t.text), t.count - NAMED_MOST);
    *out = (struct snapshot_nearest){ .method = best->method, .url = best->url, .difference = t.text };
}
