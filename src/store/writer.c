/*
 * The writer thread: the one place that changes the cache and the state.
 *
 * Changes come as mail and wait to be committed together, as long as grouping.h says, or until
 * there are many, one is urgent, or somebody asks what is stored.  Between groups
 * it takes a step of whatever else is to do: a job, eviction, the sweep.
 *
 * A group that fits neither the map nor a transaction is halved until it does; a
 * change that does not fit alone fails alone.
 */
#include "store/internal.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/wait.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    EVICTED_AT_ONCE = 4096, /* at most */
    LINK_TRIES = 8,
    QUIET_MS = 1000,
    FULL_TRIES = 4
};
#define HELD_LOOK_NS (10 * NS_PER_MS)

/* Mail says nothing of the store that it was sent to; it is received on the writer's own thread. */
static _Thread_local struct writer *self;

/* -- mail -- */

static bool is_urgent(enum store_change_kind kind)
{
    return kind != STORE_PUT && kind != STORE_FRESHEN;
}

static void receive_change(struct mail *m)
{
    struct store_change *c = CONTAINER_OF(m, struct store_change, mail);
    struct writer       *w = self;

    if (STAILQ_EMPTY(&w->changes))
        grouping_begin(&w->grouping, clock_mono_ns());
    STAILQ_INSERT_TAIL(&w->changes, c, queued);
    w->urgent = w->urgent || is_urgent(c->kind);
}

static uint64_t body_bytes(const struct store_change *c)
{
    return c->body != NULL && c->kind == STORE_PUT ? (uint64_t)spool_length(c->body) : 0;
}

uint64_t store_group_bytes(const struct store *s)
{
    return room_txn_bytes(s) < GROUPING_BYTES ? room_txn_bytes(s) : GROUPING_BYTES;
}

/* The first of a group wakes the writer, and whatever makes the group due at once; for the rest it wakes by itself. */
void store_submit(struct store *s, struct store_change *c)
{
    const uint64_t bytes = body_bytes(c);
    unsigned       count;
    uint64_t       before, most;

    CHECK(c->reply_to != NULL);
    c->mail.receive = receive_change;
    if (s == NULL || s->mailbox == NULL) { /* without a writer all is settled */
        store_answer(s, c, s != NULL && c->kind == STORE_SETTLE);
        return;
    }
    c->changed = c->new_id = 0;
    if (!c->announced) { /* else look-ups read it by now */
        c->body_bytes = c->body != NULL ? spool_length(c->body) : 0;
        store_announce(s, c);
    }
    c->submitted = true;
    most = store_group_bytes(s);
    count = atomic_fetch_add(&s->waiting.changes, 1) + 1;
    before = atomic_fetch_add(&s->waiting.bytes, bytes);
    if (count == 1 || count == room_changes(s) || is_urgent(c->kind) || (before < most && before + bytes >= most))
        mailbox_post(s->mailbox, &c->mail);
    else
        mailbox_post_quietly(s->mailbox, &c->mail);
}

static void receive_hurry(struct mail *m)
{
    struct store *s = self->store;

    (void)m;
    atomic_store(&s->waiting.hurry_posted, false); /* what is submitted from now on asks anew */
    self->urgent = self->urgent || atomic_load(&s->waiting.changes) > 0;
}

void store_hurry(struct store *s)
{
    if (s == NULL || atomic_load(&s->waiting.changes) == 0 || atomic_exchange(&s->waiting.hurry_posted, true))
        return;
    s->waiting.hurry.receive = receive_hurry;
    mailbox_post(s->mailbox, &s->waiting.hurry);
}

static void receive_stop(struct mail *m)
{
    CONTAINER_OF(m, struct writer, stop)->stopping = true;
}

static void receive_merge(struct mail *m)
{
    struct store_reader *r = CONTAINER_OF(m, struct store_reader, merge);

    atomic_store(&r->merge_posted, false);
    reclaim_merge(self, r);
}

static void receive_suspect(struct mail *m)
{
    struct store_reader *r = CONTAINER_OF(m, struct store_reader, suspect);

    if (self->suspect_count < SUSPECTS)
        self->suspects[self->suspect_count++] = r->suspect_key;
    atomic_store(&r->suspect_posted, false);
}

static void receive_gone(struct mail *m)
{
    free(CONTAINER_OF(m, struct store_reader, gone));
}

void writer_init_reader(struct store_reader *r)
{
    r->merge.receive = receive_merge;
    r->suspect.receive = receive_suspect;
    r->gone.receive = receive_gone;
}

/* -- groups -- */

struct writer_group {
    struct work works[GROUPING_CHANGES];
    unsigned    count;
    uint64_t    bytes, file_bytes; /* of the records, and of the bodies that are files */
    uint64_t    label_pages;
};

static bool has_file(const struct store_change *c)
{
    return c->kind == STORE_PUT && c->body != NULL && spool_length(c->body) > STORE_INLINE_BYTES;
}

static uint64_t file_cost_of(const struct work *work)
{
    return has_file(work->change) && !work->refused
               ? ((uint64_t)spool_length(work->change->body) / BLOCK_BYTES + 1) * BLOCK_BYTES
               : 0;
}

static uint64_t record_cost_of(const struct work *work)
{
    const struct store_change *c = work->change;
    uint64_t                   bytes;

    if (c->kind != STORE_PUT || work->refused)
        return 0;
    bytes = c->full_key.len + c->selection.len + 2 * c->fields.count * sizeof(uint64_t);
    for (unsigned i = 0; i < c->fields.count; i++)
        bytes += c->fields.items[i].name.len + c->fields.items[i].value.len;
    if (c->body != NULL && !has_file(c))
        bytes += (uint64_t)spool_length(c->body);
    return entry_cost(bytes + c->labels.len, c->labels);
}

/* Not at its end, or larger than all that it may fill: it costs nobody his place. */
static bool is_refused(const struct store *s, const struct store_change *c)
{
    uint64_t bytes;

    if (c->kind != STORE_PUT || c->body == NULL)
        return false;
    bytes = (uint64_t)spool_length(c->body);
    return spool_ended(c->body) != SPOOL_WHOLE || spool_is_pass(c->body) || bytes > room_limit(s) ||
           (c->max_share > 0 && (double)bytes > c->max_share * (double)s->max_bytes);
}

/* The body's file comes before the transaction: a crash leaves an orphan, never a record without its body. */
static void link_body(struct writer *w, struct work *work)
{
    struct store_change *c = work->change;
    int                  err = EEXIST;

    if (work->refused || !has_file(c))
        return;
    for (int i = 0; i < LINK_TRIES && err == EEXIST; i++) {
        work->body_file = i == 0 ? c->number : store_new_id(w->store);
        err = bodies_link(w->store->bodies_fd, work->body_file, c->body, &work->proof);
    }
    if (err == 0)
        atomic_fetch_and_explicit(&w->store->refusing, ~(unsigned)REFUSES_FILES, memory_order_relaxed);
    else {
        char text[128];

        atomic_fetch_or_explicit(&w->store->refusing, REFUSES_FILES, memory_order_relaxed);
        work->body_file = 0;
        work->refused = true;
        store_warn(w->store, WARN_BODY, strerror_r(err, text, sizeof text));
    }
}

/* Counted before the submitter is told, so that who has heard of a commit finds it counted. */
static void count(const struct store_change *c, bool ok)
{
    if (c->kind != STORE_PUT && c->kind != STORE_FRESHEN)
        return;
    if (!ok)
        counter_add(COUNTER_STORE_FAILURES, 1);
    else if (c->changed > 0)
        counter_add(COUNTER_STORED, 1);
}

static void answer(struct writer *w, struct work *work, bool ok)
{
    struct store_change *c = work->change;

    if (ok && work->more) {
        job_add(w, c);
        return;
    }
    if ((!ok || c->changed == 0) && work->body_file != 0)
        bodies_remove(w->store->bodies_fd, work->body_file);
    count(c, ok && !work->refused);
    store_answer(w->store, c, ok && !work->refused);
}

static enum db_result try_works(struct writer *w, struct work *works, unsigned count)
{
    struct apply   a;
    uint64_t       incoming = 0, need;
    enum db_result r = apply_begin(w, &a);

    if (r != DB_OK)
        return r;
    for (unsigned i = 0; i < count; i++)
        incoming += record_cost_of(&works[i]) + file_cost_of(&works[i]);
    need = incoming > 0 ? reclaim_need(w, incoming) : 0;
    if (need > 0) {
        r = reclaim_some(&a, need, room_at_once(w->store, EVICTED_AT_ONCE));
        if (r == DB_NOT_FOUND) /* nothing is left to evict: max_bytes is tiny */
            r = DB_OK;
    }
    for (unsigned i = 0; i < count && r == DB_OK; i++)
        if (!works[i].refused)
            r = change_apply(&a, &works[i]);
    if (r != DB_OK) {
        apply_abort(&a);
        return r;
    }
    r = apply_commit(&a);
    if (r == DB_OK)
        counter_add(COUNTER_EVICTED, a.evicted);
    return r;
}

static void note_uses(struct writer *w, const struct work *works, unsigned count)
{
    const unsigned stride = atomic_load_explicit(&w->store->stride, memory_order_relaxed);

    for (unsigned i = 0; i < count; i++)
        if (works[i].change->kind == STORE_PUT && !works[i].refused && works[i].change->new_id % stride == 0)
            evict_stored(w->evict, evict_name(works[i].change->hash, works[i].change->variant));
}

/* Halves what does not fit; the stack is 10 deep at most. */
static void run_works(struct writer *w, struct work *works, unsigned count)
{
    enum db_result r = DB_FULL;

    /* A full disk is helped by eviction too: what is freed has its place on the disk already. */
    for (int i = 0; i < FULL_TRIES; i++) {
        r = store_is_broken(w->store) ? DB_BROKEN : try_works(w, works, count);
        if ((r != DB_FULL && (r != DB_REFUSED || i > 0)) || !reclaim_step(w))
            break;
    }
    if (r == DB_FULL && count > 1) {
        run_works(w, works, count / 2);
        run_works(w, works + count / 2, count - count / 2);
        return;
    }
    if (r == DB_OK)
        atomic_fetch_and_explicit(&w->store->refusing, ~(unsigned)REFUSES_COMMITS, memory_order_relaxed);
    else
        atomic_fetch_or_explicit(&w->store->refusing, REFUSES_COMMITS, memory_order_relaxed);
    if (r == DB_OK)
        note_uses(w, works, count);
    else
        store_failed(w->store, r);
    for (unsigned i = 0; i < count; i++)
        answer(w, &works[i], r == DB_OK);
}

/* FLUSH, DROP_MATCHING, COMPACT and SETTLE are no part of a group. */
static bool stands_alone(const struct store_change *c)
{
    return c->kind == STORE_FLUSH || c->kind == STORE_DROP_MATCHING || c->kind == STORE_COMPACT ||
           c->kind == STORE_SETTLE;
}

static void start_alone(struct writer *w, struct store_change *c)
{
    if (c->kind == STORE_FLUSH) {
        job_flush(w, c);
        return;
    }
    if (c->kind == STORE_COMPACT) {
        job_compact(w, c);
        return;
    }
    c->changed = 0;
    if (c->kind == STORE_SETTLE)
        store_answer(w->store, c, !store_is_broken(w->store));
    else
        job_add(w, c);
}

/* Takes what waits, as far as a group may go. */
static void gather(struct writer *w, struct writer_group *g)
{
    const uint64_t most = store_group_bytes(w->store), txn = room_txn_bytes(w->store);
    uint64_t       bodies = 0;

    while (
        !STAILQ_EMPTY(&w->changes) && g->count < GROUPING_CHANGES &&
        (g->count == 0 ||
         (bodies < most && g->bytes + g->count * (uint64_t)ROOM_CHANGE_BYTES + g->label_pages * BLOCK_BYTES < txn))) {
        struct store_change *c = STAILQ_FIRST(&w->changes);
        struct work         *work = &g->works[g->count];

        if (stands_alone(c) && g->count > 0)
            return;
        STAILQ_REMOVE_HEAD(&w->changes, queued);
        atomic_fetch_sub(&w->store->waiting.changes, 1);
        atomic_fetch_sub(&w->store->waiting.bytes, body_bytes(c));
        if (stands_alone(c)) {
            start_alone(w, c);
            return;
        }
        *work = (struct work){ .change = c, .refused = is_refused(w->store, c) };
        bodies += body_bytes(c);
        g->bytes += record_cost_of(work);
        g->label_pages += c->labels.len / STORE_LABEL_BYTES;
        g->file_bytes += file_cost_of(work);
        g->count++;
    }
}

static void run_group(struct writer *w)
{
    struct writer_group *g = mem_alloc(sizeof *g);
    const int64_t        begun_ns = clock_mono_ns();

    anew_look(w);
    gather(w, g);
    if (g->count > 0) {
        w->nothing_to_evict = false;
        if (!store_is_broken(w->store)) {
            reclaim_before(w, g->bytes, g->file_bytes);
            for (unsigned i = 0; i < g->count; i++)
                link_body(w, &g->works[i]);
        }
        run_works(w, g->works, g->count);
        grouping_end(&w->grouping, clock_mono_ns() - begun_ns, clock_mono_ns());
        w->trim_due = true;
    }
    if (!STAILQ_EMPTY(&w->changes))
        grouping_begin(&w->grouping, clock_mono_ns());
    else
        w->urgent = false;
    free(g);
}

/* -- the thread -- */

/* How long the changes that wait may wait on: 0: not at all, -1: there are none. */
static int64_t wait_ns(const struct writer *w)
{
    if (STAILQ_EMPTY(&w->changes))
        return -1;
    if (w->hold_file != NULL && !w->stopping && access(w->hold_file, F_OK) == 0)
        return HELD_LOOK_NS;
    if (w->stopping || w->urgent || atomic_load(&w->store->waiting.changes) >= room_changes(w->store) ||
        atomic_load(&w->store->waiting.bytes) >= store_group_bytes(w->store))
        return 0;
    return grouping_left(&w->grouping, clock_mono_ns());
}

static bool is_over(const struct writer *w)
{
    return !w->nothing_to_evict && !store_is_broken(w->store) && room_is_over(w->store);
}

/* The same, below 0: until there is mail.  What came quietly while a group was committed does not ring. */
static int64_t patience_ns(const struct writer *w, bool busy)
{
    int64_t ns = wait_ns(w);

    return busy || (ns < 0 && atomic_load(&w->store->waiting.changes) > 0) ? 0 : ns;
}

/* Many answers at once leave all threads' heaps large, with what is in use scattered: when it is quiet
 * again, the kernel gets the free pages. */
static void wait_for_mail(struct writer *w, bool busy)
{
    struct pollfd watch = { .fd = mailbox_fd(w->store->mailbox), .events = POLLIN };
    int64_t       ns = patience_ns(w, busy);

    if (ns >= 0 || !w->trim_due) {
        wait_poll(&watch, 1, ns);
    } else if (wait_poll(&watch, 1, QUIET_MS * NS_PER_MS) == 0) {
        malloc_trim(0);
        w->trim_due = false;
    }
}

static void *run(void *argument)
{
    struct writer *w = argument;
    bool           busy = false;

    self = w;
    pthread_setname_np(pthread_self(), "writer");
    while (!w->stopping || busy || !STAILQ_EMPTY(&w->changes) || !STAILQ_EMPTY(&w->store->states)) {
        wait_for_mail(w, busy || w->stopping);
        mailbox_deliver(w->store->mailbox);
        state_write(w->store);
        if (wait_ns(w) == 0)
            run_group(w);
        job_drop_suspects(w);
        busy = job_step(w);
        if (is_over(w))
            busy = reclaim_step(w) || busy;
        if (!w->stopping)
            busy = job_sweep(w) || busy;
    }
    return NULL;
}

struct writer *writer_start(struct store *s, const struct counts *counts, struct fault *why)
{
    struct writer *w = mem_alloc(sizeof *w);
    int            err;

    w->store = s;
    w->stop.receive = receive_stop;
    STAILQ_INIT(&w->changes);
    STAILQ_INIT(&w->jobs);
    w->counts = *counts;
    w->set_back_kept = atomic_load(&s->set_back.below);
    w->hold_file = secure_getenv("WEIR_HOLD_COMMITS");
    w->evict = evict_new(s->max_bytes / BLOCK_BYTES);
    if (s->flags == 0)
        sweep_begin(&w->sweep, s->bodies_fd, s->started_at);
    store_publish(w->store, &w->counts.totals);
    err = pthread_create(&w->thread, NULL, run, w);
    if (err == 0)
        return w;
    fault_set_errno(why, err, "cannot start the cache's writer thread");
    sweep_end(&w->sweep);
    evict_free(w->evict);
    free(w);
    return NULL;
}

void writer_stop(struct writer *w)
{
    if (w == NULL)
        return;
    mailbox_post(w->store->mailbox, &w->stop);
    pthread_join(w->thread, NULL);
    sweep_end(&w->sweep);
    evict_free(w->evict);
    free(w->doomed.items);
    free(w->scratch.bytes);
    free(w);
}
