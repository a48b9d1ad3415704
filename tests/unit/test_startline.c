/*
 * The first bytes of a request: what is waited for, what libmicrohttpd may have, what is told at once.
 */
#include "front/mhd/startline.h"

#include <stdarg.h>
#include <stdlib.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

enum { MORE = 0, FINE = 1 };

/* `says`: MORE, FINE or a status. '@' stands for 70 letters, '%' for 40,000. */
static const struct {
    const char *fact;
    const char *bytes;
    unsigned    says;
    const char *part; /* of title or detail; may be NULL */
} cases[] = {
    { "nothing", "", MORE, NULL },
    { "a_method", "GET", MORE, NULL },
    { "a_method_and_a_space", "GET ", MORE, NULL },
    { "a_line_without_its_end", "GET /x HTTP/1.1", MORE, NULL },
    { "a_line_but_for_the_line_feed", "GET /x HTTP/1.1\r", MORE, NULL },
    { "a_line", "GET /x HTTP/1.1\r\n", FINE, NULL },
    { "a_line_and_more", "GET /x HTTP/1.1\r\nHost: x\r\n\r\nhello\n", FINE, NULL },
    { "a_bare_line_feed_is_the_guards", "GET /x HTTP/1.1\nHost: x\n\n", FINE, NULL },
    { "http_1_0", "GET /x HTTP/1.0\r\n", FINE, NULL },
    { "a_later_minor_version_is_1_1", "GET /x HTTP/1.2\r\n", FINE, NULL },
    { "a_method_of_its_own", "M-SEARCH * HTTP/1.1\r\n", FINE, NULL },
    { "a_method_with_what_no_token_has_is_the_guards", "G(T /x HTTP/1.1\r\n", FINE, NULL },
    { "a_space_in_the_target_is_the_guards", "GET /x y HTTP/1.1\r\n", FINE, NULL },
    { "a_long_target_on_its_way", "GET /%", 414, NULL },
    { "a_long_method", "@ /x HTTP/1.1\r\n", 501, NULL },
    { "a_long_method_on_its_way", "@", 501, NULL },
    { "a_version_of_two_digits", "GET /x HTTP/11.1\r\n", 505, NULL },
    { "a_minor_version_of_two_digits", "GET /x HTTP/1.10\r\n", 505, NULL },
    { "http_2", "GET /x HTTP/2\r\n", 505, NULL },
    { "http_2_0", "GET /x HTTP/2.0\r\n", 505, "HTTP/1.1" },
    { "http_2_with_prior_knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "prior knowledge" },
    { "http_3_0", "GET /x HTTP/3.0\r\n", 505, NULL },
    { "http_0_9_by_name", "GET /x HTTP/0.9\r\n", 505, NULL },
    { "http_0_9", "GET /x\r\n", 400, "HTTP/0.9" },
    { "no_target", "GET HTTP/1.1\r\n", 400, "TARGET" },
    { "no_target_and_a_space", "GET \r\n", 400, NULL },
    { "a_word", "hello\r\n", 400, "METHOD" },
    { "a_word_and_a_line_feed", "hello\n", 400, NULL },
    { "a_letter", "x\n", 400, NULL },
    { "another_protocol", "OPTIONS * RTSP/1.0\r\n", 400, "HTTP/1.1" },
    { "lower_case", "GET /x http/1.1\r\n", 400, NULL },
    { "no_digits", "GET /x HTTP/a.b\r\n", 400, NULL },
    { "nothing_behind_the_slash", "GET /x HTTP/\r\n", 400, NULL },
    { "a_space_behind_the_version", "GET /x HTTP/1.1 \r\n", 400, NULL },
    { "a_space_first", " GET /x HTTP/1.1\r\n", 400, "method" },
    { "a_line_end_is_not_a_beginning", "\r\n", 400, NULL },
    { "a_letter_of_no_token", "\377\373\037", 400, NULL },
    { "a_brace", "{\"a\": 1}\r\n", 400, NULL },
    { "one_byte_of_tls", "\026", MORE, NULL },
    { "two_bytes_of_tls", "\026\003", 400, "plain HTTP" },
    { "a_client_hello", "\026\003\001\002", 400, "TLS" },
    { "a_control_character_that_is_not_tls", "\026x", 400, "no HTTP request" },
};

static struct slice expand(const char *text)
{
    char  *out = malloc(64 * 1024);
    size_t n = 0;

    for (; *text != '\0'; text++) {
        size_t count = *text == '@' ? 70 : *text == '%' ? 40000 : 1;

        memset(out + n, count > 1 ? 'M' : *text, count);
        n += count;
    }
    return (struct slice){ realloc(out, n > 0 ? n : 1), n };
}

static unsigned judge(struct slice bytes, struct refusal *no)
{
    switch (startline_judge(bytes, no)) {
    case STARTLINE_MORE:
        return MORE;
    case STARTLINE_FINE:
        return FINE;
    case STARTLINE_BAD:
        break;
    }
    return problem_status(no->kind);
}

static void test_judge(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice   bytes = expand(cases[i].bytes);
        struct refusal no = { PROBLEM_NONE, "" };
        unsigned       says = judge(bytes, &no);

        if (says != cases[i].says)
            fail_msg("%s: %u", cases[i].fact, says);
        if (cases[i].part != NULL && strstr(problem_types[no.kind].title, cases[i].part) == NULL &&
            strstr(no.detail, cases[i].part) == NULL)
            fail_msg("%s: %s %s", cases[i].fact, problem_types[no.kind].title, no.detail);
        free((void *)(uintptr_t)bytes.ptr);
    }
}

static void test_a_nul_in_the_line(void **state)
{
    static const char *const lines[] = { "G\0T /x HTTP/1.1\r\n", "GET /\0 HTTP/1.1\r\n", "GET /x HTTP/1.\0\r\n" };
    struct refusal           no;

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_int_equal(judge((struct slice){ lines[i], 17 }, &no), 400);
    assert_int_equal(judge((struct slice){ "\0GET / HTTP/1.1\r\n", 17 }, &no), 400);
}

static void test_a_line_that_was_read(void **state)
{
    struct refusal no = { PROBLEM_NONE, "" };

    (void)state;
    assert_true(startline_judge_again((struct slice){ "GET\0/x\0HTTP/2.0\0\0Host: x\r\n", 26 }, &no));
    assert_int_equal(problem_status(no.kind), 505);
    assert_true(startline_judge_again((struct slice){ "GET\0/x\0\0", 8 }, &no));
    assert_int_equal(problem_status(no.kind), 400);
    assert_true(startline_judge_again((struct slice){ "GET\0/x\0HTTP/3", 13 }, &no));
    assert_int_equal(problem_status(no.kind), 505);
    assert_false(startline_judge_again((struct slice){ "GET\0/x\0HTTP/1.1\0\0Host: x\r\n", 26 }, &no));
}

/* libmicrohttpd ends what it has read of a line with NUL. */
static void test_heads_are_known(void **state)
{
    (void)state;
    assert_true(startline_is_head(SLICE("HEAD / HTTP/2.0")));
    assert_true(startline_is_head((struct slice){ "HEAD\0/", 6 }));
    assert_false(startline_is_head(SLICE("HEADER / HTTP/2.0")));
    assert_false(startline_is_head(SLICE("HEAD")));
    assert_false(startline_is_head(SLICE("GET / HTTP/2.0")));
}

static void test_each_status_of_libmicrohttpds_has_words(void **state)
{
    static const unsigned statuses[] = { 400, 413, 414, 431, 505 };

    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        assert_int_equal(problem_status(startline_refusal(statuses[i]).kind), statuses[i]);
    assert_int_equal(problem_status(startline_refusal(500).kind), 502);
    assert_int_equal(problem_status(startline_refusal(0).kind), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_a_nul_in_the_line),
        cmocka_unit_test(test_a_line_that_was_read),
        cmocka_unit_test(test_heads_are_known),
        cmocka_unit_test(test_each_status_of_libmicrohttpds_has_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
