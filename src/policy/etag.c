/*
 * A tag is read from the front of a text, so that a list is read tag by tag.
 */
#include "policy/etag.h"

/* 8.8.3 etagc: visible ASCII but the quote, and obs-text. */
static bool is_tag_byte(char c)
{
    unsigned char byte = (unsigned char)c;

    return byte == 0x21 || (byte >= 0x23 && byte != 0x7f);
}

/* Takes a tag off the front; none (and nothing taken) where there is no whole one. */
static struct etag take_tag(struct slice *s)
{
    struct etag tag = { SLICE_NONE, false };
    size_t      from = slice_starts_with(*s, SLICE("W/")) ? 2 : 0, end = from + 1;

    if (from >= s->len || s->ptr[from] != '"')
        return tag;
    while (end < s->len && is_tag_byte(s->ptr[end]))
        end++;
    if (end == s->len || s->ptr[end] != '"')
        return tag;
    tag.opaque = slice_sub(*s, from, end + 1);
    tag.weak = from > 0;
    *s = slice_sub(*s, end + 1, s->len);
    return tag;
}

struct etag etag_parse(struct slice value)
{
    struct etag tag = take_tag(&value);

    return value.len == 0 ? tag : (struct etag){ SLICE_NONE, false };
}

bool etag_equal_weakly(struct etag a, struct etag b)
{
    return a.opaque.ptr != NULL && b.opaque.ptr != NULL && slice_eq(a.opaque, b.opaque);
}

bool etag_equal_strongly(struct etag a, struct etag b)
{
    return !a.weak && !b.weak && etag_equal_weakly(a, b);
}

bool etag_list_has(struct slice list, struct etag wanted)
{
    for (list = slice_trim(list); list.len > 0; list = slice_trim(list)) {
        struct etag tag = take_tag(&list);

        list = slice_trim(list);
        if (tag.opaque.ptr != NULL && (list.len == 0 || list.ptr[0] == ',') && etag_equal_weakly(tag, wanted))
            return true;
        /* On after the next comma, be it after a tag or in the midst of something malformed. */
        list = slice_sub(list, slice_find(list, ',', 0) + 1, list.len);
    }
    return false;
}
