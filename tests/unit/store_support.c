/*
 * Support for tests of the store.
 */
#include "store_support.h"

#include "base/arena.h"
#include "base/check.h"
#include "tempdir.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ANSWER_MS = 20000, PERIOD_BYTES = 65521 };

struct store *open_store(const char *path, uint64_t max_bytes)
{
    const struct store_options options = { .path = path, .max_bytes = max_bytes, .readers = 4 };
    struct fault               why = { "" }, note;
    struct store              *s = store_open(&options, &why, &note);

    if (s == NULL)
        fprintf(stderr, "store_open: %s\n", why.text);
    CHECK(s != NULL);
    return s;
}

static unsigned received;

static void receive(struct mail *m)
{
    (void)m;
    received++;
}

static void wait_for_answer(struct mailbox *box)
{
    struct pollfd watch = { .fd = mailbox_fd(box), .events = POLLIN };
    unsigned      before = received;

    CHECK(poll(&watch, 1, ANSWER_MS) == 1);
    mailbox_deliver(box);
    CHECK(received == before + 1);
    mailbox_close(box);
}

bool do_change(struct store *s, struct store_change *c)
{
    c->reply_to = mailbox_open();
    c->done.receive = receive;
    store_submit(s, c);
    store_hurry(s);
    wait_for_answer(c->reply_to);
    return c->ok;
}

bool do_state(struct store *s, struct state_change *c)
{
    c->reply_to = mailbox_open();
    c->done.receive = receive;
    state_submit(s, c);
    wait_for_answer(c->reply_to);
    return c->ok;
}

void make_hash(uint8_t out[STORE_HASH_BYTES], const char *kind, unsigned n)
{
    uint64_t words[2] = { (n + 1) * UINT64_C(0x9E3779B97F4A7C15), 0 };

    for (; *kind != '\0'; kind++)
        words[0] = (words[0] ^ (unsigned char)*kind) * UINT64_C(0xBF58476D1CE4E5B9) ^ words[0] >> 29;
    words[0] ^= words[0] >> 32;
    words[1] = words[0] * UINT64_C(0x94D049BB133111EB);
    memcpy(out, words, STORE_HASH_BYTES);
}

struct slice make_full_key(struct arena *a, unsigned n)
{
    return arena_printf(a, "GET https://api.example/v1/things?id=%u", n);
}

struct store_change make_put(struct arena *a, unsigned n, unsigned v, struct spool *body)
{
    struct store_change c = {
        .kind = STORE_PUT,
        .full_key = make_full_key(a, n),
        .selection = arena_printf(a, "accept-language: l%u\n", v),
        .upstream = "example",
        .status = 200,
        .requested_wall_ns = (int64_t)(n + v) * 1000,
        .received_wall_ns = (int64_t)(n + v) * 1000 + 500,
        .had_credential = n % 2 == 1,
        .body = body,
    };

    make_hash(c.hash, "key", n);
    make_hash(c.variant, "variant", v);
    make_hash(c.tag, "tag", n / 100);
    http_fields_add(&c.fields, a, SLICE("Content-Type"), SLICE("application/json"));
    http_fields_add(&c.fields, a, SLICE("X-Number"), arena_printf(a, "%u/%u", n, v));
    http_fields_add(&c.fields, a, SLICE("Set-Cookie"), SLICE(""));
    return c;
}

bool do_changes(struct store *s, struct store_change *changes, unsigned count)
{
    struct mailbox     *box = mailbox_open();
    struct pollfd       watch = { .fd = mailbox_fd(box), .events = POLLIN };
    struct store_change hurry = { .kind = STORE_DROP, .reply_to = box, .done.receive = receive };
    bool                ok = true;

    for (unsigned i = 0; i < count; i++) {
        changes[i].reply_to = box;
        changes[i].done.receive = receive;
        store_submit(s, &changes[i]);
    }
    make_hash(hurry.hash, "nothing is stored under it", 0);
    store_submit(s, &hurry);
    for (unsigned done = 0; done < count + 1; done += mailbox_deliver(box))
        CHECK(poll(&watch, 1, ANSWER_MS) == 1);
    mailbox_close(box);
    for (unsigned i = 0; i < count; i++)
        ok = ok && changes[i].ok;
    return ok;
}

/* Repeats itself after PERIOD_BYTES, which is no multiple of anything here. */
unsigned char body_byte(unsigned seed, int64_t offset)
{
    return (unsigned char)(((uint64_t)(offset % PERIOD_BYTES) + seed) * UINT64_C(2654435761) >> 11);
}

static unsigned char *make_period(unsigned seed)
{
    unsigned char *block = mem_alloc(PERIOD_BYTES);

    for (int i = 0; i < PERIOD_BYTES; i++)
        block[i] = body_byte(seed, i);
    return block;
}

struct spool *make_body(int directory_fd, unsigned seed, int64_t bytes)
{
    struct spool  *s = spool_new(directory_fd);
    unsigned char *block = make_period(seed);

    while (spool_length(s) < bytes) {
        int64_t left = bytes - spool_length(s);

        CHECK(spool_write(s, block, left < PERIOD_BYTES ? (size_t)left : PERIOD_BYTES, NULL) == 0);
    }
    spool_finish(s, SPOOL_WHOLE);
    free(block);
    return s;
}

static bool put_all(struct store *s, unsigned n, unsigned v, unsigned n_step, unsigned v_step, unsigned count,
                    int64_t bytes)
{
    struct arena         a = { 0 };
    struct store_change *changes = mem_alloc(count * sizeof *changes);
    bool                 ok;

    for (unsigned i = 0; i < count; i++, n += n_step, v += v_step)
        changes[i] = make_put(&a, n, v, make_body(store_directory(s), n + v, bytes));
    ok = do_changes(s, changes, count);
    for (unsigned i = 0; i < count; i++)
        spool_release(changes[i].body);
    free(changes);
    arena_free(&a);
    return ok;
}

bool put_records(struct store *s, unsigned from, unsigned to, int64_t bytes)
{
    return put_all(s, from, 0, 1, 0, to - from, bytes);
}

bool put_variants(struct store *s, unsigned n, unsigned from, unsigned to, int64_t bytes)
{
    return put_all(s, n, from, 0, 1, to - from, bytes);
}

bool put_record(struct store *s, unsigned n, unsigned v, int64_t bytes)
{
    return put_variants(s, n, v, v + 1, bytes);
}

static bool is_variant(const struct store_record *r, void *context)
{
    uint8_t variant[STORE_HASH_BYTES];

    make_hash(variant, "variant", *(unsigned *)context);
    return memcmp(r->variant, variant, sizeof variant) == 0;
}

enum store_result look_up(struct store_reader *r, unsigned n, struct store_record *out)
{
    struct arena      a = { 0 };
    uint8_t           hash[STORE_HASH_BYTES];
    enum store_result result;

    make_hash(hash, "key", n);
    result = store_lookup(r, hash, make_full_key(&a, n), NULL, NULL, out);
    arena_free(&a);
    return result;
}

static bool body_is_right(struct store *s, const struct store_record *r, unsigned seed)
{
    unsigned char *want = make_period(seed), *block = mem_alloc(PERIOD_BYTES);
    bool           right = true;
    int            fd = -1;

    if (r->body_file != 0 && (fd = store_body_open(s, r)) < 0)
        right = false;
    for (int64_t at = 0; right && at < r->body_bytes;) {
        size_t n = r->body_bytes - at < PERIOD_BYTES ? (size_t)(r->body_bytes - at) : PERIOD_BYTES;

        if (fd >= 0)
            right = pread(fd, block, n, at) == (ssize_t)n;
        else
            memcpy(block, r->body.ptr + at, n);
        right = right && memcmp(block, want, n) == 0;
        at += (int64_t)n;
    }
    if (fd >= 0)
        close(fd);
    free(block);
    free(want);
    return right;
}

bool has_record(struct store *s, struct store_reader *r, unsigned n, unsigned v, int64_t bytes)
{
    struct arena        a = { 0 };
    struct store_change c = make_put(&a, n, v, NULL);
    struct store_record record;
    struct http_fields  fields;
    bool                right;

    if (store_lookup(r, c.hash, c.full_key, is_variant, &v, &record) != STORE_HIT) {
        arena_free(&a);
        return false;
    }
    fields = store_record_fields(&record, &a);
    right = slice_eq(record.full_key, c.full_key) && slice_eq(record.selection, c.selection) &&
            slice_eq(record.upstream, slice_of(c.upstream)) && record.status == 200 &&
            record.requested_wall_ns == c.requested_wall_ns && record.received_wall_ns == c.received_wall_ns &&
            record.had_credential == c.had_credential && record.body_bytes == bytes &&
            (record.body_file != 0) == (bytes > STORE_INLINE_BYTES) && fields.count == c.fields.count;
    for (unsigned i = 0; right && i < fields.count; i++)
        right = slice_eq(fields.items[i].name, c.fields.items[i].name) &&
                slice_eq(fields.items[i].value, c.fields.items[i].value) &&
                fields.items[i].id == c.fields.items[i].id &&
                fields.items[i].name.ptr[fields.items[i].name.len] == '\0' &&
                fields.items[i].value.ptr[fields.items[i].value.len] == '\0';
    right = right && body_is_right(s, &record, n + v);
    store_reader_end(r);
    arena_free(&a);
    return right;
}

/* -- the fixture -- */

void fixture_open(struct fixture *f)
{
    f->store = open_store(f->directory, UINT64_C(1) << 30);
    f->reader = store_reader_open(f->store);
}

void fixture_close(struct fixture *f)
{
    store_reader_close(f->reader);
    store_close(f->store);
}

void fixture_reopen(struct fixture *f)
{
    fixture_close(f);
    fixture_open(f);
}

int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    f->directory = tempdir_make();
    fixture_open(f);
    *state = f;
    return 0;
}

int teardown(void **state)
{
    struct fixture *f = *state;

    fixture_close(f);
    tempdir_remove(f->directory);
    free(f);
    return 0;
}

const char *below(const struct fixture *f, const char *name)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    return path;
}

bool is_hit(struct fixture *f, unsigned n)
{
    bool hit = look_up(f->reader, n, &(struct store_record){ 0 }) == STORE_HIT;

    store_reader_end(f->reader);
    return hit;
}

void put_300(struct fixture *f)
{
    struct arena        a = { 0 };
    struct store_change changes[300];
    struct spool       *small = make_body(-1, 1, 100), *large = make_body(-1, 1, 70000);

    for (unsigned n = 0; n < 300; n++)
        changes[n] = make_put(&a, n, 0, n % 10 == 0 ? large : small);
    CHECK(do_changes(f->store, changes, 300));
    spool_release(small);
    spool_release(large);
    arena_free(&a);
}

unsigned files_in_bodies(const struct fixture *f)
{
    unsigned files = 0;

    for (unsigned d = 0; d < 256; d++) {
        char           path[4200];
        DIR           *dir;
        struct dirent *e;

        snprintf(path, sizeof path, "%s/bodies/%02x", f->directory, d);
        dir = opendir(path);
        while (dir != NULL && (e = readdir(dir)) != NULL)
            files += e->d_name[0] != '.';
        if (dir != NULL)
            closedir(dir);
    }
    return files;
}
