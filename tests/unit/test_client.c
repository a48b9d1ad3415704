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
        struct exchange_input in = { .peer = "127.0.0.1:50814",
                                     .who = who,
                                     .known = who,
                                     .owner = (void *)(uintptr_t)cases[i].who };
        struct request_wish   wish = { .batch = cases[i].says == SAYS_BATCH,
                                       .interactive = cases[i].says == SAYS_INTERACTIVE,
                                       .client = slice_of(cases[i].weir_client) };
        struct client         c;

        if (cases[i].proxy_authorization != NULL)
            http_fields_add(&in.request.fields, &a, SLICE("Proxy-Authorization"),
                            slice_of(cases[i].proxy_authorization));
        c = client_of(&config, &in, &wish, &a);
        if (!slice_eq(c.name, slice_of(cases[i].name)) || c.batch != cases[i].batch || c.keep_permille != cases[i].keep)
            fail_msg("%s: \"" SLICE_FMT "\" batch %d keep %u", cases[i].fact, SLICE_ARG(c.name), c.batch,
                     c.keep_permille);
        arena_free(&a);
    }
}

/* Whose turns they are: two requests that are alike down to a level, and differ from there on. */
enum { SAME = QUEUE_LEVELS };
#define V4(last) \
    { \
        192, 0, 2, last \
    }
#define V6(network, host) \
    { \
        0x20, 1, 0xd, 0xb8, 0, 0, 0, network, [15] = host \
    }

static const struct {
    const char *fact;
    struct {
        const char *weir_client;
        struct peer who;
    } a, b;
    int differ;
} pairs[] = {
    { "users differ by uid, whatever they call themselves",
      { "ann", { .has_uid = true, .uid = 1, .connection = 1 } },
      { "ann", { .has_uid = true, .uid = 2, .connection = 2 } },
      QUEUE_USER },
    { "names are below the user",
      { "ann", { .has_uid = true, .uid = 1, .connection = 1 } },
      { "bob", { .has_uid = true, .uid = 1, .connection = 2 } },
      QUEUE_PROGRAM },
    { "a name makes one program of two executables",
      { "ann", { .has_uid = true, .uid = 1, .pid = 5, .program = 8, .connection = 1 } },
      { "ann", { .has_uid = true, .uid = 1, .pid = 6, .program = 4, .connection = 2 } },
      QUEUE_PROCESS },
    { "executables are programs",
      { NULL, { .has_uid = true, .uid = 1, .pid = 5, .program = 8, .connection = 1 } },
      { NULL, { .has_uid = true, .uid = 1, .pid = 6, .program = 4, .connection = 2 } },
      QUEUE_PROGRAM },
    { "another process of one executable",
      { NULL, { .has_uid = true, .uid = 1, .pid = 5, .program = 8, .connection = 1 } },
      { NULL, { .has_uid = true, .uid = 1, .pid = 6, .program = 8, .connection = 2 } },
      QUEUE_PROCESS },
    { "processes that cannot be read are one program",
      { NULL, { .has_uid = true, .uid = 1, .connection = 1 } },
      { NULL, { .has_uid = true, .uid = 1, .connection = 2 } },
      QUEUE_CONNECTION },
    { "a name is no executable",
      { "", { .has_uid = true, .uid = 1, .connection = 1 } },
      { NULL, { .has_uid = true, .uid = 1, .connection = 2 } },
      QUEUE_PROGRAM },
    { "one connection",
      { NULL, { .has_uid = true, .uid = 1, .pid = 5, .program = 8, .connection = 1 } },
      { NULL, { .has_uid = true, .uid = 1, .pid = 5, .program = 8, .connection = 1 } },
      SAME },
    { "root is not nobody", { NULL, { .has_uid = true, .connection = 1 } }, { NULL, { .connection = 2 } }, QUEUE_USER },
    { "addresses are users",
      { NULL, { .address = V4(1), .address_bytes = 4, .connection = 1 } },
      { NULL, { .address = V4(2), .address_bytes = 4, .connection = 2 } },
      QUEUE_USER },
    { "names at one address are programs",
      { "ann", { .address = V4(1), .address_bytes = 4, .connection = 1 } },
      { "bob", { .address = V4(1), .address_bytes = 4, .connection = 2 } },
      QUEUE_PROGRAM },
    { "an IPv6 network is one user",
      { NULL, { .address = V6(1, 1), .address_bytes = 16, .connection = 1 } },
      { NULL, { .address = V6(1, 2), .address_bytes = 16, .connection = 2 } },
      QUEUE_CONNECTION },
    { "two IPv6 networks",
      { NULL, { .address = V6(1, 1), .address_bytes = 16, .connection = 1 } },
      { NULL, { .address = V6(2, 1), .address_bytes = 16, .connection = 2 } },
      QUEUE_USER },
    { "the user of a local connection is not its address",
      { NULL, { .has_uid = true, .uid = 7, .address = V4(1), .address_bytes = 4, .connection = 1 } },
      { NULL, { .has_uid = true, .uid = 7, .address = V4(2), .address_bytes = 4, .connection = 2 } },
      QUEUE_CONNECTION },
};

static struct queue_who who_of(const char *weir_client, const struct peer *peer)
{
    const struct config   config = { 0 };
    struct arena          a = { 0 };
    struct exchange_input in = { .peer = "x", .who = who, .known = who, .owner = (void *)(uintptr_t)peer };
    struct request_wish   wish = { .client = slice_of(weir_client) };
    struct client         c = client_of(&config, &in, &wish, &a);

    arena_free(&a);
    return c.who;
}

static void test_whose_turns_they_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct queue_who a = who_of(pairs[i].a.weir_client, &pairs[i].a.who);
        struct queue_who b = who_of(pairs[i].b.weir_client, &pairs[i].b.who);
        int              level = 0;

        while (level < QUEUE_LEVELS && a.id[level] == b.id[level])
            level++;
        if (level != pairs[i].differ)
            fail_msg("%s: they differ on level %d", pairs[i].fact, level);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_classes),
        cmocka_unit_test(test_whose_turns_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
