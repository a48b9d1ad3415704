/*
 * Fills a cache for `make bench`, as fast as the store takes it:
 *
 *   fill DIRECTORY MAX_BYTES FROM TO BODY_BYTES
 *
 * The records are those that a daemon would have stored of http://127.0.0.1:1/k/N for N in [FROM, TO) under
 * partition = "shared": nobody listens there, so that what is not found shows as an error. No daemon may run on
 * that directory.
 */
#include "policy/key.h"
#include "policy/vary.h"
#include "store/store.h"

#include "base/clock.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { AT_ONCE = 1000, READERS = 1 };

static unsigned long stored;

static void receive(struct mail *m)
{
    stored += CONTAINER_OF(m, struct store_change, done)->ok;
}

static struct spool *make_body(int directory_fd, size_t bytes)
{
    struct spool *body = spool_new(directory_fd);
    char         *text = mem_alloc(bytes + 1);

    memset(text, 'x', bytes);
    if (spool_write(body, text, bytes, NULL) != 0)
        exit(1);
    spool_finish(body, SPOOL_WHOLE);
    free(text);
    return body;
}

static struct store_change make_put(struct arena *a, unsigned long n, struct spool *body)
{
    static const struct policy_options shared = { .shared = true };
    static const struct key_secret     none;
    const struct http_request request = { .method = HTTP_GET, .method_name = SLICE("GET"), .version_minor = 1 };
    const struct key_input    in = { .scheme = SLICE("http"),
                                     .authority = SLICE("127.0.0.1:1"),
                                     .target = arena_printf(a, "/k/%lu", n),
                                     .request = &request };
    const struct partition    nobody = { { 0 } };
    const struct cache_key    key = policy_key(&shared, &none, &in, &nobody, a);
    struct store_change       c = { .kind = STORE_PUT,
                                    .full_key = key.full,
                                    .selection = SLICE(""),
                                    .upstream = "big",
                                    .status = 200,
                                    .body = body,
                                    .done.receive = receive };

    memcpy(c.hash, key.hash, sizeof c.hash);
    memcpy(c.tag, key.path_tag, sizeof c.tag);
    policy_variant_hash(c.selection, c.variant);
    c.requested_wall_ns = c.received_wall_ns = clock_wall_ns();
    http_fields_add(&c.fields, a, SLICE("Date"), SLICE("Fri, 27 Nov 2026 12:00:00 GMT"));
    http_fields_add(&c.fields, a, SLICE("Content-Type"), SLICE("application/json"));
    http_fields_add(&c.fields, a, SLICE("ETag"), arena_printf(a, "\"%lu\"", n));
    return c;
}

/* Submits them and waits for all. */
static void put(struct store *s, struct mailbox *box, struct spool *body, unsigned long from, unsigned count)
{
    struct arena         a = { 0 };
    struct store_change *changes = mem_alloc(count * sizeof *changes);
    struct pollfd        watch = { .fd = mailbox_fd(box), .events = POLLIN };

    for (unsigned i = 0; i < count; i++) {
        changes[i] = make_put(&a, from + i, body);
        changes[i].reply_to = box;
        store_submit(s, &changes[i]);
    }
    store_hurry(s);
    for (unsigned done = 0; done < count; done += mailbox_deliver(box))
        poll(&watch, 1, -1);
    free(changes);
    arena_free(&a);
}

int main(int argc, char **argv)
{
    struct fault    why = { "" }, note = { "" };
    struct store   *s;
    struct mailbox *box = mailbox_open();
    struct spool   *body;
    unsigned long   from, to;

    if (argc != 6) {
        fprintf(stderr, "fill DIRECTORY MAX_BYTES FROM TO BODY_BYTES\n");
        return 2;
    }
    s = store_open(&(struct store_options){ .path = argv[1],
                                            .max_bytes = strtoull(argv[2], NULL, 10),
                                            .readers = READERS },
                   &why, &note);
    if (s == NULL) {
        fprintf(stderr, "fill: %s\n", why.text);
        return 1;
    }
    from = strtoul(argv[3], NULL, 10);
    to = strtoul(argv[4], NULL, 10);
    body = make_body(store_directory(s), strtoul(argv[5], NULL, 10));
    for (unsigned long at = from; at < to; at += AT_ONCE)
        put(s, box, body, at, to - at < AT_ONCE ? (unsigned)(to - at) : AT_ONCE);
    spool_release(body);
    store_close(s);
    mailbox_close(box);
    printf("%lu\n", stored);
    return stored == to - from ? 0 : 1;
}
