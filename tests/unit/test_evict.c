/*
 * Eviction: the choice (against LRU, on traces), and that the store keeps its
 * size, counts body files, uses freed space again and keeps what is used.
 */
#include "store/evict.h"

#include "base/arena.h"
#include "base/clock.h"
#include "store_support.h"
#include "tempdir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { KIB = 1024, MIB = 1024 * 1024 };

/* -- the worth of a record -- */

static uint64_t name_of(unsigned n)
{
    uint8_t hash[STORE_HASH_BYTES], variant[STORE_HASH_BYTES];

    make_hash(hash, "key", n);
    make_hash(variant, "variant", 0);
    return evict_name(hash, variant);
}

static void test_worth(void **state)
{
    static const struct {
        const char *name;
        struct {
            unsigned uses;
            uint32_t last, stored;
            uint64_t bytes;
            bool     invalidated;
        } less, more;
    } rows[] = {
        { "older_goes_first", { 0, 0, 100, 1000, false }, { 0, 0, 200, 1000, false } },
        { "unused_goes_first", { 0, 0, 100, 1000, false }, { 3, 100, 100, 1000, false } },
        { "seldom_used_goes_first", { 2, 500, 100, 1000, false }, { 9, 500, 100, 1000, false } },
        { "long_unused_goes_first", { 3, 150, 100, 1000, false }, { 3, 900, 100, 1000, false } },
        { "often_used_outlives_a_new_one", { 1, 990, 990, 1000, false }, { 15, 700, 100, 1000, false } },
        { "larger_goes_first", { 2, 500, 100, 1000000, false }, { 2, 500, 100, 1000, false } },
        { "invalidated_goes_first", { 2, 500, 100, 1000, true }, { 2, 500, 100, 1000, false } },
        { "a_clock_that_was_ahead_is_no_crash", { 0, 0, 100, 1000, false }, { 0, 0, 2000, 1000, false } },
    };
    const uint32_t now = 1000;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct evict *e = evict_new(1000);
        double        less, more;

        for (unsigned k = 0; k < rows[i].less.uses; k++)
            evict_use(e, name_of(1), rows[i].less.last);
        for (unsigned k = 0; k < rows[i].more.uses; k++)
            evict_use(e, name_of(2), rows[i].more.last);
        less = evict_worth(e, name_of(1), rows[i].less.stored, rows[i].less.bytes, rows[i].less.invalidated, now);
        more = evict_worth(e, name_of(2), rows[i].more.stored, rows[i].more.bytes, rows[i].more.invalidated, now);
        if (!(less < more) || !(less >= 0))
            fail_msg("%s: %g, %g", rows[i].name, less, more);
        evict_free(e);
    }
    evict_free(NULL);
}

static void test_old_fame_fades(void **state)
{
    struct evict *e = evict_new(1000);
    double        before;

    (void)state;
    for (int i = 0; i < 15; i++)
        evict_use(e, name_of(0), 100);
    before = evict_worth(e, name_of(0), 100, 1000, false, 101);
    for (unsigned i = 1; i < 40000; i++)
        evict_use(e, name_of(i), 100);
    assert_true(evict_worth(e, name_of(0), 100, 1000, false, 101) < before / 2);
    evict_free(e);
}

/* -- traces: the same choice as reclaim.c makes, without a database -- */

enum { CACHE = 1000, KEYS = 10000, SCANNED = 24000, ACCESSES = 60000, SAMPLE = 16, NOWHERE = -1 };

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Zipf with exponent 1, by inversion: rank = KEYS ^ u is close enough. */
static uint32_t zipf(uint64_t *random)
{
    static uint32_t table[4096];

    if (table[4095] == 0) {
        double at = 1, step = 1.00224914; /* KEYS ^ (1 / 4096) */

        for (int i = 0; i < 4096; i++, at *= step)
            table[i] = (uint32_t)at;
    }
    uint64_t r = next_random(random);
    uint32_t low = table[r % 4096], high = r % 4096 < 4095 ? table[r % 4096 + 1] : KEYS;

    return low + (uint32_t)((r >> 20) % (high - low + 1));
}

static double lru_hits(const uint32_t *trace)
{
    uint32_t *used = calloc(KEYS + SCANNED + 2, sizeof *used);
    unsigned  hits = 0, cached = 0, oldest = 0;

    /* `ring` is the trace itself: the oldest entry that is still the last use of its key is the victim. */
    for (unsigned i = 0; i < ACCESSES; i++) {
        if (used[trace[i]] != 0) {
            hits++;
        } else if (cached < CACHE) {
            cached++;
        } else {
            while (used[trace[oldest]] != oldest + 1)
                oldest++;
            used[trace[oldest++]] = 0;
        }
        used[trace[i]] = i + 1;
    }
    free(used);
    return (double)hits / ACCESSES;
}

struct cached {
    uint32_t key, stored;
};

static void evict_one(struct evict *e, struct cached *cache, int *place, unsigned *count, uint32_t now,
                      uint64_t *random)
{
    unsigned worst = 0;
    double   least = -1;

    for (int i = 0; i < SAMPLE; i++) {
        unsigned at = (unsigned)(next_random(random) % *count);
        double   worth = evict_worth(e, name_of(cache[at].key), cache[at].stored, 1000, false, now);

        if (least < 0 || worth < least) {
            least = worth;
            worst = at;
        }
    }
    place[cache[worst].key] = NOWHERE;
    cache[worst] = cache[--*count];
    if (worst < *count)
        place[cache[worst].key] = (int)worst;
}

static double own_hits(const uint32_t *trace, unsigned stride)
{
    struct evict  *e = evict_new(CACHE);
    struct cached *cache = calloc(CACHE, sizeof *cache);
    int           *place = malloc((KEYS + SCANNED + 2) * sizeof *place);
    unsigned       hits = 0, count = 0;
    uint64_t       random = 4711;

    for (int i = 0; i < KEYS + SCANNED + 2; i++)
        place[i] = NOWHERE;
    for (unsigned i = 0; i < ACCESSES; i++) {
        uint32_t now = 1000 + i / 10;

        bool sampled = next_random(&random) % stride == 0;

        if (place[trace[i]] != NOWHERE) {
            hits++;
            if (sampled)
                evict_use(e, name_of(trace[i]), now);
            continue;
        }
        if (count == CACHE)
            evict_one(e, cache, place, &count, now, &random);
        place[trace[i]] = (int)count;
        cache[count++] = (struct cached){ trace[i], now };
        if (sampled)
            evict_stored(e, name_of(trace[i]));
    }
    evict_free(e);
    free(cache);
    free(place);
    return (double)hits / ACCESSES;
}

static void test_hit_ratio_beats_lru(void **state)
{
    static const struct {
        const char *name;
        unsigned    scan_of_1000, stride;
        double      better_by;
    } rows[] = {
        { "zipf", 0, 1, 0.02 },
        { "zipf_and_scans", 400, 1, 0.03 },
        { "zipf_one_sample_in_eight", 0, 8, 0.01 },
        { "zipf_and_scans_one_sample_in_eight", 400, 8, 0.02 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t *trace = malloc(ACCESSES * sizeof *trace), scanned = KEYS + 1;
        uint64_t  random = 88172645463325252u;
        double    lru, own;

        for (unsigned k = 0; k < ACCESSES; k++)
            trace[k] = k % 1000 < rows[i].scan_of_1000 ? scanned++ : zipf(&random);
        lru = lru_hits(trace);
        own = own_hits(trace, rows[i].stride);
        print_message("%-36s LRU %.4f, own %.4f\n", rows[i].name, lru, own);
        if (own < lru + rows[i].better_by)
            fail_msg("%s: LRU %.4f, own %.4f", rows[i].name, lru, own);
        free(trace);
    }
}

/* -- the store keeps its size -- */

static uint64_t disk_bytes(const char *directory)
{
    char        path[4096];
    struct stat st;

    snprintf(path, sizeof path, "%s/data.mdb", directory);
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void test_size_is_kept(void **state)
{
    static const struct {
        const char *name;
        uint64_t    max_bytes;
        int64_t     body;
        unsigned    records, at_least;
    } rows[] = {
        { "small_records_share_pages", 2 * MIB, 300, 6000, 1000 },
        { "inline_bodies", 4 * MIB, 20000, 600, 100 },
        { "body_files", 8 * MIB, 100000, 300, 40 },
        { "smaller_than_one_page_table", 64 * KIB, 300, 600, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char               *directory = tempdir_make();
        struct store       *s = open_store(directory, rows[i].max_bytes);
        struct store_status now = { 0 };
        uint64_t            most = 0;

        for (unsigned n = 0; n < rows[i].records; n += 100) {
            if (!put_records(s, n, n + 100, rows[i].body))
                fail_msg("%s: %u not stored", rows[i].name, n);
            now = store_status(s);
            most = now.bytes > most ? now.bytes : most;
        }
        print_message("%-36s max %llu, at most %llu, %llu records\n", rows[i].name, (unsigned long long)now.max_bytes,
                      (unsigned long long)most, (unsigned long long)now.records);
        /* A group of 100 may be over it until the next step. */
        if (most > now.max_bytes + now.max_bytes / 4)
            fail_msg("%s: %llu bytes, %llu at most", rows[i].name, (unsigned long long)now.bytes,
                     (unsigned long long)most);
        if (now.records < rows[i].at_least)
            fail_msg("%s: only %llu records left", rows[i].name, (unsigned long long)now.records);
        if (disk_bytes(directory) > 2 * now.max_bytes + MIB) /* freed pages are used again */
            fail_msg("%s: the file takes %llu", rows[i].name, (unsigned long long)disk_bytes(directory));
        store_close(s);
        tempdir_remove(directory);
    }
}

/* Pages that are in use, pages that will be used again, all of it. */
static void test_disk_space_stays_within_max_size(void **state)
{
    enum { RECORDS = 75000, GROUP = 1000 };
    const uint64_t max_bytes = 256 * MIB;
    char          *directory = tempdir_make();
    struct store  *s = open_store(directory, max_bytes);
    struct spool  *body = make_body(store_directory(s), 0, 2500);

    (void)state;
    for (unsigned n = 0; n < RECORDS; n += GROUP) {
        struct store_change changes[GROUP];
        struct arena        a = { 0 };

        for (unsigned i = 0; i < GROUP; i++)
            changes[i] = make_put(&a, n + i, 0, body);
        assert_true(do_changes(s, changes, GROUP));
        arena_free(&a);
        if (disk_bytes(directory) > max_bytes)
            fail_msg("%llu bytes on disk behind %u records", (unsigned long long)disk_bytes(directory), n + GROUP);
    }
    spool_release(body);
    assert_true(store_status(s).records > 50000);
    store_close(s);
    tempdir_remove(directory);
}

static void test_what_is_used_stays(void **state)
{
    enum { HOT = 50 };
    char                *directory = tempdir_make();
    struct store        *s = open_store(directory, 2 * MIB);
    struct store_reader *r = store_reader_open(s);
    unsigned             left = 0;

    (void)state;
    assert_true(put_records(s, 0, HOT, 5000));
    for (unsigned n = 1000; n < 2500; n += 100) { /* 12 MiB go through 2 */
        for (unsigned k = 0; k < 5 * HOT; k++) {
            struct store_record record;

            if (look_up(r, k % HOT, &record) == STORE_HIT)
                store_touch(r, record.hash, record.variant);
            store_reader_end(r);
        }
        assert_true(put_records(s, n, n + 100, 5000));
    }
    for (unsigned n = 0; n < HOT; n++)
        left += has_record(s, r, n, 0, 5000);
    if (left < HOT * 9 / 10)
        fail_msg("%u of %u are left", left, (unsigned)HOT);
    store_reader_close(r);
    store_close(s);
    tempdir_remove(directory);
}

static void test_a_smaller_maximum_takes_effect(void **state)
{
    char         *directory = tempdir_make();
    struct store *s = open_store(directory, 32 * MIB);
    const int64_t deadline_ns = clock_mono_ns() + 20 * NS_PER_SEC;

    (void)state;
    for (unsigned n = 0; n < 1000; n += 100)
        assert_true(put_records(s, n, n + 100, 20000));
    assert_true(store_status(s).bytes > 16 * MIB);
    store_close(s);
    s = open_store(directory, 4 * MIB);
    while (store_status(s).bytes > 4 * MIB && clock_mono_ns() < deadline_ns)
        assert_true(put_records(s, 5000, 5001, 10));
    assert_true(store_status(s).bytes <= 4 * MIB);
    assert_true(store_status(s).records > 50);
    store_close(s);
    tempdir_remove(directory);
}

static void test_larger_than_the_cache_is_refused(void **state)
{
    char         *directory = tempdir_make();
    struct store *s = open_store(directory, MIB);

    (void)state;
    assert_true(put_records(s, 0, 10, 1000));
    assert_false(put_record(s, 50, 0, MIB));
    assert_int_equal(store_status(s).records, 10); /* and costs nobody its place */
    store_close(s);
    tempdir_remove(directory);
}

/* Keys [from, to) of an upstream that may fill a quarter. */
static bool put_greedy(struct store *s, unsigned from, unsigned to, int64_t bytes)
{
    enum { MOST = 50 };
    struct store_change changes[MOST];
    struct arena        a = { 0 };
    unsigned            count = 0;
    bool                ok;

    for (unsigned n = from; n < to; n++) {
        changes[count] = make_put(&a, n, 0, make_body(-1, n, bytes));
        changes[count].upstream = "greedy";
        changes[count++].max_share = 0.25;
    }
    ok = do_changes(s, changes, count);
    for (unsigned i = 0; i < count; i++)
        spool_release(changes[i].body);
    arena_free(&a);
    return ok;
}

static unsigned count_left(struct store *s, unsigned from, unsigned to)
{
    struct store_reader *r = store_reader_open(s);
    unsigned             left = 0;

    for (unsigned n = from; n < to; n++) {
        struct store_record record;

        left += look_up(r, n, &record) == STORE_HIT;
        store_reader_end(r);
    }
    store_reader_close(r);
    return left;
}

static void test_an_upstream_keeps_to_its_share(void **state)
{
    static const struct {
        const char *name;
        int64_t     bytes;
        unsigned    at_most, at_least;
    } rows[] = {
        { "inline_bodies", 20000, 105, 70 },
        { "body_files", 70000, 30, 20 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char         *directory = tempdir_make();
        struct store *s = open_store(directory, 8 * MIB);
        unsigned      left;

        assert_true(put_records(s, 0, 100, 20000));
        for (unsigned n = 1000; n < 1300; n += 50)
            assert_true(put_greedy(s, n, n + 50, rows[i].bytes));
        store_close(s);
        s = open_store(directory, 8 * MIB); /* what it fills is remembered */
        assert_true(put_greedy(s, 1300, 1350, rows[i].bytes));
        left = count_left(s, 1000, 1350);
        if (left > rows[i].at_most || left < rows[i].at_least)
            fail_msg("%s: %u of it are left", rows[i].name, left);
        assert_int_equal(count_left(s, 0, 100), 100);
        assert_false(put_greedy(s, 2000, 2001, 3 * MIB));
        assert_int_equal(count_left(s, 0, 100), 100);
        store_close(s);
        tempdir_remove(directory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worth),
        cmocka_unit_test(test_old_fame_fades),
        cmocka_unit_test(test_hit_ratio_beats_lru),
        cmocka_unit_test(test_size_is_kept),
        cmocka_unit_test(test_disk_space_stays_within_max_size),
        cmocka_unit_test(test_what_is_used_stays),
        cmocka_unit_test(test_a_smaller_maximum_takes_effect),
        cmocka_unit_test(test_an_upstream_keeps_to_its_share),
        cmocka_unit_test(test_larger_than_the_cache_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
