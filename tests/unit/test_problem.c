/*
 * The one writer of problem+json, with Jansson as the judge of what it wrote, and the table of problems, which weir(8)
 * lists.  With WEIR_UPDATE_MANUAL=1 that list is written instead of compared.
 */
#include <jansson.h>

#include "conf.h"
#include "http/problem.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define TYPED(rest) "{\"type\":\"tag:weir,2026:over-budget\",\"title\":\"Over budget\",\"status\":429," rest "}\n"

static void test_texts(void **state)
{
    static const struct {
        const char         *fact;
        struct problem_text problem;
        const char         *text;
    } rows[] = {
        { "all_members_in_their_order",
          { PROBLEM_OVER_BUDGET, PROBLEM_ONE_LINE, { "Wait.", 5 }, "inat", "60/min", "Retry-After", true, 1500 },
          TYPED("\"detail\":\"Wait.\",\"upstream\":\"inat\",\"limit\":\"60/min\",\"blocked_by\":\"Retry-After\","
                "\"retry_after_ms\":1500") },
        { "what_there_is_not_is_not_said",
          { .kind = PROBLEM_OVER_BUDGET, .detail = { "Wait.", 5 } },
          TYPED("\"detail\":\"Wait.\"") },
        { "no_detail_is_an_empty_one", { .kind = PROBLEM_OVER_BUDGET }, TYPED("\"detail\":\"\"") },
        { "to_try_again_at_once_is_said",
          { .kind = PROBLEM_OVER_BUDGET, .has_retry_after = true },
          TYPED("\"detail\":\"\",\"retry_after_ms\":0") },
        { "indented",
          { .kind = PROBLEM_NO_LIMIT, .form = PROBLEM_INDENTED, .detail = { "No.", 3 } },
          "{\n  \"type\": \"tag:weir,2026:no-limit\",\n  \"title\": \"No such limit\",\n  \"status\": 404,\n  "
          "\"detail\": \"No.\"\n}" },
        { "quotes_and_backslashes",
          { .kind = PROBLEM_OVER_BUDGET, .detail = { "a\"b\\c", 5 }, .limit = "\"x\"" },
          TYPED("\"detail\":\"a\\\"b\\\\c\",\"limit\":\"\\\"x\\\"\"") },
        { "control_bytes",
          { .kind = PROBLEM_OVER_BUDGET, .detail = { "\r\n\x01\x7f\0", 5 } },
          TYPED("\"detail\":\"\\r\\n\\u0001\\u007f\\u0000\"") },
        { "what_is_no_utf8",
          { .kind = PROBLEM_OVER_BUDGET, .detail = { "a\xe4\xed\xa0\x80z", 6 } },
          TYPED("\"detail\":\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"") },
        { "utf8_as_it_is",
          { .kind = PROBLEM_OVER_BUDGET, .detail = { "\xc3\xa4\xf0\x9f\x98\x80", 6 } },
          TYPED("\"detail\":\"\xc3\xa4\xf0\x9f\x98\x80\"") },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char    out[512];
        size_t  n = problem_write(out, sizeof out, &rows[i].problem);
        json_t *parsed = json_loadb(out, n, JSON_ALLOW_NUL, NULL);

        if (!slice_eq((struct slice){ out, n }, slice_of(rows[i].text)) || parsed == NULL)
            fail_msg("%s: %.*s", rows[i].fact, (int)n, out);
        json_decref(parsed);
    }
}

/* Whatever the room, it is whole JSON or nothing, never a byte beyond, and a character is not cut in two. */
static void test_bounds(void **state)
{
    static const char   euros[] = "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\"\\\x01\xe2\x82\xac\xe2\x82\xac";
    struct problem_text p = { .kind = PROBLEM_QUEUE_FULL, .detail = SLICE(euros), .upstream = "inat" };
    char                whole[512];
    size_t              needed = problem_write(whole, sizeof whole, &p), least = 0;

    (void)state;
    for (size_t room = 0; room <= needed; room++) {
        char       *out = malloc(room > 0 ? room : 1); /* a byte beyond is the sanitizer's to find */
        size_t      n = problem_write(out, room, &p);
        json_t     *parsed = json_loadb(out, n, 0, NULL);
        const char *detail = json_string_value(json_object_get(parsed, "detail"));

        assert_true(n <= room);
        assert_true((n == 0) == (parsed == NULL));
        if (n > 0 && (strncmp(detail, euros, strlen(detail)) != 0 || strstr(detail, "\xef\xbf\xbd") != NULL))
            fail_msg("%zu: %s", room, detail);
        if (n > 0 && least == 0)
            least = room;
        assert_true(least == 0 || n > 0);
        json_decref(parsed);
        free(out);
    }
    assert_true(least > 0 && least < needed);
    assert_true(needed <= sizeof whole && memcmp(whole, "{\"type\"", 7) == 0);
}

static void test_the_room_asked_for_is_enough(void **state)
{
    static const char bytes[] = { '\x01', '\xff', '"', 'a' };

    (void)state;
    for (int kind = PROBLEM_NONE + 1; kind < PROBLEM_COUNT; kind++)
        for (size_t i = 0; i < sizeof bytes; i++) {
            char                detail[300], out[4096];
            struct problem_text p = { .kind = (enum problem_kind)kind,
                                      .form = PROBLEM_INDENTED,
                                      .detail = { detail, sizeof detail } };
            size_t              room = problem_room(sizeof detail), n;
            json_t             *parsed;

            memset(detail, bytes[i], sizeof detail);
            assert_true(room <= sizeof out);
            n = problem_write(out, room, &p);
            parsed = json_loadb(out, n, 0, NULL);
            assert_true(json_string_length(json_object_get(parsed, "detail")) ==
                        sizeof detail * (bytes[i] == '\xff' ? 3 : 1));
            json_decref(parsed);
        }
}

static void test_table(void **state)
{
    (void)state;
    assert_int_equal(problem_status(PROBLEM_NONE), 0);
    for (int i = PROBLEM_NONE + 1; i < PROBLEM_COUNT; i++) {
        const struct problem_type *t = &problem_types[i];

        if (t->status < 400 || t->status > 599 || t->title[0] == '\0' || t->meaning[strlen(t->meaning) - 1] != '.' ||
            t->remedy[strlen(t->remedy) - 1] != '.' || problem_find(slice_of(t->name)) != (enum problem_kind)i ||
            strspn(t->name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(t->name))
            fail_msg("%s: %u %s", t->name, t->status, t->title);
        for (int k = i + 1; k < PROBLEM_COUNT; k++)
            assert_string_not_equal(t->name, problem_types[k].name);
    }
}

static void print_manual(FILE *out)
{
    for (int i = PROBLEM_NONE + 1; i < PROBLEM_COUNT; i++) {
        const struct problem_type *t = &problem_types[i];

        fprintf(out, ".It Li %s Pq %u\n%s\n%s\n", t->name, t->status, t->meaning, t->remedy);
    }
}

static void test_manual_has_all(void **state)
{
    static const char begin[] = ".\\\" From src/http/problem.def:\n.Bl -tag -width Ds\n",
                      end[] = ".El\n.\\\" End of problems.\n";
    char  *page = conf_read(conf_source("doc/weir.8")), *list = NULL;
    char  *from = strstr(page, begin), *to = strstr(page, end);
    size_t bytes = 0;
    FILE  *out = open_memstream(&list, &bytes);

    (void)state;
    print_manual(out);
    fclose(out);
    assert_true(from != NULL && to != NULL && from < to);
    from += strlen(begin);
    if (getenv("WEIR_UPDATE_MANUAL") != NULL) {
        FILE *fresh = fopen(conf_source("doc/weir.8"), "w");

        assert_non_null(fresh);
        fprintf(fresh, "%.*s%s%s", (int)(from - page), page, list, to);
        fclose(fresh);
    } else if ((size_t)(to - from) != bytes || strncmp(from, list, bytes) != 0) {
        fail_msg("weir(8) does not list the problems of src/http/problem.def: make manual writes it");
    }
    free(page);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_the_room_asked_for_is_enough),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_manual_has_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
