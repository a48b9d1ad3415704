/*
 * Where an answer's body ends (RFC 9112 6.3): one number, or chunked, or nobody can say.
 */
#include "http/framing.h"

#include "head.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { FAULTY = -2, NONE = -1 };

static void test_length(void **state)
{
    static const struct {
        const char *name, *fields;
        int64_t     length;
    } rows[] = {
        { "none", "X: 1", NONE },
        { "zero", "Content-Length: 0", 0 },
        { "one_number", "Content-Length: 20", 20 },
        { "leading_zeros", "content-length: 0020", 20 },
        { "white_space_around", "Content-Length: \t 20 \t", 20 },
        { "largest", "Content-Length: 9223372036854775807", INT64_MAX },
        { "equal_lines", "Content-Length: 5\nContent-Length: 5", 5 },
        { "differing_lines", "Content-Length: 5\nContent-Length: 6", FAULTY },
        { "list", "Content-Length: 2, 20", FAULTY },
        { "list_of_equals", "Content-Length: 5, 5", FAULTY },
        { "list_of_one", "Content-Length: 5,", FAULTY },
        { "two_words", "Content-Length: 5 5", FAULTY },
        { "two_by_tab", "Content-Length: 5\t5", FAULTY },
        { "plus", "Content-Length: +2", FAULTY },
        { "minus", "Content-Length: -2", FAULTY },
        { "hex", "Content-Length: 0x5", FAULTY },
        { "unit", "Content-Length: 5b", FAULTY },
        { "fraction", "Content-Length: 5.0", FAULTY },
        { "exponent", "Content-Length: 5e1", FAULTY },
        { "quoted", "Content-Length: \"5\"", FAULTY },
        { "parameter", "Content-Length: 5;q=1", FAULTY },
        { "empty", "Content-Length: ", FAULTY },
        { "word", "Content-Length: none", FAULTY },
        { "over_63_bits", "Content-Length: 9223372036854775808", FAULTY },
        { "two_to_64", "Content-Length: 18446744073709551616", FAULTY },
        { "two_to_64_and_2", "Content-Length: 18446744073709551618", FAULTY },
        { "thirty_digits", "Content-Length: 100000000000000000000000000005", FAULTY },
        { "faulty_beside_a_good_one", "Content-Length: 5\nContent-Length: +5", FAULTY },
        { "faulty_beside_chunked", "Content-Length: x\nTransfer-Encoding: chunked", FAULTY },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head         h = head_of(rows[i].fields);
        struct http_framing f;
        bool                ok = http_framing_of_answer(&h.fields, 1, &f);

        if ((ok ? f.length : FAULTY) != rows[i].length)
            fail_msg("%s: %lld", rows[i].name, ok ? (long long)f.length : (long long)FAULTY);
        if (ok && (f.chunked || f.doubtful))
            fail_msg("%s: chunked, or in doubt", rows[i].name);
        head_free(&h);
    }
}

static void test_transfer_encoding(void **state)
{
    static const struct {
        const char *name, *fields;
        unsigned    minor;
        bool        ok, doubtful;
    } rows[] = {
        { "chunked", "Transfer-Encoding: chunked", 1, true, false },
        { "any_case", "transfer-encoding: Chunked", 1, true, false },
        { "of_1_0", "Transfer-Encoding: chunked", 0, true, true },
        { "beside_a_length", "Content-Length: 5\nTransfer-Encoding: chunked", 1, true, true },
        { "identity", "Transfer-Encoding: identity", 1, false, false },
        { "gzip_before", "Transfer-Encoding: gzip, chunked", 1, false, false },
        { "gzip", "Transfer-Encoding: gzip", 1, false, false },
        { "not_last", "Transfer-Encoding: chunked, gzip", 1, false, false },
        { "twice", "Transfer-Encoding: chunked, chunked", 1, false, false },
        { "two_lines", "Transfer-Encoding: chunked\nTransfer-Encoding: chunked", 1, false, false },
        { "another_line", "Transfer-Encoding: chunked\nTransfer-Encoding: identity", 1, false, false },
        { "unknown", "Transfer-Encoding: xchunked", 1, false, false },
        { "unknown_beside_a_length", "Content-Length: 5\nTransfer-Encoding: cow", 1, false, false },
        { "parameter", "Transfer-Encoding: chunked;q=1", 1, false, false },
        { "quoted", "Transfer-Encoding: \"chunked\"", 1, false, false },
        { "vertical_tab", "Transfer-Encoding: \vchunked", 1, false, false },
        { "empty", "Transfer-Encoding: ", 1, false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head         h = head_of(rows[i].fields);
        struct http_framing f;
        bool                ok = http_framing_of_answer(&h.fields, rows[i].minor, &f);

        if (ok != rows[i].ok || (ok && (!f.chunked || f.length != NONE || f.doubtful != rows[i].doubtful)))
            fail_msg("%s", rows[i].name);
        head_free(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_length), cmocka_unit_test(test_transfer_encoding) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
