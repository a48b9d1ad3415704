/*
 * zlib after two questions: which frame it is, and whether another member
 * follows.
 */
#include "http/inflate.h"

#include <stdlib.h>
#include <zlib.h>

enum {
    WINDOW = 15,
    WITH_GZIP = 16,
    RAW = -1, /* how zlib's windowBits name a frame */
    ZLIB_METHOD = 8,
    ZLIB_MAX_WINDOW = 7 /* of a frame's first byte: RFC 1950 2.2 */
};

struct inflater {
    z_stream z;
    bool     gzip;
    bool     begun; /* zlib is initialised: the first byte has been seen */
    bool     ended; /* at the end of a member */
    bool     full;  /* zlib may hold more than it had room for */
    bool     broken;
};

struct inflater *inflater_open_coding(struct slice coding)
{
    bool             gzip = slice_eq_nocase(coding, SLICE("gzip")) || slice_eq_nocase(coding, SLICE("x-gzip"));
    struct inflater *i;

    if (!gzip && !slice_eq_nocase(coding, SLICE("deflate")))
        return NULL;
    i = mem_alloc(sizeof *i);
    i->gzip = gzip;
    return i;
}

struct inflater *inflater_open(const struct http_fields *head)
{
    if (http_fields_count(head, HTTP_CONTENT_ENCODING) != 1)
        return NULL;
    return inflater_open_coding(slice_trim(http_fields_get(head, HTTP_CONTENT_ENCODING)));
}

void inflater_close(struct inflater *i)
{
    if (i != NULL && i->begun)
        inflateEnd(&i->z);
    free(i);
}

/* RFC 9110 8.4.1.2: some send "deflate" without the zlib format around it. */
static int window_bits(const struct inflater *i, unsigned char first)
{
    if (i->gzip)
        return WINDOW + WITH_GZIP;
    return (first & 0x0f) == ZLIB_METHOD && first >> 4 <= ZLIB_MAX_WINDOW ? WINDOW : RAW * WINDOW;
}

void inflater_feed(struct inflater *i, const void *bytes, size_t count)
{
    if (count == 0)
        return;
    if (!i->begun) {
        i->broken = inflateInit2(&i->z, window_bits(i, *(const unsigned char *)bytes)) != Z_OK;
        i->begun = !i->broken;
    }
    i->z.next_in = (Bytef *)(uintptr_t)bytes;
    i->z.avail_in = (uInt)count;
}

size_t inflater_take(struct inflater *i, void *buffer, size_t room, bool *sound)
{
    size_t got = 0;
    int    result;

    while (!i->broken && got == 0 && (i->z.avail_in > 0 || i->full)) {
        if (i->ended) /* another member (RFC 1952 2.2); nothing follows "deflate" */
            i->broken = !i->gzip || inflateReset(&i->z) != Z_OK;
        if (i->broken)
            break;
        i->z.next_out = buffer;
        i->z.avail_out = (uInt)room;
        result = inflate(&i->z, Z_NO_FLUSH);
        i->broken = result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR;
        i->ended = result == Z_STREAM_END;
        got = room - i->z.avail_out;
        i->full = !i->ended && i->z.avail_out == 0;
    }
    *sound = !i->broken;
    return i->broken ? 0 : got;
}

bool inflater_is_whole(const struct inflater *i)
{
    return !i->broken && (!i->begun || (i->ended && i->z.avail_in == 0));
}
