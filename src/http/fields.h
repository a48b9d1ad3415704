/*
 * Header fields: an ordered list of name and value slices, and the names
 * that Weir itself understands as small integers.
 *
 * A list borrows its names and values; http_fields_copy() makes one that
 * stands alone in an arena.  Pure; owned by one thread at a time.
 */
#ifndef WEIR_HTTP_FIELDS_H
#define WEIR_HTTP_FIELDS_H

#include "base/arena.h"
#include "base/slice.h"

/* HTTP_NAME(id, "Canonical-Name", flags): rows in names.def. */
enum http_name {
    HTTP_NAME_OTHER, /* not in names.def */
#define HTTP_NAME(id, text, flags) HTTP_##id,
#include "http/names.def"
#undef HTTP_NAME
    HTTP_NAME_COUNT
};

enum {
    HTTP_HOP_BY_HOP = 1,  /* RFC 9110 7.6.1: neither stored nor forwarded */
    HTTP_NOT_UPDATED = 2, /* RFC 9111 3.2: a 304 never updates it in a record */
    HTTP_SINGLE = 4,      /* not a list: lines cannot be combined with a comma */
    HTTP_WEIR = 8,        /* Weir's own request header: never forwarded */
};

struct http_field {
    struct slice   name;  /* as received, case kept */
    struct slice   value; /* without surrounding white space */
    enum http_name id;
};

struct http_fields { /* all zero: an empty list */
    struct http_field *items;
    unsigned           count;
    unsigned           capacity;
};

/* By any spelling; HTTP_NAME_OTHER where it is unknown. */
enum http_name http_name_parse(struct slice name);
/* False for most names, and for none that limit_name_read() knows: costs next to nothing. */
static inline bool http_may_tell_a_limit(struct slice name)
{
    /* Rate..., Retry..., Anthropic..., X-... */
    char first = name.len > 8 ? (char)(name.ptr[0] | 0x20) : '\0';

    if (first == 'x')
        return name.ptr[1] == '-';
    return (first == 'r' && (name.ptr[2] | 0x20) == 't') || (first == 'a' && (name.ptr[1] | 0x20) == 'n');
}
const char *http_name_text(enum http_name id);
unsigned    http_name_flags(enum http_name id);

void http_fields_add(struct http_fields *f, struct arena *a, struct slice name, struct slice value);
void http_fields_add_id(struct http_fields *f, struct arena *a, enum http_name id, struct slice value);
/* One of another list: its texts are borrowed. */
/* Room for so many and no more, where there is none yet. */
void http_fields_reserve(struct http_fields *f, struct arena *a, unsigned count);
void http_fields_add_field(struct http_fields *f, struct arena *a, const struct http_field *field);
/* The first of that name at or after index `from`, -1 where there is none.  `id` is never
 * HTTP_NAME_OTHER, here and below. */
int http_fields_find(const struct http_fields *f, enum http_name id, unsigned from);
int http_fields_find_name(const struct http_fields *f, struct slice name, unsigned from);
/* The value of the first of that name; SLICE_NONE (ptr NULL) where there is none, ptr set where
 * it is empty. */
struct slice http_fields_get(const struct http_fields *f, enum http_name id);
/* All lines of that name joined with ", " (RFC 9110 5.3); ptr NULL where there is none. */
struct slice http_fields_join(const struct http_fields *f, struct slice name, struct arena *a);
unsigned     http_fields_count(const struct http_fields *f, enum http_name id);
/* Removes all of that name, keeps the order of the rest. */
void http_fields_remove(struct http_fields *f, enum http_name id);
/* Names, values and array copied into the arena. */
struct http_fields http_fields_copy(const struct http_fields *f, struct arena *a);

/* RFC 9110 5.6.2 token; 5.5 field-value (no CR, LF, NUL). */
bool http_is_token(struct slice s);
bool http_is_field_value(struct slice s);

#endif
