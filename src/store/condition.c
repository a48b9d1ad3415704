/*
 * What is said of the store: to whoever asks how it is, to the log, and by the numbers that no two of its records
 * share. Every other file may say something of it; this one needs none of them.
 */
#include "store/internal.h"

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#define SAID_NS (60 * NS_PER_SEC)

void store_warn(struct store *s, enum writer_warning kind, const char *reason)
{
    static const char *const events[] = {
        [WARN_BODY] = "cache_body_failed",
        [WARN_COMMIT] = "cache_commit_failed",
        [WARN_STATE] = "state_commit_failed",
        [WARN_BROKEN] = "cache_broken",
    };
    const int64_t now_ns = clock_mono_ns();

    if (s->said[kind].at_ns != 0 && now_ns - s->said[kind].at_ns < SAID_NS) {
        s->said[kind].unsaid++;
        return;
    }
    if (kind == WARN_BROKEN || kind == WARN_STATE)
        log_error(events[kind], "reason=%s", log_quote(reason));
    else
        log_warning(events[kind], "reason=%s unsaid_before=%" PRIu64, log_quote(reason), s->said[kind].unsaid);
    s->said[kind].at_ns = now_ns;
    s->said[kind].unsaid = 0;
}

/* The database is past mending: look-ups miss, the next start begins a new one. */
static void set_broken(struct store *s)
{
    int fd;

    if ((atomic_fetch_or(&s->attention, STORE_BROKEN_MARK) & STORE_BROKEN_MARK) != 0)
        return;
    store_warn(s, WARN_BROKEN, db_reason(s->db));
    fd = file_open(s->directory_fd, "damaged", O_WRONLY | O_CREAT, 0600);
    if (fd >= 0)
        close(fd);
}

void store_failed(struct store *s, enum db_result r)
{
    if (r == DB_BROKEN)
        set_broken(s);
    else if (r != DB_OK && r != DB_NOT_FOUND)
        store_warn(s, WARN_COMMIT, r == DB_FULL ? "the database is full" : db_reason(s->db));
}

uint64_t store_new_id(struct store *s)
{
    return atomic_fetch_add(&s->next_id, 1);
}

void store_publish(struct store *s, const struct totals *totals)
{
    struct db_txn  *txn;
    struct db_space space;
    uint64_t        records = 0;

    if (db_space(s->db, &space) == DB_OK)
        atomic_store_explicit(&s->now.bytes, space.used_bytes + totals->body_bytes, memory_order_relaxed);
    if (db_begin(s->db, false, &txn) == DB_OK) {
        if (db_table_count(txn, s->tables.records, &records) == DB_OK)
            atomic_store_explicit(&s->now.records, records, memory_order_relaxed);
        db_abort(txn);
    }
    atomic_store_explicit(&s->now.body_files, totals->body_files, memory_order_relaxed);
}

struct store_status store_status(struct store *s)
{
    if (s == NULL)
        return (struct store_status){ .broken = true };
    return (struct store_status){
        .records = atomic_load_explicit(&s->now.records, memory_order_relaxed),
        .body_files = atomic_load_explicit(&s->now.body_files, memory_order_relaxed),
        .bytes = atomic_load_explicit(&s->now.bytes, memory_order_relaxed),
        .max_bytes = s->max_bytes,
        .broken = store_is_broken(s),
    };
}
