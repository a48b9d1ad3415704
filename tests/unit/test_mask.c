/*
 * Credentials in the fields of answers (policy/mask.h).
 */
#include "policy/mask.h"

#include "head.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static const char *const headers[] = { "Authorization", "Cookie", "X-Api-Key", NULL };
static const char *const params[] = { "api_key", "token", NULL };
static const char *const ignored[] = { "AWSALB", NULL };

static const struct policy_options plain = { .credential_headers = headers,
                                             .credential_params = params,
                                             .ignore_cookies = ignored };
static const struct policy_options shared = {
    .credential_headers = headers, .credential_params = params, .ignore_cookies = ignored, .shared = true
};

struct request {
    const char *target, *lines;
};

static struct secrets *secrets_of(const struct policy_options *o, const struct request *r, struct head *head)
{
    struct http_request *request = arena_alloc(&head->arena, sizeof *request);
    struct key_input     in = { .target = slice_of(r->target), .request = request };

    request->fields = head->fields;
    return policy_secrets(o, &in, &head->arena);
}

/* What a record would hold, and what is made of it again for each. */
struct run {
    struct slice kept, owners, others;
    bool         found;
};

static struct run run(const struct policy_options *o, const struct request *owner, const struct request *other,
                      const char *text, struct arena *a)
{
    struct head        first = head_of(owner->lines), second = head_of(other->lines);
    struct http_fields f = { 0 }, g;
    struct slice       value = property_exact(slice_of(text));
    struct run         out;

    http_fields_add(&f, a, SLICE("Link"), value);
    out.found = policy_mask(secrets_of(o, owner, &first), MASK_MARK, &f, a);
    f = http_fields_copy(&f, a);
    g = http_fields_copy(&f, a);
    out.kept = f.items[0].value;
    policy_unmask(secrets_of(o, owner, &first), &f, a);
    policy_unmask(secrets_of(o, other, &second), &g, a);
    out.owners = arena_copy(a, f.items[0].value);
    out.others = arena_copy(a, g.items[0].value);
    property_free(value);
    head_free(&first);
    head_free(&second);
    return out;
}

/* "a+/=?:&b" in base64 is "YSsvPT86JmI=", "YSsvPT86JmI" in the alphabet of both. */
static void test_there_and_back(void **state)
{
    static const struct {
        const char                  *name;
        const struct policy_options *o;
        struct request               owner, other;
        const char                  *text, *secret; /* NULL: nothing is to be found */
        const char                  *others;
    } rows[] = {
        { "bearer",
          &plain,
          { "/", "Authorization: Bearer hush-hush\n" },
          { "/", "" },
          "</x?t=hush-hush>; rel=next",
          "hush-hush",
          "</x?t=***>; rel=next" },
        { "another_brings_his_own",
          &plain,
          { "/", "Authorization: Bearer hush-hush\n" },
          { "/", "authorization: Bearer mine-mine\n" },
          "<x?t=hush-hush>",
          "hush-hush",
          "<x?t=mine-mine>" },
        { "two_cookies_of_one_name",
          &plain,
          { "/", "Cookie: sid=hush-one; sid=hush-two\n" },
          { "/", "Cookie: sid=mine-one; sid=mine-two\n" },
          "<hush-two>, <hush-one>",
          "hush-",
          "<mine-two>, <mine-one>" },
        { "the_second_is_his_alone",
          &plain,
          { "/", "Cookie: sid=hush-one; sid=hush-two\n" },
          { "/", "Cookie: sid=mine-one\n" },
          "<hush-two>, <hush-one>",
          "hush-",
          "<***>, <mine-one>" },
        { "two_parameters_of_one_name",
          &plain,
          { "/?token=hush-one&token=hush-two", "" },
          { "/", "" },
          "</?token=hush-two>",
          "hush-",
          "</?token=***>" },
        { "one_begins_with_another",
          &plain,
          { "/", "Cookie: a=hush-hush; b=hush-hush-longer\n" },
          { "/", "" },
          "hush-hush-longer hush-hush",
          "longer",
          "*** ***" },
        { "without_a_scheme",
          &plain,
          { "/", "X-Api-Key: hush-hush\n" },
          { "/", "X-Api-Key: other!\n" },
          "hush-hush,hush-hush",
          "hush-hush",
          "other!,other!" },
        { "encoded",
          &plain,
          { "/", "X-Api-Key: a+/=?:&b\n" },
          { "/", "X-Api-Key: <+/+>+\n" },
          "k=a%2B%2F%3D%3F%3A%26b&x",
          "a%2B",
          "k=<%2B%2F%2B>%2B&x" },
        { "encoded_in_lower_case",
          &plain,
          { "/", "X-Api-Key: a+/=?:&b\n" },
          { "/", "" },
          "k=a%2b%2f%3d%3f%3a%26b",
          "a%2b",
          "k=***" },
        { "encoded_in_part",
          &plain,
          { "/", "X-Api-Key: a+/=?:&b\n" },
          { "/", "" },
          "k=a%2B/=%3F:%26b",
          "a%2B",
          "k=***" },
        { "plain_with_reserved_bytes",
          &plain,
          { "/", "X-Api-Key: a+/=?:&b\n" },
          { "/", "" },
          "a+/=?:&b",
          "a+/=",
          "***" },
        { "base64",
          &plain,
          { "/", "X-Api-Key: a+/=?:&b\n" },
          { "/", "X-Api-Key: foobar\n" },
          "t YSsvPT86JmI= t",
          "YSsv",
          "t Zm9vYmFy t" },
        { "base64_unpadded", &plain, { "/", "X-Api-Key: a+/=?:&b\n" }, { "/", "" }, "YSsvPT86JmI.", "YSsv", "***." },
        { "base64_of_urls",
          &plain,
          { "/", "X-Api-Key: \xff\xef\xff\xff\xff\xff\n" },
          { "/", "" },
          "_-______",
          "_-__",
          "***" },
        { "parameter",
          &plain,
          { "/?token=hush-hush", "" },
          { "/?token=mine-mine", "" },
          "/x?token=hush-hush&page=2",
          "hush-hush",
          "/x?token=mine-mine&page=2" },
        { "parameter_encoded",
          &plain,
          { "/?api_key=hush%20hush", "" },
          { "/", "" },
          "/x?k=hush+hush,hush%20hush",
          "hush",
          "/x?k=***,***" },
        { "basic",
          &plain,
          { "/", "Authorization: Basic YW5uOmh1c2gtaHVzaA==\n" },
          { "/", "" },
          "YW5uOmh1c2gtaHVzaA== ann:hush-hush hush-hush ann",
          "hush",
          "*** *** *** ann" },
        { "basic_with_a_key_as_user",
          &plain,
          { "/", "Authorization: Basic c2stbGl2ZS14OjE=\n" },
          { "/", "" },
          "k=sk-live-x",
          "sk-live-x",
          "k=***" },
        { "cookie",
          &plain,
          { "/", "Cookie: a=1; sid=hush-hush\n" },
          { "/", "Cookie: sid=mine-mine\n" },
          "x=hush-hush",
          "hush-hush",
          "x=mine-mine" },
        { "ignored_cookie", &plain, { "/", "Cookie: AWSALB=balance-1\n" }, { "/", "" }, "x=balance-1", NULL, NULL },
        { "short_ones_are_words",
          &plain,
          { "/?token=next", "X-Api-Key: demo1\n" },
          { "/", "" },
          "next demo1",
          NULL,
          NULL },
        { "cookie_of_all", &shared, { "/", "Cookie: lang=english\n" }, { "/", "" }, "english", NULL, NULL },
        { "session_under_shared",
          &shared,
          { "/", "Cookie: sid=0123456789abcdef\n" },
          { "/", "" },
          "x=0123456789abcdef",
          "0123456789abcdef",
          "x=***" },
        { "signed_query",
          &plain,
          { "/?oauth_token=hush-hush&oauth_signature=sign%3Dsign", "" },
          { "/", "" },
          "/x?oauth_token=hush-hush&s=sign=sign",
          "hush-hush",
          "/x?oauth_token=***&s=***" },
        { "nothing_is_said",
          &plain,
          { "/", "Authorization: Bearer hush-hush\n" },
          { "/", "" },
          "hush-hus",
          NULL,
          NULL },
        { "cut_at_its_end", &plain, { "/", "Authorization: Bearer a%2Bcdef\n" }, { "/", "" }, "a%2Bcde%", NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = { 0 };
        struct run   r = run(rows[i].o, &rows[i].owner, &rows[i].other, rows[i].text, &a);
        const char  *secret = rows[i].secret;

        if (r.found != (secret != NULL) ||
            (strcmp(rows[i].name, "parameter_encoded") != 0 && !slice_eq(r.owners, slice_of(rows[i].text))))
            fail_msg("%s: %d %.*s", rows[i].name, r.found, SLICE_ARG(r.owners));
        if (secret != NULL && (memmem(r.kept.ptr, r.kept.len, secret, strlen(secret)) != NULL ||
                               !slice_eq(r.others, slice_of(rows[i].others))))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(r.others));
        arena_free(&a);
    }
}

/* A space that came as '+' comes back as %20: the same to whoever reads it. */
static void test_form_encoding(void **state)
{
    const struct request owner = { "/?api_key=hush%20hush", "" };
    struct arena         a = { 0 };

    (void)state;
    assert_string_equal(run(&plain, &owner, &owner, "k=hush+hush", &a).owners.ptr, "k=hush%20hush");
    arena_free(&a);
}

/* Another's credential may hold what a field must not. */
static void test_no_line_gets_into_a_field(void **state)
{
    const struct request owner = { "/?api_key=hush-hush", "" }, other = { "/?api_key=a%0d%0aSet-Cookie:%20x%00", "" };
    const struct request splitting = { "/?api_key=abc%0d%0adef", "" };
    struct arena         a = { 0 };

    (void)state;
    assert_string_equal(run(&shared, &owner, &other, "k=hush-hush", &a).others.ptr, "k=***");
    assert_string_equal(run(&shared, &owner, &splitting, "k=hush-hush", &a).others.ptr, "k=abc%0D%0Adef");
    arena_free(&a);
}

static void test_damaged_marks(void **state)
{
    static const struct slice texts[] = { { "a\0", 2 },
                                          { "a\0h", 3 },
                                          { "a\0ha0X-Api-Key\0", 15 },
                                          { "a\0\0\0\0", 5 } };
    const struct request      owner = { "/", "X-Api-Key: hush-hush\n" };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct head        head = head_of(owner.lines);
        struct slice       text = property_exact(texts[i]);
        struct http_field  field = { SLICE("Link"), text, HTTP_LINK };
        struct http_fields f = { &field, 1, 1 };

        policy_unmask(secrets_of(&plain, &owner, &head), &f, &head.arena);
        assert_int_equal(field.value.ptr[0], 'a');
        assert_int_equal(slice_find(field.value, '\0', 0), field.value.len);
        property_free(text);
        head_free(&head);
    }
}

/* Cookies and text that nearly match everywhere end in a bounded time, and then nothing of the value is kept. */
static void test_work_is_bounded(void **state)
{
    enum { TEXT = 200 * 1024, COOKIES = 60, EACH = 400 };
    struct arena   a = { 0 };
    char          *text = arena_alloc(&a, TEXT + 1), *lines = arena_alloc(&a, COOKIES * (EACH + 8) + 16), *at = lines;
    struct request owner = { "/", lines };
    struct run     r;

    (void)state;
    memset(text, 'a', TEXT);
    at += sprintf(at, "Cookie: ");
    for (int i = 0; i < COOKIES; i++) {
        at += sprintf(at, "c%d=", i);
        memset(at, 'a', EACH);
        at += EACH;
        at += sprintf(at, "b;");
    }
    sprintf(at, "\n");
    r = run(&plain, &owner, &owner, text, &a);
    assert_true(r.found);
    assert_string_equal(r.owners.ptr, "***");
    arena_free(&a);
}

/* However many cookies stand before it: what is said again of a key is found. */
static void test_behind_many_cookies(void **state)
{
    enum { COOKIES = 500 };
    static char    lines[COOKIES * 32 + 64], *at = lines;
    struct request owner = { "/", lines };
    struct arena   a = { 0 };
    struct run     r;

    (void)state;
    at += sprintf(at, "Cookie: ");
    for (int i = 0; i < COOKIES; i++)
        at += sprintf(at, "name%d=value-%d; ", i, 1000 + i);
    sprintf(at, "\nX-Api-Key: hush-hush\n");
    r = run(&plain, &owner, &owner, "</x?k=hush-hush&v=value-1499>; rel=next", &a);
    assert_true(r.found);
    assert_true(memmem(r.kept.ptr, r.kept.len, "hush", 4) == NULL);
    assert_true(memmem(r.kept.ptr, r.kept.len, "1499", 4) == NULL);
    assert_string_equal(r.owners.ptr, "</x?k=hush-hush&v=value-1499>; rel=next");
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_form_encoding),
        cmocka_unit_test(test_no_line_gets_into_a_field),
        cmocka_unit_test(test_damaged_marks),
        cmocka_unit_test(test_work_is_bounded),
        cmocka_unit_test(test_behind_many_cookies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
