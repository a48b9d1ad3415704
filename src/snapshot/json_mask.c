/*
 * See json_mask.h.  All pointers walk down together: at each level those that the member's name fits go on.
 */
#include "snapshot/json_mask.h"

#include "snapshot/scan.h"

enum { POINTERS_MOST = 64, DEPTH_MOST = 128 };

struct masking {
    struct arena *arena;
    struct slice  text;
    struct slice *parts;
    size_t        count, capacity, done;
    json_masked   masked;
    void         *context;
};

static void put(struct masking *m, struct slice part)
{
    ARENA_ROOM(m->arena, m->parts, m->capacity, m->count);
    m->parts[m->count++] = part;
}

static void mask(struct masking *m, struct slice value, struct slice name)
{
    size_t from = (size_t)(value.ptr - m->text.ptr);

    m->masked(m->context, value);
    put(m, slice_sub(m->text, m->done, from));
    put(m, ARENA_JOIN(m->arena, SLICE("\"{"), name, SLICE("}\"")));
    m->done = from + value.len;
}

/* Does the pointer's first step, after its '/', fit?  *rest is what follows it.  RFC 6901 3: ~1 is '/', ~0 is '~'. */
static bool step_fits(const char *pointer, struct slice name, const char **rest)
{
    size_t i = 0;

    pointer++;
    *rest = strchr(pointer, '/');
    *rest = *rest != NULL ? *rest : pointer + strlen(pointer);
    if (*rest == pointer + 1 && *pointer == '*')
        return true;
    for (; pointer < *rest; pointer++, i++) {
        char c = *pointer;

        if (c == '~' && (pointer[1] == '0' || pointer[1] == '1'))
            c = *++pointer == '0' ? '~' : '/';
        if (i >= name.len || name.ptr[i] != c)
            return false;
    }
    return i == name.len;
}

static void walk(struct masking *m, struct slice value, const char *const *pointers, unsigned count, unsigned depth);

static void go_in(struct masking *m, struct slice name, struct slice value, const char *const *pointers, unsigned count,
                  unsigned depth)
{
    const char *fitting[POINTERS_MOST], *rest;
    unsigned    fit = 0;

    for (unsigned i = 0; i < count; i++)
        if (step_fits(pointers[i], name, &rest)) {
            if (*rest == '\0') {
                mask(m, value, name);
                return;
            }
            fitting[fit++] = rest;
        }
    if (fit > 0 && depth < DEPTH_MOST)
        walk(m, value, fitting, fit, depth + 1);
}

static void walk(struct masking *m, struct slice value, const char *const *pointers, unsigned count, unsigned depth)
{
    struct slice key, inner;
    size_t       at = 0, number = 0;

    if (value.len > 0 && value.ptr[0] == '{')
        while (scan_member(value, &at, &key, &inner)) {
            /* With its quotes, which are beside it. */
            struct slice name = scan_text_of((struct slice){ key.ptr - 1, key.len + 2 }, m->arena);

            go_in(m, name.ptr != NULL ? name : key, inner, pointers, count, depth);
        }
    else if (value.len > 0 && value.ptr[0] == '[')
        while (scan_element(value, &at, &inner))
            go_in(m, arena_printf(m->arena, "%zu", number++), inner, pointers, count, depth);
}

struct slice json_mask(char *const *pointers, struct slice text, json_masked masked, void *context, struct arena *a)
{
    struct masking m = { .arena = a, .text = text, .masked = masked, .context = context };
    const char    *first[POINTERS_MOST];
    unsigned       count = 0;
    size_t         at = 0;

    while (pointers != NULL && pointers[count] != NULL && count < POINTERS_MOST) {
        first[count] = pointers[count];
        count++;
    }
    for (struct slice value; count > 0 && scan_one(text, &at, &value);)
        walk(&m, value, first, count, 0);
    if (m.count == 0)
        return text;
    put(&m, slice_sub(text, m.done, text.len));
    return arena_join(a, m.parts, m.count);
}
