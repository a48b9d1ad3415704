/*
 * Stored responses as a person sees them: what is said of a record, and which records a URL, a glob and the rest of a
 * wish mean.
 */
#include "engine/entry.h"

#include "base/clock.h"
#include "conf.h"
#include "engine/purge.h"
#include "policy/key.h"
#include "store/record.h"

#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static const char settings[] =
    "upstreams = (\n"
    "  { name = \"a\"; url = \"https://a.example.org/base\"; hosts = ( \"a.example.org\", \"b.example.org = "
    "a.example.org\" );\n"
    "    ttl = \"1h\"; ignore_params = ( \"_\" );\n"
    "    rules = ( { match = \"/v1/**\"; ttl = \"30d\"; }, { match = \"/for-ever/**\"; ttl = \"forever\"; },\n"
    "              { match = \"/asked/**\"; ttl = \"revalidate\"; }, { match = \"/origin/**\"; ttl = \"origin\"; } ); "
    "},\n"
    "  { name = \"s\"; url = \"https://s.example.org\"; partition = \"shared\"; ttl = \"1h\"; }\n"
    ");\n";

static struct config *config;
static struct arena   arena;

/* A record that was fetched `age_s` ago. */
static struct store_record record_of(const char *full_key, const char *upstream, const char *cache_control,
                                     int64_t age_s)
{
    struct http_fields  fields = { 0 };
    struct store_record r = { .full_key = slice_of(full_key), .upstream = slice_of(upstream), .status = 200 };

    http_fields_add(&fields, &arena, SLICE("Content-Type"), SLICE("text/plain"));
    if (cache_control != NULL)
        http_fields_add(&fields, &arena, SLICE("Cache-Control"), slice_of(cache_control));
    r.encoded_fields = record_encode_fields(&fields, &arena);
    r.requested_wall_ns = r.received_wall_ns = clock_wall_ns() - age_s * NS_PER_SEC;
    r.body_bytes = 5;
    return r;
}

static struct entry_reader reader(void)
{
    return (struct entry_reader){ .config = config, .now_wall_ns = clock_wall_ns() };
}

#define PARTITION "0123456789abcdef0123456789abcdef"

static void test_what_is_said(void **state)
{
    static const struct {
        const char      *name, *key, *upstream, *cache_control;
        int64_t          age_s;
        bool             invalidated;
        const char      *url, *rule, *whose;
        enum entry_state state;
        int64_t          left_s;
    } rows[] = {
        { "under_a_rule", "- GET https://a.example.org/base/v1/x", "a", NULL, 10, false,
          "https://a.example.org/base/v1/x", "/v1/**", "shared", ENTRY_FRESH, 30 * 86400 - 10 },
        { "under_none", "- GET https://a.example.org/base/x", "a", NULL, 10, false, "https://a.example.org/base/x",
          NULL, "shared", ENTRY_FRESH, 3590 },
        { "stale", "- GET https://a.example.org/base/x", "a", NULL, 3610, false, "https://a.example.org/base/x", NULL,
          "shared", ENTRY_STALE, -10 },
        { "for_ever", "- GET https://a.example.org/base/for-ever/x", "a", NULL, 10, false,
          "https://a.example.org/base/for-ever/x", "/for-ever/**", "shared", ENTRY_FRESH, -1 },
        { "asked_each_time", "- GET https://a.example.org/base/asked/x", "a", "max-age=60", 10, false,
          "https://a.example.org/base/asked/x", "/asked/**", "shared", ENTRY_STALE, -10 },
        { "by_the_origins_word", "- GET https://a.example.org/base/origin/x", "a", "max-age=60", 10, false,
          "https://a.example.org/base/origin/x", "/origin/**", "shared", ENTRY_FRESH, 50 },
        { "invalidated", "- GET https://a.example.org/base/x", "a", NULL, 10, true, "https://a.example.org/base/x",
          NULL, "shared", ENTRY_INVALIDATED, 3590 },
        { "of_a_credential", PARTITION " GET https://a.example.org/base/x", "a", NULL, 10, false,
          "https://a.example.org/base/x", NULL, "0123456789", ENTRY_FRESH, 3590 },
        { "credential_in_the_query", PARTITION " GET https://a.example.org/base/x?api_key=*&q=1", "a", NULL, 10, false,
          "https://a.example.org/base/x?api_key=***&q=1", NULL, "0123456789", ENTRY_FRESH, 3590 },
        { "its_hash_under_shared", "- GET https://s.example.org/x?token=" PARTITION, "s", NULL, 10, false,
          "https://s.example.org/x?token=***", NULL, "shared", ENTRY_FRESH, 3590 },
        { "headers_in_the_key", "- GET https://a.example.org/base/x\nAccept: a", "a", NULL, 10, false,
          "https://a.example.org/base/x", NULL, "shared", ENTRY_FRESH, 3590 },
        { "of_no_upstream_any_more", "- GET https://gone.example.org/x?key=abc", "gone", NULL, 10, false,
          "https://gone.example.org/x?***", NULL, "shared", ENTRY_UNUSED, 0 },
        { "no_url_at_all", "- GET nonsense", "a", NULL, 10, false, "nonsense", NULL, "shared", ENTRY_FRESH, 3590 },
        { "no_key_at_all", "", "a", NULL, 10, false, "", NULL, "", ENTRY_FRESH, 3590 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct store_record r = record_of(rows[i].key, rows[i].upstream, rows[i].cache_control, rows[i].age_s);
        struct entry_reader e = reader();
        struct entry_facts  said;
        int64_t             left_s;

        r.invalidated = rows[i].invalidated;
        entry_read(&e, &r, &arena, &said);
        left_s = said.left_ns == INT64_MAX ? -1 : (said.left_ns - NS_PER_SEC / 2) / NS_PER_SEC;
        if (!slice_eq(said.url, slice_of(rows[i].url)))
            fail_msg("%s: url " SLICE_FMT, rows[i].name, SLICE_ARG(said.url));
        if ((said.rule == NULL) != (rows[i].rule == NULL) ||
            (said.rule != NULL && strcmp(said.rule, rows[i].rule) != 0))
            fail_msg("%s: rule %s", rows[i].name, said.rule);
        if (!slice_eq(said.whose, slice_of(rows[i].whose)))
            fail_msg("%s: whose " SLICE_FMT, rows[i].name, SLICE_ARG(said.whose));
        if (said.state != rows[i].state)
            fail_msg("%s: state %s", rows[i].name, entry_state_text(said.state));
        if (llabs(left_s - rows[i].left_s) > 1)
            fail_msg("%s: left %lld", rows[i].name, (long long)left_s);
        if (said.status != 200 || said.body_bytes != 5 || !slice_eq(said.type, SLICE("text/plain")))
            fail_msg("%s: the rest", rows[i].name);
    }
}

static void test_urls_that_are_meant(void **state)
{
    static const struct {
        const char *name, *typed, *key;
        bool        meant;
    } rows[] = {
        { "the_url_itself", "https://a.example.org/base/x?q=1", "- GET https://a.example.org/base/x?q=1", true },
        { "another_query", "https://a.example.org/base/x", "- GET https://a.example.org/base/x?q=1", false },
        { "any_method", "https://a.example.org/base/x", "- POST https://a.example.org/base/x", true },
        { "anybodys", "https://a.example.org/base/x", PARTITION " GET https://a.example.org/base/x", true },
        { "weirs_path_of_it", "/a/x", "- GET https://a.example.org/base/x", true },
        { "by_an_alias", "https://b.example.org/base/x", "- GET https://a.example.org/base/x", true },
        { "with_a_parameter_that_is_ignored", "/a/x?q=1&_=77", "- GET https://a.example.org/base/x?q=1", true },
        { "with_a_credential", "/a/x?api_key=secret", PARTITION " GET https://a.example.org/base/x?api_key=*", true },
        { "as_it_is_shown", "https://a.example.org/base/x?api_key=***&q=1",
          PARTITION " GET https://a.example.org/base/x?api_key=*&q=1", true },
        { "as_it_is_shown_and_no_more", "https://a.example.org/base/x?api_key=***",
          PARTITION " GET https://a.example.org/base/x?api_key=*&q=1", false },
        { "as_it_is_shown_and_no_less", "https://a.example.org/base/x?api_key=***&q=1",
          PARTITION " GET https://a.example.org/base/x?api_key=*", false },
        { "as_a_shared_one_is_shown", "https://s.example.org/x?token=***",
          "- GET https://s.example.org/x?token=" PARTITION, true },
        { "as_a_key_says_it", "https://a.example.org/base/x?api_key=*", "- GET https://a.example.org/base/x?api_key=*",
          true },
        { "no_path_is_the_root", "https://s.example.org", "- GET https://s.example.org/", true },
        { "a_glob_of_a_path", "/a/v1/*", "- GET https://a.example.org/base/v1/x", true },
        { "a_star_stays_in_its_segment", "/a/v1/*", "- GET https://a.example.org/base/v1/x/y", false },
        { "a_glob_of_urls", "https://*.example.org/**", "- GET https://a.example.org/base/v1/x/y?q=1", true },
        { "an_expression", "~/v[0-9]/", "- GET https://a.example.org/base/v1/x", true },
        { "an_expression_that_does_not_match", "~/v[0-9]/", "- GET https://a.example.org/base/vx/x", false },
        { "stars_that_are_no_value", "https://a.example.org/base/x?q=***x", "- GET https://a.example.org/base/x?q=1x",
          true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fault  why = { "" };
        struct purge *p = purge_make(config, slice_of(rows[i].typed), &why);

        if (p == NULL)
            fail_msg("%s: %s", rows[i].name, why.text);
        if (purge_matches(slice_of(rows[i].key), p) != rows[i].meant)
            fail_msg("%s", rows[i].name);
        purge_free(p);
    }
}

static void test_wishes(void **state)
{
    static const bool none[] = { false, false }, first[] = { true, false };
    static const struct {
        const char       *name;
        struct entry_wish wish;
        bool              fresh, stale, of_a_credential, of_another, unused;
    } rows[] = {
        { "anything", { .older_ns = -1 }, true, true, true, true, true },
        { "of_an_upstream", { .older_ns = -1, .upstream = { "a", 1 } }, true, true, true, false, false },
        { "not_fresh", { .older_ns = -1, .not_fresh = true }, false, true, false, false, true },
        { "older", { .older_ns = 100 * NS_PER_SEC }, false, true, false, false, false },
        { "shared", { .older_ns = -1, .shared = true }, true, true, false, true, true },
        { "whose", { .older_ns = -1, .whose = { "0123456789", 10 } }, false, false, true, false, false },
        { "whose_shared", { .older_ns = -1, .whose = { "shared", 6 } }, true, true, false, true, true },
        { "may_see_none", { .older_ns = -1, .may_see = none }, false, false, false, false, false },
        { "may_see_one", { .older_ns = -1, .may_see = first }, true, true, true, false, false },
        { "all_at_once",
          { .older_ns = 100 * NS_PER_SEC, .not_fresh = true, .upstream = { "a", 1 }, .shared = true },
          false,
          true,
          false,
          false,
          false },
    };
    const struct store_record records[] = {
        record_of("- GET https://a.example.org/base/x", "a", NULL, 10),
        record_of("- GET https://a.example.org/base/x", "a", NULL, 4000),
        record_of(PARTITION " GET https://a.example.org/base/x", "a", NULL, 10),
        record_of("- GET https://s.example.org/x", "s", NULL, 10),
        record_of("- GET https://gone.example.org/x", "gone", NULL, 10),
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const bool meant[] = { rows[i].fresh, rows[i].stale, rows[i].of_a_credential, rows[i].of_another,
                               rows[i].unused };

        for (size_t k = 0; k < sizeof records / sizeof records[0]; k++) {
            struct entry_reader e = reader();
            struct entry_facts  said;

            if (entry_is_meant(&rows[i].wish, &e, &records[k], &arena, &said) != meant[k])
                fail_msg("%s: record %zu", rows[i].name, k);
        }
    }
}

static int set_up(void **state)
{
    conf_set_up(state);
    config = conf_load_good(settings);
    return 0;
}

static int tear_down(void **state)
{
    config_release(config);
    arena_free(&arena);
    return conf_tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_said),
        cmocka_unit_test(test_urls_that_are_meant),
        cmocka_unit_test(test_wishes),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
