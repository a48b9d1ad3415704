/* Content codings undone, a body at once and a byte at a time, with much and with little room. */
#include "http/inflate.h"

#include "head.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <brotli/encode.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

enum { ZLIB = 15, RAW = -15, GZIP = 31, BROTLI = 100, ZSTD = 101 /* no windows of zlib */ };

static const char text[] = "{\"a\": [1, 2, 3], \"b\": \"some text that comes again and again and again\"}";

/* Appends `text` in a frame of its own. */
static size_t pack(int window_bits, unsigned char *out, size_t room)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)text,
                   .avail_in = sizeof text - 1,
                   .next_out = out,
                   .avail_out = (uInt)room };

    if (window_bits == BROTLI) {
        assert_true(BrotliEncoderCompress(BROTLI_DEFAULT_QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_TEXT,
                                          sizeof text - 1, (const uint8_t *)text, &room, out));
        return room;
    }
    if (window_bits == ZSTD)
        return ZSTD_compress(out, room, text, sizeof text - 1, 19);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

/* Reads all in pieces of `step` into room for `room`. The count of plain bytes, each as it should be; -1: broken. */
static int unpack(struct inflater *i, const unsigned char *bytes, size_t count, size_t step, size_t room)
{
    char   buffer[sizeof text];
    size_t done = 0;
    bool   sound = true;

    for (size_t at = 0; at < count && sound; at += step) {
        size_t got;

        inflater_feed(i, bytes + at, count - at < step ? count - at : step);
        while ((got = inflater_take(i, buffer, room, &sound)) > 0) {
            for (size_t k = 0; k < got; k++)
                assert_int_equal(buffer[k], text[(done + k) % (sizeof text - 1)]);
            done += got;
        }
    }
    return sound ? (int)done : -1;
}

static void codings_are_undone(void **state)
{
    enum { ONE = sizeof text - 1, BROKEN = -1 };
    static const struct {
        const char *name, *coding;
        int         frame, members;
        int         cut; /* bytes missing at the end */
        int         result;
        bool        whole;
    } rows[] = {
        { "gzip", "gzip", GZIP, 1, 0, ONE, true },
        { "x_gzip_in_capitals", "X-GZIP", GZIP, 1, 0, ONE, true },
        { "two_members", "gzip", GZIP, 2, 0, 2 * ONE, true },
        { "deflate", "deflate", ZLIB, 1, 0, ONE, true },
        { "deflate_without_its_frame", "deflate", RAW, 1, 0, ONE, true },
        { "gzip_cut_in_its_end", "gzip", GZIP, 1, 3, ONE, false },
        { "second_member_cut", "gzip", GZIP, 2, 3, 2 * ONE, false },
        { "something_after_deflate", "deflate", ZLIB, 2, 0, BROKEN, false },
        { "deflate_called_gzip", "gzip", ZLIB, 1, 0, BROKEN, false },
        { "nothing", "gzip", GZIP, 0, 0, 0, true },
        { "brotli", "br", BROTLI, 1, 0, ONE, true },
        { "something_after_brotli", "BR", BROTLI, 2, 0, BROKEN, false },
        { "zstd", "zstd", ZSTD, 1, 0, ONE, true },
        { "two_frames_of_zstd", "zstd", ZSTD, 2, 0, 2 * ONE, true },
        { "zstd_called_gzip", "gzip", ZSTD, 1, 0, BROKEN, false },
        { "gzip_called_zstd", "zstd", GZIP, 1, 0, BROKEN, false },
        { "gzip_called_brotli", "br", GZIP, 1, 0, BROKEN, false },
    };
    static const size_t steps[] = { 1, 7, 4096 }, rooms[] = { 1, sizeof text };

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++)
            for (size_t m = 0; m < sizeof rooms / sizeof *rooms; m++) {
                unsigned char    bytes[1024];
                size_t           count = 0;
                struct inflater *i = inflater_open_coding(slice_of(rows[r].coding));
                int              result;

                assert_non_null(i);
                for (int k = 0; k < rows[r].members; k++)
                    count += pack(rows[r].frame, bytes + count, sizeof bytes - count);
                result = unpack(i, bytes, count - (size_t)rows[r].cut, steps[s], rooms[m]);
                if (result != rows[r].result || inflater_is_whole(i) != rows[r].whole)
                    fail_msg("%s, by %zu into %zu: %d, whole %d", rows[r].name, steps[s], rooms[m], result,
                             inflater_is_whole(i));
                inflater_close(i);
            }
}

/* A million times itself, and nothing of it is held. */
static void a_bomb_passes_in_pieces(void **state)
{
    enum { PLAIN = 16 * 1024 * 1024 };
    z_stream         z = { 0 };
    char            *plain = calloc(1, PLAIN), room[64];
    unsigned char   *packed = malloc(PLAIN);
    struct inflater *i = inflater_open_coding(SLICE("gzip"));
    size_t           got, total = 0;
    bool             sound;

    (void)state;
    assert_true(plain != NULL && packed != NULL);
    z.next_in = (Bytef *)plain;
    z.avail_in = PLAIN;
    z.next_out = packed;
    z.avail_out = PLAIN;
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    inflater_feed(i, packed, PLAIN - z.avail_out);
    while ((got = inflater_take(i, room, sizeof room, &sound)) > 0)
        total += got;
    assert_true(sound && inflater_is_whole(i));
    assert_int_equal(total, PLAIN);
    inflater_close(i);
    free(packed);
    free(plain);
}

static void what_is_not_read_is_not_opened(void **state)
{
    static const struct {
        const char *name, *lines;
        bool        opens, opens_any;
    } rows[] = {
        { "gzip", "Content-Encoding: gzip\n", true, true },
        { "none", "Content-Type: text/plain\n", false, false },
        { "empty", "Content-Encoding: \n", false, false },
        { "brotli", "Content-Encoding: br\n", false, true },
        { "two_in_one_line", "Content-Encoding: gzip, gzip\n", false, false },
        { "two_lines", "Content-Encoding: gzip\nContent-Encoding: gzip\n", false, false },
    };

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct head      h = head_of(rows[r].lines);
        struct inflater *i = inflater_open(&h.fields), *any = inflater_open_any(&h.fields);

        if ((i != NULL) != rows[r].opens || (any != NULL) != rows[r].opens_any)
            fail_msg("%s: opens %d, any %d", rows[r].name, i != NULL, any != NULL);
        inflater_close(i);
        inflater_close(any);
        head_free(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codings_are_undone),
        cmocka_unit_test(a_bomb_passes_in_pieces),
        cmocka_unit_test(what_is_not_read_is_not_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
