/*
 * Field names and lists of fields.
 */
#include "http/fields.h"
#include "http/hop.h"

#include "head.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <ctype.h>
#include <stdio.h>
#include <cmocka.h>

static void test_every_known_name_is_found_in_any_case(void **state)
{
    (void)state;
    for (int id = HTTP_NAME_OTHER + 1; id < HTTP_NAME_COUNT; id++) {
        const char *text = http_name_text((enum http_name)id);
        char        upper[64], lower[64];
        size_t      length = strlen(text);

        for (size_t i = 0; i <= length; i++) {
            upper[i] = (char)toupper((unsigned char)text[i]);
            lower[i] = (char)tolower((unsigned char)text[i]);
        }
        if (http_name_parse(slice_of(text)) != (enum http_name)id ||
            http_name_parse(slice_of(upper)) != (enum http_name)id ||
            http_name_parse(slice_of(lower)) != (enum http_name)id)
            fail_msg("%s is not found", text);
        if (http_name_parse(slice_sub(slice_of(text), 0, length - 1)) == (enum http_name)id)
            fail_msg("%s is found without its end", text);
        upper[length] = 'x';
        if (http_name_parse((struct slice){ upper, length + 1 }) != HTTP_NAME_OTHER)
            fail_msg("%s is found with a byte more", text);
    }
}

static void test_other_names_are_other(void **state)
{
    static const char *const names[] = {
        "", "x", "Foo", "Etaq", "Cache\rControl", "Agf", "If-Matcx", "Content-Lenxth", "\xff\xff", "ETa\x47\x47"
    };
    struct property p = { 5 };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (http_name_parse(slice_of(names[i])) != HTTP_NAME_OTHER)
            fail_msg("%s", names[i]);
    for (int i = 0; i < 20000; i++) { /* one byte of a known name changed */
        enum http_name id = (enum http_name)(1 + property_below(&p, HTTP_NAME_COUNT - 1));
        struct slice   name = property_exact(slice_of(http_name_text(id)));
        char          *at = (char *)(uintptr_t)name.ptr + property_below(&p, name.len);
        char           byte = (char)property_next(&p), before = *at;
        enum http_name found;

        *at = byte;
        found = http_name_parse(name);
        if (found == id && tolower((unsigned char)byte) != tolower((unsigned char)before))
            fail_msg("%.*s is taken for %s", SLICE_ARG(name), http_name_text(id));
        property_free(name);
    }
}

static void test_flags_of_names(void **state)
{
    static const struct {
        const char *name;
        unsigned    flags;
    } rows[] = {
        { "connection", HTTP_HOP_BY_HOP },
        { "Transfer-Encoding", HTTP_HOP_BY_HOP },
        { "Content-Length", HTTP_NOT_UPDATED | HTTP_SINGLE },
        { "Weir-TTL", HTTP_WEIR | HTTP_SINGLE },
        { "Vary", 0 },
        { "X-Unknown", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (http_name_flags(http_name_parse(slice_of(rows[i].name))) != rows[i].flags)
            fail_msg("%s", rows[i].name);
    assert_string_equal(http_name_text(HTTP_NAME_OTHER), "");
}

static void test_list_keeps_order_and_finds(void **state)
{
    struct head h = head_of("Vary: a\nX-One: 1\nvary:\t b \nx-one:2\nETag:\n");

    (void)state;
    assert_int_equal(http_fields_find(&h.fields, HTTP_VARY, 0), 0);
    assert_int_equal(http_fields_find(&h.fields, HTTP_VARY, 1), 2);
    assert_int_equal(http_fields_find(&h.fields, HTTP_VARY, 3), -1);
    assert_int_equal(http_fields_find(&h.fields, HTTP_AGE, 0), -1);
    assert_int_equal(http_fields_find_name(&h.fields, SLICE("X-ONE"), 0), 1);
    assert_int_equal(http_fields_find_name(&h.fields, SLICE("X-ONE"), 2), 3);
    assert_int_equal(http_fields_find_name(&h.fields, SLICE("VARY"), 1), 2);
    assert_int_equal(http_fields_find_name(&h.fields, SLICE("X-Two"), 0), -1);
    assert_int_equal(http_fields_count(&h.fields, HTTP_VARY), 2);
    assert_true(slice_eq(http_fields_get(&h.fields, HTTP_VARY), SLICE("a")));
    assert_null(http_fields_get(&h.fields, HTTP_AGE).ptr);
    assert_non_null(http_fields_get(&h.fields, HTTP_ETAG).ptr);
    assert_int_equal(http_fields_get(&h.fields, HTTP_ETAG).len, 0);
    head_free(&h);
}

static void test_empty_value_is_not_absent(void **state)
{
    struct arena       a = { 0 };
    struct http_fields f = { 0 };

    (void)state;
    http_fields_add(&f, &a, SLICE("ETag"), SLICE_NONE);
    http_fields_add_id(&f, &a, HTTP_AGE, SLICE(" 5 "));
    assert_non_null(http_fields_get(&f, HTTP_ETAG).ptr);
    assert_true(slice_eq(http_fields_get(&f, HTTP_AGE), SLICE("5")));
    assert_true(slice_eq(f.items[1].name, SLICE("Age")));
    arena_free(&a);
}

static void test_joins_lines(void **state)
{
    static const struct {
        const char *name, *lines, *asked, *joined;
    } rows[] = {
        { "none", "A: 1\n", "B", NULL },
        { "one_line", "A: 1, 2\n", "a", "1, 2" },
        { "two_lines", "A: 1\nB: x\na: 2\n", "A", "1, 2" },
        { "empty_line_between", "Vary: a\nVary:\nVary: b\n", "vary", "a, , b" },
        { "empty_first", "Vary:\nVary: *\n", "vary", ", *" },
        { "empty_only", "Vary:\n", "vary", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head  h = head_of(rows[i].lines);
        struct slice joined = http_fields_join(&h.fields, slice_of(rows[i].asked), &h.arena);

        if ((joined.ptr == NULL) != (rows[i].joined == NULL) || !slice_eq(joined, slice_of(rows[i].joined)))
            fail_msg("%s", rows[i].name);
        head_free(&h);
    }
}

static void test_removes_all_of_a_name(void **state)
{
    struct arena       a = { 0 };
    struct http_fields f = { 0 };
    char               values[100][4];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(values[i], sizeof values[i], "%d", i);
        http_fields_add_id(&f, &a, i % 3 == 0 ? HTTP_AGE : HTTP_ETAG, slice_of(values[i]));
    }
    http_fields_remove(&f, HTTP_AGE);
    assert_int_equal(f.count, 66);
    for (unsigned i = 0; i < f.count; i++)
        assert_true(slice_eq(f.items[i].value, slice_of(values[i / 2 * 3 + i % 2 + 1])));
    arena_free(&a);
}

static void test_copy_stands_alone(void **state)
{
    struct arena       a = { 0 };
    struct head        h = head_of("A: 1\nVary: x\n");
    struct http_fields copy = http_fields_copy(&h.fields, &a);
    struct http_fields empty = http_fields_copy(&(struct http_fields){ 0 }, &a);

    (void)state;
    head_free(&h);
    assert_int_equal(copy.count, 2);
    assert_string_equal(copy.items[0].name.ptr, "A");
    assert_string_equal(copy.items[1].value.ptr, "x");
    assert_int_equal(copy.items[1].id, HTTP_VARY);
    assert_int_equal(empty.count, 0);
    http_fields_add(&copy, &a, SLICE("B"), SLICE("2"));
    assert_int_equal(copy.count, 3);
    arena_free(&a);
}

static void test_end_to_end_leaves_out(void **state)
{
    static const struct {
        const char *name, *lines, *kept;
    } rows[] = {
        { "hop_by_hop",
          "Connection: close\nKeep-Alive: 1\nTE: trailers\nTrailer: x\n"
          "Transfer-Encoding: chunked\nUpgrade: h2c\nProxy-Connection: x\nProxy-Authenticate: x\n"
          "Proxy-Authorization: x\nProxy-Authentication-Info: x\nA: 1\n",
          "A" },
        { "listed_in_connection", "Connection: a, close\nA: 1\nB: 2\n", "B" },
        { "listed_on_two_lines", "Connection: a\nConnection: b\nA: 1\nB: 2\nC: 3\n", "C" },
        { "known_name_listed", "Connection: etag\nETag: x\nAge: 1\n", "Age" },
        { "weirs_own", "Weir-TTL: 1h\nWeir-Client: x\nAccept: y\n", "Accept" },
        { "weir_cache_control_is_a_response_field", "Weir-Cache-Control: no-store\n", "Weir-Cache-Control" },
        { "close_is_no_field", "Connection: close\nA: 1\n", "A" },
        { "nothing", "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head        h = head_of(rows[i].lines);
        struct http_fields kept = http_fields_end_to_end(&h.fields, &h.arena);
        bool               right = kept.count == (rows[i].kept[0] != '\0');

        if (!right || (kept.count > 0 && !slice_eq(kept.items[0].name, slice_of(rows[i].kept))))
            fail_msg("%s", rows[i].name);
        head_free(&h);
    }
}

static void test_drop_named(void **state)
{
    static const struct {
        const char *name, *lines, *kept;
    } rows[] = {
        { "named_is_dropped", "A: 1\nConnection: a, B\nb: 2\nC: 3\na: 4\n", "C" },
        { "on_two_lines", "Connection: close\nConnection: a\nA: 1\nB: 2\n", "B" },
        { "credentials", "Connection: keep-alive, cookie\nCookie: s=1\nAuthorization: x\n", "Authorization" },
        { "nothing_is_named", "Connection: Keep-Alive\nA: 1\n", "Connection A" },
        { "hop_by_hop_stays_for_weir", "Connection: te, host, transfer-encoding\nHost: x\nTE: y\n",
          "Connection Host TE" },
        { "weirs_own_stays", "Connection: weir-ttl, weir-unknown, a\nWeir-TTL: 1h\nWeir-Unknown: 1\nA: 1\n",
          "Weir-TTL Weir-Unknown" },
        { "no_connection", "A: 1\n", "A" },
        { "none_at_all", "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head        h = head_of(rows[i].lines);
        struct http_fields f = h.fields;
        struct slice       names = SLICE("");

        http_fields_drop_named(&f, &h.arena);
        for (unsigned k = 0; k < f.count; k++)
            names = arena_printf(&h.arena, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(names), k > 0 ? " " : "",
                                 SLICE_ARG(f.items[k].name));
        if (!slice_eq(names, slice_of(rows[i].kept)))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(names));
        head_free(&h);
    }
}

static void test_tokens_and_values(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char         byte = (char)c;
        struct slice one = { &byte, 1 };
        bool         token = c != 0 && c < 0x80 && (isalnum(c) || strchr("!#$%&'*+-.^_`|~", c) != NULL);

        if (http_is_token(one) != token)
            fail_msg("byte %d as a token", c);
        if (http_is_field_value(one) != (c != 0 && c != '\r' && c != '\n'))
            fail_msg("byte %d in a value", c);
    }
    assert_false(http_is_token(SLICE("")));
    assert_true(http_is_token(SLICE("x-a")));
    assert_false(http_is_token(SLICE("x a")));
    assert_true(http_is_field_value(SLICE("")));
    assert_true(http_is_field_value(SLICE("a b\t\xff")));
    assert_false(http_is_field_value(SLICE("a\r\n b")));
    assert_false(http_is_field_value(SLICE("a\0b")));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_known_name_is_found_in_any_case),
        cmocka_unit_test(test_other_names_are_other),
        cmocka_unit_test(test_flags_of_names),
        cmocka_unit_test(test_list_keeps_order_and_finds),
        cmocka_unit_test(test_empty_value_is_not_absent),
        cmocka_unit_test(test_joins_lines),
        cmocka_unit_test(test_removes_all_of_a_name),
        cmocka_unit_test(test_copy_stands_alone),
        cmocka_unit_test(test_end_to_end_leaves_out),
        cmocka_unit_test(test_drop_named),
        cmocka_unit_test(test_tokens_and_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
