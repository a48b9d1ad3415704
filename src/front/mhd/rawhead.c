/*
 * The layout that MHD 0.9.75 leaves of a plain head:
 *
 *   METHOD 0 TARGET 0 VERSION 0 0 NAME 0 OWS VALUE 0 0 NAME 0 ... VALUE 0 0 0 0
 *
 * (tests/scenario/test_guard.py has the requests that break it.)
 */
#include "front/mhd/rawhead.h"

#include "front/mhd/tricks.h"

#include <string.h>

enum { VERSION_BYTES = sizeof "HTTP/1.1" - 1, CRLF_BYTES = 2 };

static bool is_cleared(const char *at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (at[i] != '\0')
            return false;
    return true;
}

void rawhead_begin(struct rawhead *h, const char *target, size_t target_bytes, const char *version)
{
    h->plain = version == target + target_bytes + 1; /* else a NUL cut the target */
    h->end = version + VERSION_BYTES;
}

void rawhead_field(struct rawhead *h, const char *name, size_t name_bytes, const char *value, size_t value_bytes)
{
    const char *at = name + name_bytes + 1;

    if (!h->plain)
        return;
    h->plain = name_bytes > 0 && name == h->end + CRLF_BYTES && is_cleared(h->end, CRLF_BYTES) && value >= at;
    for (; h->plain && at < value; at++)
        h->plain = *at == ' ' || *at == '\t';
    h->end = value + value_bytes;
}

/* The last field's line end and the blank line: MHD has seen both, so they are in its buffer; a blank line of LF alone
 * shows by the length. */
bool rawhead_is_plain(const struct rawhead *h, const char *head, size_t head_bytes)
{
    return !trick(TRICK_RAWHEAD) ||
           (h->plain && is_cleared(h->end, 2 * CRLF_BYTES) && h->end + 2 * CRLF_BYTES == head + head_bytes);
}

struct slice rawhead_rest(const struct rawhead *h, const char *head, size_t head_bytes, const char *version)
{
    if (!trick(TRICK_RAWHEAD) || !rawhead_is_plain(h, head, head_bytes))
        return SLICE_NONE;
    return (struct slice){ version, (size_t)(h->end - version) };
}
