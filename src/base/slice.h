/*
 * A borrowed run of bytes: pointer and length, no terminator promised.
 *
 * Requests, header fields and URLs are passed about as slices of the memory
 * that holds them; nobody copies or frees through a slice.  Any thread.
 */
#ifndef WEIR_BASE_SLICE_H
#define WEIR_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *ptr;
    size_t      len;
};

#define SLICE(literal) ((struct slice){ (literal), sizeof(literal) - 1 })
#define SLICE_NONE     ((struct slice){ NULL, 0 })
#define SLICE_FMT      "%.*s"
#define SLICE_ARG(s)   (int)(s).len, (s).ptr

static inline struct slice slice_of(const char *text)
{
    return (struct slice){ text, text != NULL ? strlen(text) : 0 };
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII only: field names, tokens, schemes and host names. */
bool slice_eq_nocase(struct slice a, struct slice b);
/* By bytes: below 0, 0 or above, as memcmp(). */
int  slice_compare(struct slice a, struct slice b);
bool slice_starts_with(struct slice s, struct slice prefix);
bool slice_ends_with(struct slice s, struct slice suffix);

/* Bytes [from, to); both are clamped to the slice. */
struct slice slice_sub(struct slice s, size_t from, size_t to);
/* Without leading and trailing SP and HTAB (RFC 9110 5.6.3, OWS). */
struct slice slice_trim(struct slice s);
/* Offset of the first `c` at or after `from`; s.len where there is none. */
size_t slice_find(struct slice s, char c, size_t from);
/* "*" in the pattern stands for any characters, also none.  No case takes longer than text times pattern. */
bool slice_matches(struct slice pattern, struct slice text);
/* Decimal digits only, no sign, no space: false where it is anything else or over INT64_MAX. */
bool slice_to_int64(struct slice s, int64_t *out);

#endif
