/*
 * What a client is called, and the class that it is of.
 */
#include "engine/client.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static const struct config_client classes[] = {
    { .match = "ci*", .batch = true, .share = 0.8 },
    { .match = "*-nightly", .batch = true, .share = 1.0 },
    { .match = "uid=7 *", .batch = false, .share = 0.5 },
    { .match = "user:backup", .has_uid = true, .uid = 34, .batch = true, .share = 0.25 },
    { .match = "user:nobody-there", .has_uid = true, .uid = UINT32_MAX, .batch = true, .share = 0.1 },
    { .match = "ci-late", .batch = false, .share = 1.0 },
};

static const struct peer unknown = { .address_bytes = 4 }, known = { .has_uid = true, .uid = 7, .pid = 4711 },
                         backup = { .has_uid = true, .uid = 34, .pid = 12 }, no_process = { .has_uid = true, .uid = 7 };

#define BASIC "Basic "
enum { SAYS_NOTHING, SAYS_BATCH, SAYS_INTERACTIVE };

static const struct {
    const char        *fact;
    const char        *weir_client, *proxy_authorization;
    const struct peer *who;
    int                says;
    const char        *name;
    bool               batch;
    unsigned           keep;
} cases[] = {
    { "its own name before all else", "ann", BASIC "Ym9iOng=", &known, 0, "ann", false, 0 },
    { "then the proxy's user", NULL, BASIC "Ym9iOng=", &known, 0, "bob", false, 0 },
    { "the scheme in any case of letters", NULL, "bASIC Ym9iOng=", &unknown, 0, "bob", false, 0 },
    { "then uid and process", NULL, NULL, &known, 0, "uid=7 pid=4711", false, 500 },
    { "without a process the connection", NULL, NULL, &no_process, 0, "127.0.0.1:50814", false, 0 },
    { "nothing known: the connection", NULL, NULL, &unknown, 0, "127.0.0.1:50814", false, 0 },
    { "no base64", NULL, BASIC "!!", &unknown, 0, "127.0.0.1:50814", false, 0 },
    { "no colon", NULL, BASIC "Ym9i", &unknown, 0, "127.0.0.1:50814", false, 0 },
    { "no user before the colon", NULL, BASIC "Ong=", &unknown, 0, "127.0.0.1:50814", false, 0 },
    { "a line break in the user", NULL, BASIC "YgpvOng=", &unknown, 0, "127.0.0.1:50814", false, 0 },
    { "another scheme", NULL, "Bearer Ym9iOng=", &unknown, 0, "127.0.0.1:50814", false, 0 },
    { "a class by the beginning", "ci-42", NULL, &unknown, 0, "ci-42", true, 200 },
    { "the star may stand for nothing", "ci", NULL, &unknown, 0, "ci", true, 200 },
    { "a class by the end", "x-nightly-nightly", NULL, &unknown, 0, "x-nightly-nightly", true, 0 },
    { "no class by a part", "nightly-x", NULL, &unknown, 0, "nightly-x", false, 0 },
    { "the first class counts", "ci-late", NULL, &unknown, 0, "ci-late", true, 200 },
    { "names tell capitals apart", "CI", NULL, &unknown, 0, "CI", false, 0 },
    { "a class by the kernel's word", "ann", NULL, &backup, 0, "ann", true, 750 },
    { "nobody is the user that is not there", "ann", NULL, &unknown, 0, "ann", false, 0 },
    { "the request's own word beats the class", "ci", NULL, &unknown, SAYS_INTERACTIVE, "ci", false, 200 },
    { "batch without a class", "ann", NULL, &unknown, SAYS_BATCH, "ann", true, 0 },
};

static const struct peer *who(void *owner)
{
    return owner;
}

static void test_names_and_classes(void **state)
{
    const struct config config = { .clients = classes, .client_count = sizeof classes / sizeof classes[0] };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena          a = { 0 };
        struct exchange_input in = { .peer = "127.0.0.1:50814", .who = who,
                                     .owner = (void *)(uintptr_t)cases[i].who };
        struct request_wish   wish = { .batch = cases[i].says == SAYS_BATCH,
                                       .interactive = cases[i].says == SAYS_INTERACTIVE,
                                       .client = slice_of(cases[i].weir_client) };
        struct client         c;

        if (cases[i].proxy_authorization != NULL)
            http_fields_add(&in.request.fields, &a, SLICE("Proxy-Authorization"),
                            slice_of(cases[i].proxy_authorization));
        c = client_of(&config, &in, &wish, &a);
        if (!slice_eq(c.name, slice_of(cases[i].name)) || c.batch != cases[i].batch ||
            c.keep_permille != cases[i].keep)
            fail_msg("%s: \"" SLICE_FMT "\" batch %d keep %u", cases[i].fact, SLICE_ARG(c.name), c.batch,
                     c.keep_permille);
        arena_free(&a);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = { cmocka_unit_test(test_names_and_classes) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
