/*
 * Chunked bodies: where they end, and what is none (RFC 9112 7.1). Each case is fed at once and in single bytes.
 */
#include "http/chunked.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

/* '@' stands for many letters, '#' for many zeros; what stands after '|' follows the body. */
static const struct {
    const char          *fact, *bytes;
    enum chunked_verdict verdict;
} cases[] = {
    { "an_empty_body", "0\r\n\r\n|GET", CHUNKED_END },
    { "several_zeros_are_zero", "000\r\n\r\n|", CHUNKED_END },
    { "chunks_and_what_follows", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n|0\r\n\r\n", CHUNKED_END },
    { "digits_of_either_case", "a\r\n0123456789\r\n0A\r\n0123456789\r\n0\r\n\r\n|", CHUNKED_END },
    { "data_may_be_anything", "4\r\n\r\n\n\r\r\n0\r\n\r\n|", CHUNKED_END },
    { "an_extension", "3;a=\"b;c\"\r\nabc\r\n0;last\r\n\r\n|", CHUNKED_END },
    { "an_empty_extension", "3;\r\nabc\r\n0;\r\n\r\n|", CHUNKED_END },
    { "trailers", "0\r\nA: b\r\nC:\r\nD:\t:e\r\n\r\n|x", CHUNKED_END },
    { "leading_zeros_up_to_the_line", "#3\r\nabc", CHUNKED_MORE },
    { "the_size_alone", "3", CHUNKED_MORE },
    { "the_size_line", "3\r\n", CHUNKED_MORE },
    { "a_part_of_the_data", "3\r\nab", CHUNKED_MORE },
    { "the_data_without_its_end", "3\r\nabc\r", CHUNKED_MORE },
    { "the_last_chunk_without_the_empty_line", "0\r\n", CHUNKED_MORE },
    { "a_trailer_without_its_end", "0\r\nA: b\r", CHUNKED_MORE },
    { "a_chunk_of_2_63_less_1", "7fffffffffffffff\r\nabc", CHUNKED_MORE },
    { "a_chunk_of_2_63", "8000000000000000\r\n", CHUNKED_HUGE },
    { "a_chunk_of_2_64_and_more", "10000000000000003\r\n", CHUNKED_HUGE },
    { "no_size", "\r\nabc", CHUNKED_BAD_SIZE },
    { "a_line_feed_for_a_size", "\nabc", CHUNKED_BAD_SIZE },
    { "an_extension_without_a_size", ";a\r\n", CHUNKED_BAD_SIZE },
    { "letters", "xyz\r\n", CHUNKED_BAD_SIZE },
    { "a_sign", "+3\r\n", CHUNKED_BAD_SIZE },
    { "another_sign", "-3\r\n", CHUNKED_BAD_SIZE },
    { "a_number_in_the_notation_of_c", "0x3\r\n", CHUNKED_BAD_SIZE },
    { "a_space_before_the_size", " 3\r\n", CHUNKED_BAD_SIZE },
    { "a_space_after_the_size", "3 \r\n", CHUNKED_BAD_SIZE },
    { "an_underscore", "1_0\r\n", CHUNKED_BAD_SIZE },
    { "a_bare_line_feed_after_the_size", "3\nabc", CHUNKED_BAD_LINE },
    { "a_bare_line_feed_after_an_extension", "3;a\nabc", CHUNKED_BAD_LINE },
    { "a_carriage_return_alone", "3\rabc", CHUNKED_BAD_LINE },
    { "a_control_character_in_an_extension", "3;a\001\r\n", CHUNKED_BAD_LINE },
    { "a_chunk_longer_than_its_size", "3\r\nabcd\r\n", CHUNKED_BAD_DATA },
    { "a_bare_line_feed_after_the_data", "3\r\nabc\n0\r\n\r\n", CHUNKED_BAD_DATA },
    { "a_carriage_return_alone_after_the_data", "3\r\nabc\r0", CHUNKED_BAD_DATA },
    { "a_size_line_without_end", "3;@", CHUNKED_LONG_LINE },
    { "digits_without_end", "##########", CHUNKED_LONG_LINE },
    { "the_second_size_line_without_end", "3\r\nabc\r\n5;@", CHUNKED_LONG_LINE },
    { "a_trailer_without_colon", "0\r\nnonsense\r\n", CHUNKED_BAD_TRAILER },
    { "a_trailer_without_a_name", "0\r\n: b\r\n", CHUNKED_BAD_TRAILER },
    { "a_trailer_that_is_continued", "0\r\nA: b\r\n c\r\n", CHUNKED_BAD_TRAILER },
    { "a_space_in_a_trailers_name", "0\r\nA : b\r\n", CHUNKED_BAD_TRAILER },
    { "a_bare_line_feed_after_a_trailer", "0\r\nA: b\n\r\n", CHUNKED_BAD_LINE },
    { "a_bare_line_feed_at_the_end", "0\r\n\n", CHUNKED_BAD_LINE },
    { "a_carriage_return_in_a_trailer", "0\r\nA: \rb\r\n", CHUNKED_BAD_LINE },
    { "a_trailer_without_end", "0\r\nA: @@@@@", CHUNKED_LONG_TRAILERS },
};

/* In the heap: nothing after the last byte may be read. */
static char *expand(const char *text, size_t *body, size_t *all)
{
    char  *out = malloc(64 * 1024);
    size_t n = 0;

    *body = SIZE_MAX;
    for (; *text != '\0'; text++) {
        if (*text == '|') {
            *body = n;
        } else if (*text == '@' || *text == '#') {
            memset(out + n, *text == '@' ? 'a' : '0', *text == '@' ? 4096 : 500);
            n += *text == '@' ? 4096 : 500;
        } else {
            out[n++] = *text;
        }
    }
    *all = n;
    return realloc(out, n > 0 ? n : 1);
}

static enum chunked_verdict feed(const char *bytes, size_t count, size_t piece, size_t *taken)
{
    struct chunked       c = { 0 };
    enum chunked_verdict v = CHUNKED_MORE;
    size_t               some;

    for (*taken = 0; v == CHUNKED_MORE && *taken < count; *taken += some)
        v = chunked_feed(&c, bytes + *taken, count - *taken < piece ? count - *taken : piece, &some);
    return v;
}

static void test_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t body, all, taken;
        char  *bytes = expand(cases[i].bytes, &body, &all);

        for (size_t piece = 1; piece <= 100000; piece *= piece == 1 ? 3 : 100000 / 3) {
            enum chunked_verdict v = feed(bytes, all, piece, &taken);

            if (v != cases[i].verdict)
                fail_msg("%s, in pieces of %zu: %d", cases[i].fact, piece, (int)v);
            if (v == CHUNKED_END && taken != body)
                fail_msg("%s, in pieces of %zu: %zu bytes taken", cases[i].fact, piece, taken);
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_verdicts) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
