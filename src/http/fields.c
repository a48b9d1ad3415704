/*
 * Field lists and the table of known field names.
 *
 * The name of every header of every message is looked up here, so the table
 * is hashed by length and three bytes, which tell almost all names apart; the
 * hash is filled from names.def once, at first use.
 */
#include "http/fields.h"

#include "base/check.h"

#include <pthread.h>

enum { SLOT_COUNT = 256 };

struct known_name {
    struct slice text;
    unsigned     flags;
};

static const struct known_name known[HTTP_NAME_COUNT] = {
    [HTTP_NAME_OTHER] = { { "", 0 }, 0 },
#define HTTP_NAME(id, text, flags) [HTTP_##id] = { { text, sizeof(text) - 1 }, flags },
#include "http/names.def"
#undef HTTP_NAME
};

_Static_assert(HTTP_NAME_COUNT < SLOT_COUNT / 2, "the hash of names is to stay half empty");

static unsigned char  slots[SLOT_COUNT]; /* enum http_name; 0 is empty */
static pthread_once_t slots_once = PTHREAD_ONCE_INIT;

/* Letters without their case.  What else | 0x20 folds together, the comparison tells apart. */
static unsigned hash_name(struct slice name)
{
    const unsigned char *p = (const unsigned char *)name.ptr;
    unsigned             first = p[0] | 0x20u;
    unsigned             middle = p[name.len / 2] | 0x20u;
    unsigned             last = p[name.len - 1] | 0x20u;

    return (unsigned)name.len * 37 + first * 5 + middle * 59 + last * 11;
}

static void fill_slots(void)
{
    for (int id = HTTP_NAME_OTHER + 1; id < HTTP_NAME_COUNT; id++) {
        unsigned at = hash_name(known[id].text);

        while (slots[at % SLOT_COUNT] != HTTP_NAME_OTHER)
            at++;
        slots[at % SLOT_COUNT] = (unsigned char)id;
    }
}

enum http_name http_name_parse(struct slice name)
{
    if (name.len == 0)
        return HTTP_NAME_OTHER;
    pthread_once(&slots_once, fill_slots);
    for (unsigned at = hash_name(name); slots[at % SLOT_COUNT] != HTTP_NAME_OTHER; at++)
        if (slice_eq_nocase(known[slots[at % SLOT_COUNT]].text, name))
            return (enum http_name)slots[at % SLOT_COUNT];
    return HTTP_NAME_OTHER;
}

const char *http_name_text(enum http_name id)
{
    return known[id].text.ptr;
}

unsigned http_name_flags(enum http_name id)
{
    return known[id].flags;
}

static void append(struct http_fields *f, struct arena *a, struct http_field field)
{
    ARENA_ROOM(a, f->items, f->capacity, f->count);
    f->items[f->count++] = field;
}

static struct http_field make_field(enum http_name id, struct slice name, struct slice value)
{
    struct http_field field = { name, slice_trim(value), id };

    if (field.value.ptr == NULL) /* an empty value is there, SLICE_NONE is not */
        field.value = SLICE("");
    return field;
}

void http_fields_add(struct http_fields *f, struct arena *a, struct slice name, struct slice value)
{
    append(f, a, make_field(http_name_parse(name), name, value));
}

void http_fields_add_id(struct http_fields *f, struct arena *a, enum http_name id, struct slice value)
{
    CHECK(id != HTTP_NAME_OTHER);
    append(f, a, make_field(id, known[id].text, value));
}

void http_fields_reserve(struct http_fields *f, struct arena *a, unsigned count)
{
    if (f->capacity > 0 || count == 0)
        return;
    f->items = arena_alloc_raw(a, count * sizeof *f->items);
    f->capacity = count;
}

void http_fields_add_field(struct http_fields *f, struct arena *a, const struct http_field *field)
{
    append(f, a, *field);
}

int http_fields_find(const struct http_fields *f, enum http_name id, unsigned from)
{
    CHECK(id != HTTP_NAME_OTHER);
    for (unsigned i = from; i < f->count; i++)
        if (f->items[i].id == id)
            return (int)i;
    return -1;
}

int http_fields_find_name(const struct http_fields *f, struct slice name, unsigned from)
{
    enum http_name id = http_name_parse(name);

    if (id != HTTP_NAME_OTHER)
        return http_fields_find(f, id, from);
    for (unsigned i = from; i < f->count; i++)
        if (f->items[i].id == HTTP_NAME_OTHER && slice_eq_nocase(f->items[i].name, name))
            return (int)i;
    return -1;
}

struct slice http_fields_get(const struct http_fields *f, enum http_name id)
{
    int at = http_fields_find(f, id, 0);

    return at >= 0 ? f->items[at].value : SLICE_NONE;
}

struct slice http_fields_join(const struct http_fields *f, struct slice name, struct arena *a)
{
    int    first = http_fields_find_name(f, name, 0);
    size_t length = 0;
    char  *joined, *end;

    if (first < 0)
        return SLICE_NONE;
    if (http_fields_find_name(f, name, (unsigned)first + 1) < 0)
        return f->items[first].value;
    for (int i = first; i >= 0; i = http_fields_find_name(f, name, (unsigned)i + 1))
        length += f->items[i].value.len + 2;
    joined = end = arena_alloc_raw(a, length);
    for (int i = first; i >= 0; i = http_fields_find_name(f, name, (unsigned)i + 1)) {
        struct slice value = f->items[i].value;

        if (i != first) {
            *end++ = ',';
            *end++ = ' ';
        }
        memcpy(end, value.ptr, value.len);
        end += value.len;
    }
    return (struct slice){ joined, (size_t)(end - joined) };
}

unsigned http_fields_count(const struct http_fields *f, enum http_name id)
{
    unsigned n = 0;

    for (unsigned i = 0; i < f->count; i++)
        n += f->items[i].id == id;
    return n;
}

void http_fields_remove(struct http_fields *f, enum http_name id)
{
    unsigned kept = 0;

    CHECK(id != HTTP_NAME_OTHER);
    for (unsigned i = 0; i < f->count; i++)
        if (f->items[i].id != id)
            f->items[kept++] = f->items[i];
    f->count = kept;
}

struct http_fields http_fields_copy(const struct http_fields *f, struct arena *a)
{
    struct http_fields copy = { NULL, f->count, f->count };

    if (f->count == 0)
        return copy;
    copy.items = arena_alloc_raw(a, f->count * sizeof *copy.items);
    for (unsigned i = 0; i < f->count; i++)
        copy.items[i] = (struct http_field){ .name = arena_copy(a, f->items[i].name),
                                             .value = arena_copy(a, f->items[i].value),
                                             .id = f->items[i].id };
    return copy;
}

/* RFC 9110 5.6.2: tchar. */
static const bool is_tchar[256] = {
    ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true,         ['&'] = true,         ['\''] = true,
    ['*'] = true, ['+'] = true, ['-'] = true, ['.'] = true,         ['^'] = true,         ['_'] = true,
    ['`'] = true, ['|'] = true, ['~'] = true, ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

bool http_is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_tchar[(unsigned char)s.ptr[i]])
            return false;
    return s.len > 0;
}

bool http_is_field_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '\r' || s.ptr[i] == '\n' || s.ptr[i] == '\0')
            return false;
    return true;
}
