/*
 * All tasks, what becomes of each, and who waits to hear of it.
 */
#include "jobs/task.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/counters.h"

#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

const char *task_state_name(enum task_state state)
{
    static const char *const names[] = {
        [TASK_QUEUED] = "queued",       [TASK_RUNNING] = "running", [TASK_DONE] = "done", [TASK_FAILED] = "failed",
        [TASK_CANCELLED] = "cancelled", [TASK_EXPIRED] = "expired", [TASK_GONE] = "gone"
    };

    return names[state];
}

/* -- answers -- */

struct task_answer *task_answer_new(void)
{
    return mem_alloc(sizeof(struct task_answer));
}

void task_answer_free(struct task_answer *a)
{
    if (a == NULL)
        return;
    spool_release(a->body.spool);
    arena_free(&a->arena);
    free(a);
}

struct task_answer *task_answer_problem(enum problem_kind kind, const char *detail)
{
    const struct problem_text text = { .kind = kind, .detail = slice_of(detail) };
    struct task_answer       *a = task_answer_new();
    const size_t              room = problem_room(text.detail.len);
    char                     *body = arena_alloc_raw(&a->arena, room);

    a->status = problem_status(kind);
    a->body.text = (struct slice){ body, problem_write(body, room, &text) };
    a->body.bytes = a->length = (int64_t)a->body.text.len;
    http_fields_add_id(&a->fields, &a->arena, HTTP_CONTENT_TYPE, SLICE(PROBLEM_MEDIA_TYPE));
    http_fields_add_id(&a->fields, &a->arena, HTTP_CACHE_CONTROL, SLICE("no-store"));
    a->kept = a->fields;
    return a;
}

/* -- one -- */

static void destroy(struct ref *ref)
{
    struct task *t = CONTAINER_OF(ref, struct task, ref);

    CHECK(LIST_EMPTY(&t->watches));
    spool_release(t->body.spool);
    task_answer_free(t->answer);
    peer_card_release(t->card);
    arena_free(&t->arena);
    free(t);
}

static void make_id(char out[TASK_ID_LENGTH + 1])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t          time = (uint64_t)(clock_wall_ns() / NS_PER_MS);
    uint8_t           random[16];

    randombytes_buf(random, sizeof random);
    for (int i = 9; i >= 0; i--, time >>= 5)
        out[i] = digits[time & 31];
    for (int i = 0; i < 16; i++)
        out[10 + i] = digits[random[i] & 31];
    out[TASK_ID_LENGTH] = '\0';
}

struct task *task_new(struct jobs *jobs)
{
    struct task *t = mem_alloc(sizeof *t);

    ref_init(&t->ref, destroy);
    t->jobs = jobs;
    t->row.saving.receive = jobs->save;
    t->slot = TASK_SLOTS;
    make_id(t->id);
    return t;
}

void task_acquire(struct task *t)
{
    ref_acquire(&t->ref);
}

void task_release(struct task *t)
{
    if (t != NULL)
        ref_release(&t->ref);
}

/* -- all -- */

void jobs_lock(struct jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
}

void jobs_unlock(struct jobs *jobs)
{
    pthread_mutex_unlock(&jobs->lock);
}

static uint64_t hash_of(const void *bytes, size_t count)
{
    return XXH3_64bits(bytes, count);
}

static void take_slot(struct task *t)
{
    struct jobs *jobs = t->jobs;

    while (jobs->slots[jobs->next_slot % TASK_SLOTS])
        jobs->next_slot++;
    t->slot = jobs->next_slot++ % TASK_SLOTS;
    jobs->slots[t->slot] = true;
    atomic_store(&jobs->marks[t->slot], 0);
}

static void give_slot_back(struct task *t)
{
    if (t->slot < TASK_SLOTS)
        t->jobs->slots[t->slot] = false;
    t->slot = TASK_SLOTS;
}

static bool counts(enum task_state state)
{
    return state < TASK_EXPIRED;
}

/* -- how many there are, and whose -- */

struct task_user {
    struct table_node node;
    struct peer       who;
    unsigned          jobs;
};

static uint64_t hash_of_user(const struct peer *p)
{
    return p->has_uid ? hash_of(&p->uid, sizeof p->uid) : hash_of(p->address, p->address_bytes);
}

static struct task_user *find_user(struct jobs *jobs, const struct peer *p)
{
    TABLE_EACH(n, &jobs->users, hash_of_user(p))
    {
        struct task_user *u = CONTAINER_OF(n, struct task_user, node);

        if (u->who.has_uid != p->has_uid)
            continue;
        if (p->has_uid
                ? u->who.uid == p->uid
                : u->who.address_bytes == p->address_bytes && memcmp(u->who.address, p->address, p->address_bytes) == 0)
            return u;
    }
    return NULL;
}

static void count_in(struct task *t)
{
    struct task_user *u = find_user(t->jobs, &t->asked.peer);

    if (u == NULL) {
        u = mem_alloc(sizeof *u);
        u->who = t->asked.peer;
        table_add(&t->jobs->users, &u->node, hash_of_user(&u->who));
    }
    u->jobs++;
    t->user = u;
    t->jobs->count++;
}

static void count_out(struct task *t)
{
    struct task_user *u = t->user;

    if (u == NULL)
        return;
    t->user = NULL;
    t->jobs->count--;
    if (--u->jobs == 0) {
        table_remove(&t->jobs->users, &u->node);
        free(u);
    }
}

static enum task_room room_for(const struct task *t, const struct jobs_options *o)
{
    const struct task_user *u = find_user(t->jobs, &t->asked.peer);
    const double            of_one = o->max_share * o->max;

    if (t->jobs->count >= o->max)
        return TASK_NO_ROOM;
    return u != NULL && u->jobs >= of_one ? TASK_NO_ROOM_OF_USER : TASK_ROOM;
}

enum task_room task_add(struct task *t, const struct jobs_options *o)
{
    struct jobs   *jobs = t->jobs;
    struct task   *before = TAILQ_LAST(&jobs->all, tasks);
    enum task_room room;

    if (!t->is_loaded) {
        room = room_for(t, o);
        if (room != TASK_ROOM)
            return room;
        t->number = ++jobs->last_number;
        take_slot(t);
    }
    task_acquire(t);
    if (counts(t->state))
        count_in(t);
    table_add(&jobs->ids, &t->by_id, hash_of(t->id, TASK_ID_LENGTH));
    if (t->has_key && counts(t->state))
        table_add(&jobs->keys, &t->by_key, hash_of(&t->key, sizeof t->key));
    else
        t->has_key = false;
    while (before != NULL && before->number > t->number)
        before = TAILQ_PREV(before, tasks, entry);
    if (before != NULL)
        TAILQ_INSERT_AFTER(&jobs->all, before, t, entry);
    else
        TAILQ_INSERT_HEAD(&jobs->all, t, entry);
    return TASK_ROOM;
}

static void forget_key(struct task *t)
{
    if (t->has_key)
        table_remove(&t->jobs->keys, &t->by_key);
    t->has_key = false;
}

static void give_bytes_back(struct task *t)
{
    t->jobs->bytes -= t->held;
    t->held = 0;
}

void task_drop(struct task *t)
{
    struct jobs *jobs = t->jobs;

    forget_key(t);
    give_bytes_back(t);
    give_slot_back(t);
    count_out(t);
    t->state = TASK_GONE;
    table_remove(&jobs->ids, &t->by_id);
    TAILQ_REMOVE(&jobs->all, t, entry);
    task_release(t);
}

struct task *task_find(struct jobs *jobs, struct slice id)
{
    struct task *t;

    if (id.len != TASK_ID_LENGTH)
        return NULL;
    TABLE_EACH(n, &jobs->ids, hash_of(id.ptr, id.len))
    {
        t = CONTAINER_OF(n, struct task, by_id);
        if (memcmp(t->id, id.ptr, TASK_ID_LENGTH) == 0)
            return t;
    }
    return NULL;
}

struct task *task_find_key(struct jobs *jobs, const struct task_hash *key, int64_t now_wall_ns)
{
    struct task *t;

    TABLE_EACH(n, &jobs->keys, hash_of(key, sizeof *key))
    {
        t = CONTAINER_OF(n, struct task, by_key);
        if (memcmp(&t->key, key, sizeof *key) == 0 && !t->row.refused && task_state_at(t, now_wall_ns) < TASK_EXPIRED)
            return t;
    }
    return NULL;
}

/* -- bytes -- */

/* The oldest result that somebody has read. */
static struct task *readable_once_more(struct jobs *jobs)
{
    struct task *t;

    TAILQ_FOREACH (t, &jobs->all, entry)
        if (t->was_read && t->held > 0 && TASK_HAS_ENDED(t->state) && !t->has_coming)
            return t;
    return NULL;
}

bool task_take_bytes(struct task *t, int64_t bytes, int64_t most)
{
    struct jobs *jobs = t->jobs;
    struct task *old;

    while (bytes > 0 && jobs->bytes + bytes > most) {
        old = readable_once_more(jobs);
        if (old == NULL)
            return false;
        give_bytes_back(old);
        task_become(old, TASK_EXPIRED, NULL);
    }
    jobs->bytes += bytes;
    t->held += bytes;
    return true;
}

/* -- what becomes of one -- */

enum task_state task_state_at(const struct task *t, int64_t now_wall_ns)
{
    const int64_t keep_ns = atomic_load_explicit(&t->jobs->keep_ns, memory_order_relaxed);

    if (t->has_coming && t->coming >= TASK_EXPIRED)
        return t->coming;
    if (TASK_HAS_ENDED(t->state) && t->state < TASK_EXPIRED && now_wall_ns >= time_add(t->ended_wall_ns, keep_ns))
        return TASK_EXPIRED;
    return t->state;
}

void task_save(struct task *t)
{
    if (t->row.is_saving) {
        t->row.again = true;
        return;
    }
    t->row.is_saving = true;
    task_acquire(t);
    mailbox_post(t->jobs->mailbox, &t->row.saving);
}

void task_become(struct task *t, enum task_state state, struct task_answer *answer)
{
    if (state == TASK_RUNNING) {
        if (t->state != TASK_QUEUED || t->has_coming)
            return;
        t->state = TASK_RUNNING;
        t->was_sent = !t->may_repeat;
        if (t->was_sent)
            task_save(t);
        task_tell(t);
        return;
    }
    if (t->has_coming || t->state == TASK_GONE) {
        task_answer_free(answer);
        return;
    }
    if (TASK_HAS_ENDED(state) && !TASK_HAS_ENDED(t->state)) {
        t->ended_wall_ns = clock_wall_ns();
        t->answer = answer;
    }
    t->coming = state;
    t->has_coming = true;
    task_save(t);
}

void task_settle(struct task *t)
{
    struct jobs *jobs = t->jobs;
    const bool   ended_now = !TASK_HAS_ENDED(t->state) && TASK_HAS_ENDED(t->coming) && t->coming < TASK_EXPIRED;

    if (!counts(t->coming))
        count_out(t);
    t->state = t->coming;
    t->has_coming = false;
    if (TASK_HAS_ENDED(t->state))
        give_slot_back(t);
    if (t->state == TASK_GONE) {
        task_drop(t);
    } else if (t->state == TASK_EXPIRED) {
        forget_key(t);
        give_bytes_back(t);
    }
    task_tell(t);
    if (ended_now)
        counter_add(t->state == TASK_DONE     ? COUNTER_JOBS_DONE
                    : t->state == TASK_FAILED ? COUNTER_JOBS_FAILED
                                              : COUNTER_JOBS_CANCELLED,
                    1);
    if (ended_now)
        for (struct task_watch *w = LIST_FIRST(&jobs->watches); w != NULL; w = LIST_NEXT(w, entry))
            if (w->armed) {
                w->armed = false;
                mailbox_post(w->mailbox, &w->mail);
            }
}

/* -- how long it will wait still -- */

enum { FRESH_MS = 100 };

bool task_outlook_is_fresh(struct task *t, int64_t since_mono_ns)
{
    struct task_outlook *o = &t->outlook;

    if (t->state != TASK_QUEUED || t->is_batch || t->look == NULL || !o->is_known || o->of_mono_ns >= since_mono_ns ||
        clock_mono_ns() - o->of_mono_ns < FRESH_MS * NS_PER_MS)
        return true;
    if (!o->is_asked) {
        o->is_asked = true;
        mailbox_post(t->carried_out_at, t->look);
    }
    return false;
}

/* -- who waits -- */

void task_tell(struct task *t)
{
    struct task_watch *w;

    LIST_FOREACH (w, &t->watches, entry)
        if (w->armed) {
            w->armed = false;
            mailbox_post(w->mailbox, &w->mail);
        }
}

void task_watch(struct task *t, struct task_watch *w)
{
    w->armed = true;
    LIST_INSERT_HEAD(&t->watches, w, entry);
}

void jobs_watch(struct jobs *jobs, struct task_watch *w)
{
    w->armed = true;
    LIST_INSERT_HEAD(&jobs->watches, w, entry);
}

void task_unwatch(struct task_watch *w)
{
    w->armed = false;
    LIST_TAKE(w, entry);
}

/* -- bodies -- */

void task_file_name(const struct task *t, bool is_result, char out[TASK_FILE_BYTES])
{
    snprintf(out, TASK_FILE_BYTES, "%s.%s", t->id, is_result ? "result" : "request");
}

ssize_t task_body_read(const struct task_body *b, int fd, int64_t at, char *out, size_t count)
{
    if (b->text.ptr != NULL) {
        struct slice part = slice_sub(b->text, (size_t)at, (size_t)at + count);

        memcpy(out, part.ptr, part.len);
        return (ssize_t)part.len;
    }
    if (fd >= 0)
        return pread(fd, out, count, at);
    return b->spool != NULL ? spool_peek(b->spool, at, out, count) : -1;
}
