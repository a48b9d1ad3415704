/*
 * The slice operations that are too long to stand in the header.
 */
#include "base/slice.h"

enum { WORD_BYTES = sizeof(uint64_t) };

#define EVERY_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* Eight bytes with their ASCII capitals made small.  The sums carry into the top bit of each
 * byte from 'A' on and from after 'Z' on; it stays within the byte, for the top bits are off. */
static uint64_t lower_word(uint64_t word)
{
    uint64_t seven_bits = word & EVERY_BYTE(0x7f);
    uint64_t from_a = seven_bits + EVERY_BYTE(0x80 - 'A');
    uint64_t behind_z = seven_bits + EVERY_BYTE(0x7f - 'Z');
    uint64_t capital = (from_a ^ behind_z) & ~word & EVERY_BYTE(0x80);

    return word | capital >> 2;
}

static uint64_t load_word(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

/* Fewer than eight bytes: two halves that may overlap, or one by one. */
static uint64_t load_short(const char *p, size_t length)
{
    uint64_t word = 0;
    uint32_t first, last;

    if (length >= sizeof first) {
        memcpy(&first, p, sizeof first);
        memcpy(&last, p + length - sizeof last, sizeof last);
        return (uint64_t)first << 32 | last;
    }
    for (size_t i = 0; i < length; i++)
        word = word << 8 | (unsigned char)p[i];
    return word;
}

/* By words, since names of fields are compared for every header of every message. */
bool slice_eq_nocase(struct slice a, struct slice b)
{
    size_t last = a.len - WORD_BYTES;

    if (a.len != b.len)
        return false;
    if (a.len < WORD_BYTES)
        return lower_word(load_short(a.ptr, a.len)) == lower_word(load_short(b.ptr, b.len));
    if (memcmp(a.ptr, b.ptr, a.len) == 0) /* as they mostly are written */
        return true;
    for (size_t i = 0; i < last; i += WORD_BYTES)
        if (lower_word(load_word(a.ptr + i)) != lower_word(load_word(b.ptr + i)))
            return false;
    return lower_word(load_word(a.ptr + last)) == lower_word(load_word(b.ptr + last));
}

int slice_compare(struct slice a, struct slice b)
{
    const size_t shorter = a.len < b.len ? a.len : b.len;
    const int    order = shorter > 0 ? memcmp(a.ptr, b.ptr, shorter) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq(slice_sub(s, 0, prefix.len), prefix);
}

bool slice_ends_with(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_eq(slice_sub(s, s.len - suffix.len, s.len), suffix);
}

struct slice slice_sub(struct slice s, size_t from, size_t to)
{
    if (to > s.len)
        to = s.len;
    if (from > to)
        from = to;
    /* NULL + 0 is undefined in C, and SLICE_NONE may well be cut. */
    return (struct slice){ s.ptr != NULL ? s.ptr + from : NULL, to - from };
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    while (s.len > 0 && is_space(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    return s;
}

size_t slice_find(struct slice s, char c, size_t from)
{
    const char *at;

    if (from >= s.len)
        return s.len;
    at = memchr(s.ptr + from, c, s.len - from);
    return at != NULL ? (size_t)(at - s.ptr) : s.len;
}

bool slice_matches(struct slice pattern, struct slice text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;

    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

bool slice_to_int64(struct slice s, int64_t *out)
{
    int64_t n = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        int digit = s.ptr[i] - '0';

        if (digit < 0 || digit > 9 || n > (INT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}
