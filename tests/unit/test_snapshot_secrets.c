/*
 * No credential is in any file of a snapshot: in no field, URL or body, in none of the ways that it may be written.
 */
#include "http/inflate.h"
#include "snapshot_support.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <brotli/encode.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define SECRET "s3cr3t/with+odd&signs"

static const struct {
    const char *name, *url, *field, *answer_field, *answer;
    bool        kept;
} secrets[] = {
    { "in_its_own_places", "http://a/x?token=" SECRET, "Authorization: Bearer " SECRET, "X: 1", "fine", true },
    { "said_again_in_a_field", "http://a/x", "Authorization: Bearer " SECRET, "Link: <http://a/?t=" SECRET ">", "",
      true },
    { "percent_encoded_in_a_field", "http://a/x", "X-Api-Key: " SECRET,
      "Location: http://a/s3cr3t%2Fwith%2bodd%26signs", "", true },
    { "in_another_request_field", "http://a/x", "Authorization: Bearer " SECRET, "X: 1", "", true },
    { "a_cookie", "http://a/x", "Cookie: a=1; sid=" SECRET, "Set-Cookie: sid=" SECRET "; Path=/", "", true },
    { "in_a_body", "http://a/x", "Authorization: Bearer " SECRET, "X: 1", "you sent " SECRET, false },
    { "in_a_body_percent_encoded", "http://a/x", "Authorization: Bearer " SECRET, "X: 1", "s3cr3t%2fwith%2Bodd%26signs",
      false },
    { "in_a_body_encoded_twice", "http://a/x", "Authorization: Bearer " SECRET, "X: 1",
      "s3cr3t%252Fwith%252Bodd%2526signs", false },
    { "in_a_body_as_json", "http://a/x", "Authorization: Bearer " SECRET, "X: 1", "\"s3cr3t\\/with+odd\\u0026signs\"",
      false },
    { "in_a_body_in_base64", "http://a/x", "Authorization: Bearer " SECRET, "X: 1",
      "YTpzM2NyM3Qvd2l0aCtvZGQmc2lnbnM=", false },
    { "the_password_of_basic", "http://a/x", "Authorization: Basic dXNlcjpzM2NyM3Qvd2l0aCtvZGQmc2lnbnM=", "X: 1",
      SECRET, false },
    { "too_short_to_mean_anything", "http://a/x?key=short", "X-Api-Key: abc", "X: abc", "abc short", true },
};

static void grep(struct here *h, const char *name, const char *text)
{
    static const char *const forms[] = { SECRET,          "s3cr3t%2Fwith", "s3cr3t%2fwith",  "s3cr3t",
                                         "M2NyM3Qvd2l0a", "zY3IzdC93aXRo", "czNjcjN0L3dpdGg" };

    (void)h;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strstr(text, forms[i]) != NULL)
            fail_msg("%s: %s stands in %s", name, forms[i], text);
}

static void test_no_credential_is_written(void **state)
{
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        struct here            *h;
        struct snapshot_writer *w;
        enum snapshot_kept      kept;

        tear_down(state);
        set_up(state);
        h = *state;
        w = writer(h, NULL);
        kept = record(h, w, &(struct simple){ "GET", secrets[i].url, NULL, secrets[i].answer, 0 },
                      FIELDS(h, secrets[i].field, "X-Again: " SECRET), FIELDS(h, secrets[i].answer_field));
        if (kept != (secrets[i].kept ? SNAPSHOT_KEPT : SNAPSHOT_SECRET))
            fail_msg("%s: %d, %s", secrets[i].name, (int)kept, h->why.text);
        grep(h, secrets[i].name, h->why.text);
        end_writer(h, w);
        if (strstr(secrets[i].name, "short") == NULL)
            grep(h, secrets[i].name, whole_file(h, "snapshot.jsonl"));
        if (!secrets[i].kept)
            assert_int_equal(files_in(h, "bodies"), 0);
        assert_int_equal(files_in(h, "."), 2);
    }
}

static void test_what_is_learned_later_is_taken_out_at_the_close(void **state)
{
    struct here            *h = *state;
    struct snapshot_writer *w = writer(h, NULL);
    struct http_fields      none = { 0 }, json = FIELDS(h, "Content-Type: application/json");
    size_t                  written;

    record(h, w, &(struct simple){ "POST", "http://a/login", NULL, "{\"access_token\":\"" SECRET "\"}", 0 }, none,
           json);
    record(h, w, &(struct simple){ "POST", "http://a/early", NULL, "{}", 0 }, none, FIELDS(h, "X-Token: " SECRET));
    record(h, w, &(struct simple){ "GET", "http://a/x", NULL, "fine", 0 }, FIELDS(h, "Authorization: Bearer " SECRET),
           none);
    assert_int_equal(snapshot_writer_close(w, &written, &h->why), SNAPSHOT_SECRET);
    assert_int_equal(written, 2);
    assert_non_null(strstr(h->why.text, "POST http://a/login"));
    grep(h, "later", whole_file(h, "snapshot.jsonl"));
    assert_non_null(strstr(whole_file(h, "snapshot.jsonl"), "[\"X-Token\",\"***\"]"));
    assert_int_equal(files_in(h, "bodies"), 2);
}

/* ---- what is masked in bodies ---- */

static const struct {
    const char *name, *body, *kept;
} masked[] = {
    { "a_member", "{\"access_token\": \"" SECRET "\", \"n\":1}", "{\"access_token\": \"{access_token}\", \"n\":1}" },
    { "a_member_below", "{\"a\":{\"b\":[{\"pin\":123456789},{\"pin\":1}]}}",
      "{\"a\":{\"b\":[{\"pin\":\"{pin}\"},{\"pin\":\"{pin}\"}]}}" },
    { "an_element", "{\"keys\":[\"x\",\"secret-key\"]}", "{\"keys\":[\"x\",\"{1}\"]}" },
    { "a_whole_object", "{\"session\":{\"id\":[1,{\"x\":\"}\"}]},\"y\":2}", "{\"session\":\"{session}\",\"y\":2}" },
    { "a_name_with_a_slash", "{\"a/b~\":\"hidden\"}", "{\"a/b~\":\"{a/b~}\"}" },
    { "a_name_that_is_escaped", "{\"access\\u005ftoken\":\"hidden\"}", "{\"access\\u005ftoken\":\"{access_token}\"}" },
    { "several_values", "{\"access_token\":\"aa\"}\n{\"access_token\":\"bb\"}\n",
      "{\"access_token\":\"{access_token}\"}\n{\"access_token\":\"{access_token}\"}\n" },
    { "nothing", "{\"other\": \"[]{}\\\"\"}", "{\"other\": \"[]{}\\\"\"}" },
    { "no_json", "{\"access_token\":", "{\"access_token\":" },
};

static const char *const rules[] = {
    "json:/access_token", "json:/a/b/*/pin", "json:/keys/1", "json:/session", "json:/a~1b~0", "header:X-Session", NULL
};

static void test_members_of_bodies_are_masked(void **state)
{
    const struct snapshot_options o = { .redact = rules };

    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
        struct here            *h;
        struct snapshot_writer *w;
        struct snapshot_reader *s;
        const char             *answer;

        tear_down(state);
        set_up(state);
        h = *state;
        w = writer(h, &o);
        assert_int_equal(record(h, w, &(struct simple){ "POST", "http://a/x", masked[i].body, masked[i].body, 0 },
                                FIELDS(h, "Content-Type: application/json"),
                                FIELDS(h, "Content-Type: application/json", "X-Session: 0123")),
                         SNAPSHOT_KEPT);
        end_writer(h, w);
        s = reader(h, NULL); /* which knows the rules from line 1 */
        answer = ask_with(h, s, "POST", "http://a/x", masked[i].body, FIELDS(h, "Content-Type: application/json"));
        if (strcmp(answer, masked[i].kept) != 0)
            fail_msg("%s: %s", masked[i].name, answer);
        assert_non_null(strstr(whole_file(h, "snapshot.jsonl"), "[\"X-Session\",\"{x-session}\"]"));
        snapshot_close(s);
    }
}

/* -- under a coding -- */

/* Repeats make it short: no coding leaves what is short readable then. */
static const char *in_full(struct here *h, const char *text)
{
    return arena_printf(&h->arena, "[%s,%s,\"and so on and on, and on and so on, and on and on\"]", text, text).ptr;
}

static size_t gzip(const char *text, char *out, size_t room)
{
    z_stream z = { 0 };

    deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)strlen(text);
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static size_t brotli(const char *text, char *out, size_t room)
{
    assert_true(BrotliEncoderCompress(BROTLI_DEFAULT_QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_TEXT, strlen(text),
                                      (const uint8_t *)text, &room, (uint8_t *)out));
    return room;
}

static size_t zstd(const char *text, char *out, size_t room)
{
    return ZSTD_compress(out, room, text, strlen(text), 19);
}

struct coded {
    const char *name;
    size_t (*encode)(const char *text, char *out, size_t room);
    bool stays; /* what is masked has it again */
};

static const struct coded codings[] = { { "gzip", gzip, true }, { "br", brotli, false }, { "zstd", zstd, false } };

static struct slice coded(struct here *h, const struct coded *c, const char *text)
{
    char *out = arena_alloc(&h->arena, 4096);

    return (struct slice){ out, c->encode(in_full(h, text), out, 4096) };
}

static enum snapshot_kept record_coded(struct here *h, const struct coded *c, struct snapshot_writer *w,
                                       const char *url, const char *text, const char *credential)
{
    struct http_fields asks = FIELDS(h, credential),
                       head = FIELDS(h, "Content-Type: application/json",
                                     arena_printf(&h->arena, "Content-Encoding: %s", c->name).ptr, "Content-Length: 77",
                                     "Digest: sha-256=x");
    struct slice               body = coded(h, c, text);
    struct snapshot_recording *r = snapshot_record(w, SLICE("GET"), slice_of(url), &asks, 1000);

    snapshot_record_head(r, 200, &head);
    snapshot_record_came(r, body.ptr, body.len, -1);
    return snapshot_record_end(r, SNAPSHOT_WHOLE, SLICE(""), 1, &h->why);
}

static struct slice body_of(struct here *h, struct snapshot_reader *s, size_t number, struct snapshot_exchange *x)
{
    struct slice body;

    assert_true(snapshot_get(s, number, x, &h->arena, &h->why));
    assert_true(snapshot_body_all(s, &x->body, 4096, &h->arena, &body, &h->why));
    return body;
}

static void what_is_masked_is_as_before(struct here *h, const struct coded *c, struct snapshot_reader *s)
{
    struct snapshot_exchange x;
    struct slice             body = body_of(h, s, 1, &x);
    struct inflater         *in = inflater_open_any(&x.response);
    char                     plain[256] = "";
    bool                     sound;

    assert_int_equal(in != NULL, c->stays);
    if (in != NULL) {
        inflater_feed(in, body.ptr, body.len);
        inflater_take(in, plain, sizeof plain - 1, &sound);
        inflater_close(in);
    } else {
        memcpy(plain, body.ptr, body.len < sizeof plain ? body.len : sizeof plain - 1);
    }
    assert_string_equal(plain, in_full(h, "{\"access_token\":\"{access_token}\"}"));
    assert_true(slice_eq(http_fields_get(&x.response, HTTP_CONTENT_LENGTH), arena_printf(&h->arena, "%zu", body.len)));
    assert_int_equal(http_fields_find_name(&x.response, SLICE("Digest"), 0), -1);
}

static void test_what_is_coded_is_searched_and_masked(void **state)
{
    static const char *const      tokens[] = { "json:/*/access_token", NULL };
    const struct snapshot_options o = { .redact = tokens };

    for (size_t i = 0; i < sizeof codings / sizeof *codings; i++) {
        const struct coded      *c = &codings[i];
        struct here             *h;
        struct snapshot_writer  *w;
        struct snapshot_reader  *s;
        struct snapshot_exchange x;

        tear_down(state);
        set_up(state);
        h = *state;
        w = writer(h, &o);
        assert_int_equal(record_coded(h, c, w, "http://a/1", "{\"you\":\"" SECRET "\"}", "X-Api-Key: " SECRET),
                         SNAPSHOT_SECRET);
        assert_int_equal(record_coded(h, c, w, "http://a/2", "{\"n\":1}", "X: y"), SNAPSHOT_KEPT);
        assert_int_equal(record_coded(h, c, w, "http://a/3", "{\"access_token\":\"" SECRET "\"}", "X: y"),
                         SNAPSHOT_KEPT);
        assert_int_equal(record_coded(h, c, w, "http://a/4", "{\"later\":\"an0ther-s3cret\"}", "X: y"), SNAPSHOT_KEPT);
        assert_int_equal(record_coded(h, c, w, "http://a/5", "{}", "X-Api-Key: an0ther-s3cret"), SNAPSHOT_KEPT);
        assert_int_equal(snapshot_writer_close(w, NULL, &h->why), SNAPSHOT_SECRET);
        assert_non_null(strstr(h->why.text, "http://a/4"));
        s = reader(h, NULL);
        assert_int_equal(snapshot_count(s), 3);
        assert_true(slice_eq(body_of(h, s, 0, &x), coded(h, c, "{\"n\":1}"))); /* byte for byte */
        what_is_masked_is_as_before(h, c, s);
        snapshot_close(s);
    }
}

static const struct {
    const char *name, *body, *kept;
} links[] = {
    { "the_next_page", "{\"next\":\"http://a/x?page=2&api_key=" SECRET "\"}",
      "{\"next\":\"http://a/x?page=2&api_key={api_key}\"}" },
    { "first_and_encoded", "<a href=\"http://a/x?api_key=s3cr3t%2Fwith%2Bodd%26signs&amp;p=2\">",
      "<a href=\"http://a/x?api_key={api_key}&amp;p=2\">" },
    { "as_json_may_escape_it", "{\"n\":\"?x=1\\u0026api_key=s3cr3t\\/with+odd\\u0026signs\"}",
      "{\"n\":\"?x=1\\u0026api_key={api_key}\"}" },
    { "under_another_name", "{\"next\":\"http://a/x?other=" SECRET "\"}", NULL },
};

static void test_links_in_bodies_lose_the_credential(void **state)
{
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        struct here            *h;
        struct snapshot_writer *w;
        struct snapshot_reader *s;
        struct http_fields      none = { 0 };
        enum snapshot_kept      kept;

        tear_down(state);
        set_up(state);
        h = *state;
        w = writer(h, NULL);
        kept = record(h, w,
                      &(struct simple){ "GET", "http://a/x?api_key=s3cr3t%2Fwith%2Bodd%26signs", NULL, links[i].body,
                                        0 },
                      none, FIELDS(h, "Content-Type: text/html"));
        if (kept != (links[i].kept != NULL ? SNAPSHOT_KEPT : SNAPSHOT_SECRET))
            fail_msg("%s: %d", links[i].name, (int)kept);
        end_writer(h, w);
        if (links[i].kept == NULL)
            continue;
        s = reader(h, NULL);
        assert_string_equal(ask(h, s, "GET", "http://a/x?api_key=mine", NULL), links[i].kept);
        snapshot_close(s);
    }
}

static void test_forms_are_matched_without_their_secrets(void **state)
{
    struct here            *h = *state;
    struct snapshot_writer *w = writer(h, NULL);
    struct snapshot_reader *s;
    struct http_fields      form = FIELDS(h, "Content-Type: application/x-www-form-urlencoded");

    record(h, w, &(struct simple){ "POST", "http://a/token", "grant=x&client_secret=s3cr3t%2Fwith", "{}", 0 }, form,
           (struct http_fields){ 0 });
    end_writer(h, w);
    s = reader(h, NULL);
    assert_string_equal(ask_with(h, s, "POST", "http://a/token", "grant=x&client_secret=other", form), "{}");
    assert_string_equal(ask_with(h, s, "POST", "http://a/token", "grant=y&client_secret=other", form),
                        "missed: the parameter grant is y and was x");
    snapshot_close(s);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_no_credential_is_written),
        TEST(test_what_is_learned_later_is_taken_out_at_the_close),
        TEST(test_members_of_bodies_are_masked),
        TEST(test_what_is_coded_is_searched_and_masked),
        TEST(test_links_in_bodies_lose_the_credential),
        TEST(test_forms_are_matched_without_their_secrets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
