/*
 * Pieces of a file that are longer than what libmicrohttpd asks for, and never longer than the response.
 */
#include "front/mhd/sendfile.h"

#include "front/mhd/tricks.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/sendfile.h>
#include <unistd.h>

enum { ASKED = 128 * 1024, FILE_BYTES = 5 * 1024 * 1024, PIECE = 256 * 1024 };

static void test_pieces(void **state)
{
    static const struct {
        const char *name;
        int64_t     end;
        off64_t     from;
        ssize_t     sent;
    } rows[] = {
        { "to_the_end_of_the_response", 200000, 0, 200000 },
        { "from_where_it_is", 1000000, 800000, 200000 },
        { "a_piece_of_what_is_left", 1000000, 600000, PIECE },
        { "a_range_ends_before_the_file", ASKED + 1, 0, ASKED + 1 },
        { "what_is_asked_is_all_there_is", 1000, 0, ASKED }, /* MHD never asks for more than it has */
        { "not_all_of_a_large_one", FILE_BYTES, 0, PIECE },
        { "an_unknown_one_as_asked", -1, 0, ASKED },
    };
    FILE *in = tmpfile(), *out = tmpfile();

    (void)state;
    assert_non_null(in);
    assert_non_null(out);
    assert_int_equal(ftruncate(fileno(in), FILE_BYTES), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        off64_t at = rows[i].from;
        ssize_t sent;

        sendfile_until(fileno(in), rows[i].end);
        sent = sendfile64(fileno(out), fileno(in), &at, ASKED);
        if (sent != rows[i].sent || at != rows[i].from + sent)
            fail_msg("%s: sent %zd, now at %lld", rows[i].name, sent, (long long)at);
    }
    fclose(in);
    fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_pieces) };

    if (!tricks_start(TRICKS_MEASURED_WITH))
        return 77; /* built without: nothing to test */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
