/*
 * The table of problems, and their JSON.
 */
#include "http/problem.h"

#include "http/json.h"

#include <stdio.h>

const struct problem_type problem_types[PROBLEM_COUNT] = {
#define PROBLEM(id, status, name, title, meaning, remedy) [PROBLEM_##id] = { status, name, title, meaning, remedy },
#include "http/problem.def"
#undef PROBLEM
};

static const struct layout {
    const char *before, *between, *colon, *after; /* members */
} layouts[] = {
    [PROBLEM_ONE_LINE] = { "{", ",", ":", "}\n" },
    [PROBLEM_INDENTED] = { "{\n  ", ",\n  ", ": ", "\n}" },
};

enum { BYTES_BESIDE_DETAIL = 384, BYTES_OF_ESCAPE = sizeof "\\u0000" - 1 };

struct writing {
    struct json_out      out;
    const struct layout *layout;
};

static void name(struct writing *w, const char *member)
{
    json_raw(&w->out, slice_of(w->out.used == 0 ? w->layout->before : w->layout->between));
    json_text(&w->out, slice_of(member));
    json_raw(&w->out, slice_of(w->layout->colon));
}

static void text(struct writing *w, const char *member, struct slice value)
{
    if (value.ptr == NULL)
        return;
    name(w, member);
    json_text(&w->out, value);
}

static void write_type(struct writing *w, const struct problem_type *type)
{
    char uri[128];

    snprintf(uri, sizeof uri, PROBLEM_TYPE "%s", type->name);
    text(w, "type", slice_of(uri));
}

static void number(struct writing *w, const char *member, int64_t value)
{
    name(w, member);
    json_int(&w->out, value);
}

static struct slice or_none(const char *value)
{
    return value != NULL ? slice_of(value) : SLICE_NONE;
}

static size_t write_with(char *out, size_t room, const struct problem_text *p, struct slice detail)
{
    struct writing             w = { { out, room, 0, false }, &layouts[p->form] };
    const struct problem_type *type = &problem_types[p->kind];

    write_type(&w, type);
    text(&w, "title", slice_of(type->title));
    number(&w, "status", type->status);
    text(&w, "detail", detail);
    text(&w, "upstream", or_none(p->upstream));
    text(&w, "limit", or_none(p->limit));
    text(&w, "blocked_by", or_none(p->blocked_by));
    if (p->has_retry_after)
        number(&w, "retry_after_ms", p->retry_after_ms);
    json_raw(&w.out, slice_of(w.layout->after));
    return w.out.overflow ? 0 : w.out.used;
}

/* A character that is cut in two would be told as one that is broken (RFC 3629 3). */
static struct slice half(struct slice detail)
{
    size_t n = detail.len / 2;

    while (n > 0 && ((unsigned char)detail.ptr[n] & 0xc0) == 0x80)
        n--;
    return slice_sub(detail, 0, n);
}

size_t problem_write(char *out, size_t room, const struct problem_text *p)
{
    struct slice detail = p->detail.ptr != NULL ? p->detail : SLICE("");
    size_t       bytes;

    while ((bytes = write_with(out, room, p, detail)) == 0 && detail.len > 0)
        detail = half(detail);
    return bytes;
}

enum problem_kind problem_find(struct slice name)
{
    for (int i = PROBLEM_NONE + 1; i < PROBLEM_COUNT; i++)
        if (slice_eq(name, slice_of(problem_types[i].name)))
            return (enum problem_kind)i;
    return PROBLEM_NONE;
}

size_t problem_room(size_t detail_bytes)
{
    return BYTES_BESIDE_DETAIL + BYTES_OF_ESCAPE * detail_bytes;
}

struct slice problem_page(struct slice name, struct arena *a)
{
    const struct problem_type *p = &problem_types[problem_find(name)];

    if (p->name == NULL)
        return SLICE_NONE;
    return arena_printf(a, "%s (%u)\n\n%s\n%s\n", p->title, p->status, p->meaning, p->remedy);
}
