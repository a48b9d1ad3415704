/*
 * All that the cache takes on the disk stays within max_bytes, at all times: a thread looks while caches are filled
 * several times over.
 */
#include "store/store.h"

#include "base/arena.h"
#include "base/check.h"
#include "store_support.h"
#include "tempdir.h"

#include <fts.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)
#define KIB (UINT64_C(1) << 10)

/* As `du` counts. */
static uint64_t disk_bytes(const char *directory)
{
    char    *paths[] = { (char *)(uintptr_t)directory, NULL };
    FTS     *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT  *e;
    uint64_t bytes = 0;

    CHECK(tree != NULL);
    while ((e = fts_read(tree)) != NULL)
        if (e->fts_info != FTS_DP && e->fts_info != FTS_NS)
            bytes += (uint64_t)e->fts_statp->st_blocks * 512;
    fts_close(tree);
    return bytes;
}

struct watcher {
    const char  *directory;
    _Atomic bool stopping;
    uint64_t     most;
    unsigned     looks;
};

/* A look is no picture of one moment: who is held up in the midst of it counts a file that has gone and the one that
 * came in its place.  So what counts is what three looks, one after the other, find at least. */
static void *watch(void *context)
{
    struct watcher *w = context;
    uint64_t        before = 0, long_before = 0;

    while (!w->stopping) {
        const uint64_t now = disk_bytes(w->directory);
        uint64_t       least = now < before ? now : before;

        least = least < long_before ? least : long_before;
        long_before = before;
        before = now;
        w->most = least > w->most ? least : w->most;
        w->looks++;
        usleep(500);
    }
    return NULL;
}

enum { KINDS = 6, GROUP = 50 };

struct row {
    const char *name;
    uint64_t    max_bytes;
    unsigned    times;
    int64_t     bodies[KINDS];
    double      filled;
};

static unsigned pour(struct store *s, const struct row *row)
{
    struct spool       *bodies[KINDS];
    struct store_change changes[GROUP];
    uint64_t            poured = 0;
    unsigned            n = 0;

    for (unsigned k = 0; k < KINDS; k++)
        bodies[k] = make_body(store_directory(s), k, row->bodies[k]);
    while (poured < row->max_bytes * row->times) {
        struct arena a = { 0 };

        for (unsigned i = 0; i < GROUP; i++, n++) {
            changes[i] = make_put(&a, n, 0, bodies[n % KINDS]);
            poured += (uint64_t)row->bodies[n % KINDS] + 400;
        }
        CHECK(do_changes(s, changes, GROUP));
        arena_free(&a);
    }
    for (unsigned k = 0; k < KINDS; k++)
        spool_release(bodies[k]);
    return n;
}

static void check_row(const struct row *row)
{
    char          *directory = tempdir_make();
    struct store  *s = open_store(directory, row->max_bytes);
    struct watcher w = { .directory = directory };
    pthread_t      thread;
    uint64_t       left;
    unsigned       poured;

    assert_int_equal(pthread_create(&thread, NULL, watch, &w), 0);
    poured = pour(s, row);
    left = store_status(s).bytes;
    w.stopping = true;
    pthread_join(thread, NULL);
    print_message("%-30s most %.2f of %llu MiB, %.2f in use, %llu of %u records, %u looks\n", row->name,
                  (double)w.most / (double)MIB, (unsigned long long)(row->max_bytes / MIB), (double)left / (double)MIB,
                  (unsigned long long)store_status(s).records, poured, w.looks);
    if (w.most > row->max_bytes)
        fail_msg("%s: %llu KiB on the disk", row->name, (unsigned long long)(w.most / KIB));
    if ((double)left < row->filled * (double)row->max_bytes)
        fail_msg("%s: only %llu KiB are in use", row->name, (unsigned long long)(left / KIB));
    store_close(s);
    assert_true(disk_bytes(directory) <= row->max_bytes);
    tempdir_remove(directory);
}

static void test_the_disk_space_stays_within_max_size(void **state)
{
    static const struct row rows[] = {
        { "8_MiB_small", 8 * MIB, 4, { 300, 700, 1500, 200, 900, 3000 }, 0.6 },
        { "8_MiB_mixed", 8 * MIB, 5, { 300, 30000, 2000, 90000, 9000, 64000 }, 0.5 },
        { "8_MiB_large", 8 * MIB, 5, { 3000000, 700000, 2000, 70000, 400000, 100 }, 0.3 },
        { "16_MiB_small", 16 * MIB, 3, { 300, 700, 1500, 200, 900, 3000 }, 0.7 },
        { "16_MiB_inline", 16 * MIB, 4, { 5000, 9000, 20000, 40000, 60000, 13000 }, 0.6 },
        { "16_MiB_files", 16 * MIB, 4, { 70000, 100000, 150000, 300000, 66000, 90000 }, 0.6 },
        { "64_MiB_small", 64 * MIB, 2, { 500, 900, 1500, 1200, 900, 3000 }, 0.7 },
        { "64_MiB_mixed", 64 * MIB, 3, { 800, 30000, 2000, 120000, 9000, 70000 }, 0.7 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_row(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_disk_space_stays_within_max_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
