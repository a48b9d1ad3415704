/*
 * What the writer does in several transactions: dropping by pattern, by a tag or a label
 * with many records, everything where the map is too full for doing it at once,
 * damaged records that look-ups met; and the sweep of body files.
 *
 * A step is short, and other changes are made between two of them; a job drops nothing
 * that was stored after it was submitted.
 */
#include "store/internal.h"

#include "base/log.h"

#include <inttypes.h>

enum { SCANNED_AT_ONCE = 1000, DROPPED_AT_ONCE = 250, SWEPT_AT_ONCE = 128, TRIES = 3 };

void job_add(struct writer *w, struct store_change *c)
{
    STAILQ_INSERT_TAIL(&w->jobs, c, queued);
}

static void end_job(struct writer *w, bool ok)
{
    struct store_change *c = w->job.change;

    w->job = (struct job){ 0 };
    store_answer(w->store, c, ok);
}

/* -- by pattern -- */

struct jobs_found {
    struct record_key keys[DROPPED_AT_ONCE];
    unsigned          count;
    bool              at_end;
};

static bool is_wanted(struct store *s, const struct store_change *c, struct slice key, struct slice value)
{
    struct record r;

    if ((c->matches == NULL && c->matches_record == NULL) || !record_decode(key, value, &r))
        return true; /* a damaged one goes with the rest */
    if (r.view.id >= c->number)
        return false;
    if (c->matches_record == NULL)
        return c->matches(r.view.full_key, c->context);
    store_heed_clock(s, &r.view);
    return c->matches_record(&r.view, c->context);
}

static enum db_result scan(struct store *s, struct job *job, struct jobs_found *found)
{
    const unsigned    at_once = room_at_once(s, DROPPED_AT_ONCE);
    struct slice      key = record_key_slice(&job->next_key), value;
    struct db_txn    *txn;
    struct db_cursor *cursor = NULL;
    enum db_result    r = db_begin(s->db, false, &txn);

    *found = (struct jobs_found){ 0 };
    if (r == DB_OK)
        r = db_cursor_open(txn, s->tables.records, &cursor);
    if (r == DB_OK)
        r = db_cursor_move(cursor, DB_AT_OR_AFTER, &key, &value);
    for (unsigned i = 0; r == DB_OK && i < SCANNED_AT_ONCE && found->count < at_once; i++) {
        memcpy(job->next_key.bytes, key.ptr, RECORD_KEY_BYTES);
        if (is_wanted(s, job->change, key, value))
            found->keys[found->count++] = job->next_key;
        entry_step_after(job->next_key.bytes, RECORD_KEY_BYTES);
        r = db_cursor_move(cursor, DB_NEXT, &key, &value);
    }
    db_cursor_close(cursor);
    db_abort(txn);
    found->at_end = r == DB_NOT_FOUND;
    return r == DB_NOT_FOUND ? DB_OK : r;
}

/* What was dropped is committed and counted, or nothing is. */
static enum db_result end_step(struct apply *a, enum db_result r, struct job *job, uint64_t dropped)
{
    if (r != DB_OK) {
        apply_abort(a);
        return r;
    }
    r = apply_commit(a);
    if (r == DB_OK)
        job->change->changed += dropped;
    return r;
}

/* Those with many labels take more of a transaction: then the rest is found again. */
static enum db_result remove_found(struct writer *w, struct job *job, struct jobs_found *found)
{
    const unsigned at_once = room_at_once(w->store, DROPPED_AT_ONCE);
    struct apply   a;
    unsigned       i;
    enum db_result r = apply_begin(w, &a);

    if (r != DB_OK)
        return r;
    for (i = 0; i < found->count && (r == DB_OK || r == DB_NOT_FOUND) && room_weight(i, a.labels) < at_once; i++)
        r = entry_remove(&a, &found->keys[i], job->change->number);
    if (i < found->count) {
        job->next_key = found->keys[i];
        found->at_end = false;
    }
    return end_step(&a, r == DB_NOT_FOUND ? DB_OK : r, job, a.removed);
}

static enum db_result step_matching(struct writer *w, struct job *job, bool *done)
{
    const struct record_key from = job->next_key;
    struct jobs_found       found;
    enum db_result          r = scan(w->store, job, &found);

    if (r == DB_OK && found.count > 0)
        r = remove_found(w, job, &found);
    if (r != DB_OK)
        job->next_key = from;
    *done = found.at_end;
    return r;
}

/* -- by tag -- */

static enum db_result step_tag(struct writer *w, struct job *job, bool *done)
{
    struct record_key from = job->next_key;
    struct apply      a;
    uint64_t          dropped = 0;
    bool              more = false;
    enum db_result    r = apply_begin(w, &a);

    if (r != DB_OK)
        return r;
    r = entry_drop_tag(&a, job->change->tag, job->change->number, room_at_once(w->store, DROPPED_AT_ONCE), &from,
                       &dropped, &more);
    r = end_step(&a, r, job, dropped);
    if (r == DB_OK)
        job->next_key = from;
    *done = !more;
    return r;
}

static enum db_result step_label(struct writer *w, struct job *job, bool *done)
{
    struct label_key from = job->next_label;
    struct apply     a;
    uint64_t         dropped = 0;
    bool             more = false;
    enum db_result   r = apply_begin(w, &a);

    if (r != DB_OK)
        return r;
    r = entry_drop_label(&a, job->change, job->change->number, room_at_once(w->store, DROPPED_AT_ONCE), &from, &dropped,
                         &more);
    r = end_step(&a, r, job, dropped);
    if (r == DB_OK)
        job->next_label = from;
    *done = !more;
    return r;
}

static enum db_result step(struct writer *w, struct job *job, bool *done)
{
    if (store_is_broken(w->store))
        return DB_REFUSED;
    if (job->change->kind == STORE_DROP_TAG)
        return step_tag(w, job, done);
    return job->change->kind == STORE_DROP_LABEL ? step_label(w, job, done) : step_matching(w, job, done);
}

bool job_step(struct writer *w)
{
    bool           done = false;
    enum db_result r;

    if (w->job.change == NULL) {
        struct store_change *next = STAILQ_FIRST(&w->jobs);

        if (next == NULL)
            return false;
        STAILQ_REMOVE_HEAD(&w->jobs, queued);
        w->job = (struct job){ .change = next };
    }
    r = step(w, &w->job, &done);
    if (r == DB_OK) {
        w->job.failures = 0;
        if (done)
            end_job(w, true);
        return true;
    }
    store_failed(w->store, r);
    if (store_is_broken(w->store) || ++w->job.failures >= TRIES)
        end_job(w, false);
    else if (r == DB_FULL)
        reclaim_step(w);
    return true;
}

/* -- everything -- */

void job_flush(struct writer *w, struct store_change *c)
{
    const uint64_t records = atomic_load_explicit(&w->store->now.records, memory_order_relaxed);
    struct apply   a;
    enum db_result r = store_is_broken(w->store) ? DB_REFUSED : apply_begin(w, &a);

    c->changed = 0;
    if (r == DB_OK) {
        r = change_flush(&a);
        if (r == DB_OK)
            r = apply_commit(&a);
        else
            apply_abort(&a);
    }
    if (r == DB_FULL) {
        c->matches = NULL; /* one batch after another, then */
        c->matches_record = NULL;
        job_add(w, c);
        return;
    }
    store_failed(w->store, r);
    if (r == DB_OK) {
        c->changed = records;
        sweep_begin(&w->sweep, w->store->bodies_fd, c->number);
    }
    store_answer(w->store, c, r == DB_OK);
}

void job_compact(struct writer *w, struct store_change *c)
{
    enum db_result r = apply_give_back(w, &c->changed);

    store_failed(w->store, r);
    store_answer(w->store, c, r == DB_OK);
}

/* -- damaged records -- */

static bool is_damaged(struct apply *a, const struct record_key *key)
{
    struct slice  value;
    struct record r;

    if (db_get(a->txn, a->store->tables.records, record_key_slice(key), &value) != DB_OK)
        return false;
    if (!record_decode(record_key_slice(key), value, &r) || !record_body_is_right(&r))
        return true;
    return r.view.proof.mark != 0 && bodies_verify(a->store->bodies_fd, r.view.body_file, r.view.body_bytes,
                                                   r.view.proof.sum, NULL, NULL) == BODY_WRONG;
}

void job_drop_suspects(struct writer *w)
{
    struct apply   a;
    enum db_result r = DB_OK;

    if (w->suspect_count == 0 || store_is_broken(w->store) || apply_begin(w, &a) != DB_OK)
        return;
    for (unsigned i = 0; i < w->suspect_count && r == DB_OK; i++)
        if (is_damaged(&a, &w->suspects[i]))
            r = entry_remove(&a, &w->suspects[i], UINT64_MAX);
    w->suspect_count = 0;
    if (r == DB_OK)
        r = apply_commit(&a);
    else
        apply_abort(&a);
    if (r == DB_OK && a.removed > 0)
        log_warning("cache_records_damaged", "dropped=%u", a.removed);
    store_failed(w->store, r);
}

/* -- the sweep -- */

/* 1: a record has it; 0: none has; -1: the table says so, but not the record. */
static int has_record(struct store *s, struct db_txn *txn, uint64_t number)
{
    struct slice  key, value;
    struct record r;

    if (db_get(txn, s->tables.files, (struct slice){ (const char *)&number, sizeof number }, &key) != DB_OK)
        return 0;
    if (db_get(txn, s->tables.records, key, &value) == DB_OK && record_decode(key, value, &r) &&
        r.view.body_file == number)
        return 1;
    return -1;
}

static void forget_numbers(struct writer *w, const uint64_t *numbers, unsigned count)
{
    struct apply a;

    if (count == 0 || apply_begin(w, &a) != DB_OK)
        return;
    for (unsigned i = 0; i < count; i++)
        (void)db_delete(a.txn, w->store->tables.files, (struct slice){ (const char *)&numbers[i], sizeof numbers[i] });
    (void)apply_commit(&a);
}

bool job_sweep(struct writer *w)
{
    struct store  *s = w->store;
    uint64_t       numbers[SWEPT_AT_ONCE], stale[SWEPT_AT_ONCE];
    unsigned       stale_count = 0, count;
    struct db_txn *txn;

    if (!w->sweep.running || store_is_broken(s))
        return false;
    count = sweep_step(&w->sweep, numbers, SWEPT_AT_ONCE);
    if (count > 0 && db_begin(s->db, false, &txn) == DB_OK) {
        for (unsigned i = 0; i < count; i++) {
            int has = has_record(s, txn, numbers[i]);

            if (has > 0)
                continue;
            if (has < 0)
                stale[stale_count++] = numbers[i];
            bodies_remove(s->bodies_fd, numbers[i]);
            w->sweep.removed++;
        }
        db_abort(txn);
        forget_numbers(w, stale, stale_count);
    }
    if (!w->sweep.running && w->sweep.removed > 0)
        log_info("cache_swept", "files=%" PRIu64, w->sweep.removed);
    return w->sweep.running;
}
