/*
 * zlib after two questions: which frame it is, and whether another member follows; and the decoders of Brotli and
 * Zstandard after none.
 */
#include "http/inflate.h"

#include <brotli/decode.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

enum {
    WINDOW = 15,
    WITH_GZIP = 16,
    RAW = -1, /* how zlib's windowBits name a frame */
    ZLIB_METHOD = 8,
    ZLIB_MAX_WINDOW = 7,  /* of a frame's first byte: RFC 1950 2.2 */
    ZSTD_WINDOW_MOST = 23 /* RFC 9659 3: 8 MiB */
};

enum coding { GZIP, DEFLATE, BROTLI, ZSTD };

struct inflater {
    enum coding         coding;
    z_stream            z;
    BrotliDecoderState *brotli;
    ZSTD_DCtx          *zstd;
    const void         *bytes; /* what was fed, and is not read yet */
    size_t              count;
    bool                begun; /* the first byte has been seen */
    bool                ended; /* at the end of a member */
    bool                full;  /* more may be held than there was room for */
    bool                broken;
};

static bool coding_of(struct slice name, enum coding *coding)
{
    static const struct {
        const char *name;
        enum coding coding;
    } codings[] = { { "gzip", GZIP }, { "x-gzip", GZIP }, { "deflate", DEFLATE }, { "br", BROTLI }, { "zstd", ZSTD } };

    for (size_t i = 0; i < sizeof codings / sizeof *codings; i++)
        if (slice_eq_nocase(name, slice_of(codings[i].name))) {
            *coding = codings[i].coding;
            return true;
        }
    return false;
}

struct inflater *inflater_open_coding(struct slice name)
{
    enum coding      coding;
    struct inflater *i;

    if (!coding_of(name, &coding))
        return NULL;
    i = mem_alloc(sizeof *i);
    i->coding = coding;
    return i;
}

static struct inflater *open_for(const struct http_fields *head, enum coding last)
{
    enum coding  coding;
    struct slice name;

    if (http_fields_count(head, HTTP_CONTENT_ENCODING) != 1)
        return NULL;
    name = slice_trim(http_fields_get(head, HTTP_CONTENT_ENCODING));
    return coding_of(name, &coding) && coding <= last ? inflater_open_coding(name) : NULL;
}

struct inflater *inflater_open(const struct http_fields *head)
{
    return open_for(head, DEFLATE);
}

struct inflater *inflater_open_any(const struct http_fields *head)
{
    return open_for(head, ZSTD);
}

void inflater_close(struct inflater *i)
{
    if (i == NULL)
        return;
    if (i->begun && i->coding <= DEFLATE)
        inflateEnd(&i->z);
    BrotliDecoderDestroyInstance(i->brotli);
    ZSTD_freeDCtx(i->zstd);
    free(i);
}

/* RFC 9110 8.4.1.2: some send "deflate" without the zlib format around it. */
static int window_bits(const struct inflater *i, unsigned char first)
{
    if (i->coding == GZIP)
        return WINDOW + WITH_GZIP;
    return (first & 0x0f) == ZLIB_METHOD && first >> 4 <= ZLIB_MAX_WINDOW ? WINDOW : RAW * WINDOW;
}

static bool begin(struct inflater *i, unsigned char first)
{
    switch (i->coding) {
    case BROTLI:
        i->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
        return i->brotli != NULL;
    case ZSTD:
        i->zstd = ZSTD_createDCtx();
        return i->zstd != NULL && !ZSTD_isError(ZSTD_DCtx_setParameter(i->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_MOST));
    default:
        return inflateInit2(&i->z, window_bits(i, first)) == Z_OK;
    }
}

void inflater_feed(struct inflater *i, const void *bytes, size_t count)
{
    if (count == 0)
        return;
    if (!i->begun) {
        i->begun = begin(i, *(const unsigned char *)bytes);
        i->broken = !i->begun;
    }
    i->bytes = bytes;
    i->count = count;
}

/* Another member follows (RFC 1952 2.2, RFC 8878 3: any number of frames); nothing does "deflate" and Brotli. */
static bool begin_again(struct inflater *i)
{
    if (i->coding == GZIP)
        return inflateReset(&i->z) == Z_OK;
    return i->coding == ZSTD;
}

static size_t take_zlib(struct inflater *i, void *buffer, size_t room)
{
    int result;

    i->z.next_in = (Bytef *)(uintptr_t)i->bytes;
    i->z.avail_in = (uInt)i->count;
    i->z.next_out = buffer;
    i->z.avail_out = (uInt)room;
    result = inflate(&i->z, Z_NO_FLUSH);
    i->broken = result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR;
    i->ended = result == Z_STREAM_END;
    i->bytes = i->z.next_in;
    i->count = i->z.avail_in;
    return room - i->z.avail_out;
}

static size_t take_brotli(struct inflater *i, void *buffer, size_t room)
{
    const uint8_t      *in = i->bytes;
    uint8_t            *out = buffer;
    size_t              rest = room;
    BrotliDecoderResult result = BrotliDecoderDecompressStream(i->brotli, &i->count, &in, &rest, &out, NULL);

    i->bytes = in;
    i->broken = result == BROTLI_DECODER_RESULT_ERROR;
    i->ended = result == BROTLI_DECODER_RESULT_SUCCESS;
    return room - rest;
}

static size_t take_zstd(struct inflater *i, void *buffer, size_t room)
{
    ZSTD_inBuffer  in = { i->bytes, i->count, 0 };
    ZSTD_outBuffer out = { buffer, room, 0 };
    size_t         result = ZSTD_decompressStream(i->zstd, &out, &in);

    i->bytes = (const char *)i->bytes + in.pos;
    i->count -= in.pos;
    i->broken = ZSTD_isError(result);
    i->ended = result == 0;
    return out.pos;
}

size_t inflater_take(struct inflater *i, void *buffer, size_t room, bool *sound)
{
    size_t got = 0;

    while (!i->broken && got == 0 && (i->count > 0 || i->full)) {
        if (i->ended && !begin_again(i)) {
            i->broken = true;
            break;
        }
        got = i->coding == BROTLI ? take_brotli(i, buffer, room)
              : i->coding == ZSTD ? take_zstd(i, buffer, room)
                                  : take_zlib(i, buffer, room);
        i->full = !i->ended && got == room;
    }
    *sound = !i->broken;
    return i->broken ? 0 : got;
}

bool inflater_is_whole(const struct inflater *i)
{
    return !i->broken && (!i->begun || (i->ended && i->count == 0));
}
