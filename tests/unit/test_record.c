/*
 * Records: what is encoded is what is decoded, and a changed byte shows.
 */
#include "store/record.h"

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static const struct record_key key = { "hash of sixteen.variant, 16 long" };

/* The value, malloc'ed. */
static char *encode(const struct record_parts *p, const char *body, size_t *size)
{
    char *value, *at;

    *size = record_size(p);
    if (*size == 0)
        return NULL;
    value = malloc(*size);
    at = record_begin(p, value);
    if (p->body_file == 0) {
        assert_ptr_equal(at + p->body_bytes, value + *size);
        memcpy(at, body, (size_t)p->body_bytes);
    }
    record_seal(&key, value, *size);
    return value;
}

struct row {
    const char *name;
    const char *full_key, *selection, *upstream;
    const char *fields[8];              /* name, value, ... */
    const char *body;
    uint64_t    body_file;
    int64_t     body_bytes;
    struct body_proof proof;
    bool        invalidated, had_credential;
};

static const struct row rows[] = {
    { .name = "nothing_but_a_key", .full_key = "k", .selection = "", .upstream = "", .body = "" },
    { .name = "fields_and_inline_body",
      .full_key = "https://a/b?c",
      .selection = "accept: x\n",
      .upstream = "inat",
      .fields = { "Content-Type", "text/plain", "X-Own-Name", "1", "x-own-name", "" },
      .body = "hello",
      .body_bytes = 5 },
    { .name = "body_in_a_file",
      .full_key = "k",
      .selection = "",
      .upstream = "u",
      .fields = { "ETag", "\"x\"" },
      .body_file = 0x123456789abcdef,
      .body_bytes = 5000000000,
      .invalidated = true },
    { .name = "body_in_a_file_with_its_sum",
      .full_key = "k",
      .selection = "s",
      .upstream = "u",
      .fields = { "ETag", "\"x\"" },
      .body_file = 7,
      .body_bytes = 70000,
      .proof = { 0x1122334455667788, 0x99 } },
    { .name = "flags", .full_key = "k", .selection = "", .upstream = "u", .body = "", .had_credential = true },
};

static struct record_parts parts_of(const struct row *row, struct http_fields *fields, struct arena *a)
{
    struct record_parts p = {
        .key = key, .tag = "tag of 16 bytes", .id = 77, .requested_wall_ns = 1, .received_wall_ns = INT64_MAX,
        .status = 203, .invalidated = row->invalidated, .had_credential = row->had_credential,
        .full_key = slice_of(row->full_key), .selection = slice_of(row->selection), .upstream = slice_of(row->upstream),
        .fields = fields, .body_bytes = row->body_bytes, .body_file = row->body_file,
        .proof = row->proof,
    };

    *fields = (struct http_fields){ 0 };
    for (int i = 0; row->fields[i] != NULL; i += 2)
        http_fields_add(fields, a, slice_of(row->fields[i]), slice_of(row->fields[i + 1]));
    return p;
}

static void check_fields(const char *row, const struct store_record *r, const struct http_fields *want, struct arena *a)
{
    struct http_fields got = store_record_fields(r, a);

    if (got.count != want->count)
        fail_msg("%s: %u fields", row, got.count);
    for (unsigned i = 0; i < got.count; i++) {
        if (!slice_eq(got.items[i].name, want->items[i].name) || !slice_eq(got.items[i].value, want->items[i].value) ||
            got.items[i].id != want->items[i].id)
            fail_msg("%s: field %u", row, i);
        if (strlen(got.items[i].name.ptr) != got.items[i].name.len ||
            strlen(got.items[i].value.ptr) != got.items[i].value.len)
            fail_msg("%s: field %u is not terminated", row, i);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row   *row = &rows[i];
        struct arena        a = { 0 };
        struct http_fields  fields;
        struct record_parts p = parts_of(row, &fields, &a);
        struct record       r;
        size_t              size;
        char               *value = encode(&p, row->body, &size);

        if (!record_decode(record_key_slice(&key), (struct slice){ value, size }, &r) || !record_body_is_right(&r))
            fail_msg("%s: does not decode", row->name);
        if (!slice_eq(r.view.full_key, p.full_key) || !slice_eq(r.view.selection, p.selection) ||
            !slice_eq(r.view.upstream, p.upstream) || r.view.id != 77 || r.view.status != 203 ||
            r.view.requested_wall_ns != 1 || r.view.received_wall_ns != INT64_MAX ||
            r.view.invalidated != row->invalidated || r.view.had_credential != row->had_credential ||
            r.view.body_bytes != row->body_bytes || r.view.body_file != row->body_file ||
            r.view.proof.sum != row->proof.sum || r.view.proof.mark != row->proof.mark ||
            memcmp(r.tag, p.tag, sizeof r.tag) != 0 || memcmp(r.view.hash, key.bytes, STORE_HASH_BYTES) != 0 ||
            memcmp(r.view.variant, key.bytes + STORE_HASH_BYTES, STORE_HASH_BYTES) != 0)
            fail_msg("%s: comes back changed", row->name);
        if (row->body_file == 0 && !slice_eq(r.view.body, slice_of(row->body)))
            fail_msg("%s: body", row->name);
        if ((r.view.body.ptr == NULL) != (row->body_file != 0))
            fail_msg("%s: inline or not", row->name);
        check_fields(row->name, &r.view, &fields, &a);
        free(value);
        arena_free(&a);
    }
}

/* Whatever byte is hit, before the body it is no record, within it the body is not right. */
static void test_every_changed_byte_shows(void **state)
{
    struct arena        a = { 0 };
    struct http_fields  fields;
    struct record_parts p = parts_of(&rows[1], &fields, &a);
    struct record       r;
    size_t              size;
    char               *value = encode(&p, rows[1].body, &size);

    (void)state;
    for (size_t i = 0; i < size; i++) {
        value[i] ^= 0x10;
        if (record_decode(record_key_slice(&key), (struct slice){ value, size }, &r) && record_body_is_right(&r))
            fail_msg("byte %zu of %zu", i, size);
        value[i] ^= 0x10;
    }
    for (size_t shorter = 0; shorter < size; shorter++)
        if (record_decode(record_key_slice(&key), (struct slice){ value, shorter }, &r))
            fail_msg("cut to %zu of %zu", shorter, size);
    free(value);
    arena_free(&a);
}

static void test_under_another_key_it_is_none(void **state)
{
    struct arena        a = { 0 };
    struct http_fields  fields;
    struct record_parts p = parts_of(&rows[1], &fields, &a);
    struct record_key   other = key;
    struct record       r;
    size_t              size;
    char               *value = encode(&p, rows[1].body, &size);

    (void)state;
    other.bytes[31] ^= 1;
    assert_true(record_decode(record_key_slice(&key), (struct slice){ value, size }, &r));
    assert_false(record_decode(record_key_slice(&other), (struct slice){ value, size }, &r));
    free(value);
    arena_free(&a);
}

static void test_encoded_fields_are_kept_as_they_are(void **state)
{
    struct arena        a = { 0 };
    struct http_fields  fields;
    struct record_parts p = parts_of(&rows[1], &fields, &a), again;
    struct record       first, second;
    size_t              size;
    char               *value = encode(&p, rows[1].body, &size), *copy;

    (void)state;
    assert_true(record_decode(record_key_slice(&key), (struct slice){ value, size }, &first));
    again = p;
    again.fields = NULL;
    again.encoded_fields = first.view.encoded_fields;
    copy = encode(&again, rows[1].body, &size);
    assert_true(record_decode(record_key_slice(&key), (struct slice){ copy, size }, &second));
    check_fields("again", &second.view, &fields, &a);
    free(copy);
    free(value);
    arena_free(&a);
}

static void test_ids_of_another_name_table_are_not_believed(void **state)
{
    struct arena        a = { 0 };
    struct http_fields  fields;
    struct record_parts p = parts_of(&rows[1], &fields, &a);
    struct record       r;
    size_t              size;
    char               *value = encode(&p, rows[1].body, &size);
    char               *encoded;
    const uint16_t      wrong = 1;

    (void)state;
    assert_true(record_decode(record_key_slice(&key), (struct slice){ value, size }, &r));
    encoded = value + (r.view.encoded_fields.ptr - value);
    encoded[0] ^= 1;                                 /* the stamp */
    memcpy(encoded + 8, &wrong, sizeof wrong);       /* the first field's id */
    check_fields("other table", &r.view, &fields, &a);
    free(value);
    arena_free(&a);
}

static void test_what_cannot_be_encoded(void **state)
{
    struct arena        a = { 0 };
    char               *name = calloc(1, 70001);
    struct http_fields  fields = { 0 };
    struct record_parts p = { .key = key, .full_key = SLICE("k"), .fields = &fields };

    (void)state;
    assert_int_not_equal(record_size(&p), 0);
    memset(name, 'n', 70000);
    http_fields_add(&fields, &a, slice_of(name), SLICE("v"));
    assert_int_equal(record_size(&p), 0);
    fields.count = 0;
    p.upstream = (struct slice){ name, 256 };
    assert_int_equal(record_size(&p), 0);
    free(name);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_changed_byte_shows),
        cmocka_unit_test(test_under_another_key_it_is_none),
        cmocka_unit_test(test_encoded_fields_are_kept_as_they_are),
        cmocka_unit_test(test_ids_of_another_name_table_are_not_believed),
        cmocka_unit_test(test_what_cannot_be_encoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
