/*
 * See runs.h.  All hashes are compared each time, each in constant time: how long an answer takes tells nothing of what
 * stands there.
 */
#include "engine/runs.h"

#include "base/arena.h"
#include "base/list.h"
#include "base/ref.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

enum { SECRET_BYTES = 24, HASH_BYTES = 32 };
#define PREFIX "weir-run-"

struct own_run {
    struct ref          ref;
    uint8_t             hash[HASH_BYTES];
    enum upstream_mode  mode;
    int64_t             uid;
    char               *as;   /* NULL: none */
    struct tape        *tape; /* a reference; NULL: none */
    _Atomic bool        over;
    _Atomic uint64_t    requests, refused, astray;
    LIST_ENTRY(own_run) entry; /* of the table, under its lock */
};

struct runs {
    pthread_mutex_t lock; /* of the list */
    LIST_HEAD(, own_run) list;
    _Atomic unsigned count; /* changed under the lock */
};

struct runs *runs_open(void)
{
    struct runs *t = mem_alloc(sizeof *t);

    pthread_mutex_init(&t->lock, NULL);
    LIST_INIT(&t->list);
    return t;
}

void runs_close(struct runs *t)
{
    if (t == NULL)
        return;
    while (!LIST_EMPTY(&t->list))
        runs_end(t, LIST_FIRST(&t->list));
    pthread_mutex_destroy(&t->lock);
    free(t);
}

bool runs_any(const struct runs *t)
{
    return t != NULL && atomic_load_explicit(&t->count, memory_order_relaxed) > 0;
}

bool runs_is_token(struct slice user)
{
    return slice_starts_with(user, SLICE(PREFIX));
}

struct slice runs_name(struct slice user)
{
    return runs_is_token(user) ? SLICE_NONE : user;
}

static void destroy(struct ref *ref)
{
    struct own_run *r = CONTAINER_OF(ref, struct own_run, ref);

    tape_release(r->tape);
    free(r->as);
    free(r);
}

static void hash_token(uint8_t out[HASH_BYTES], struct slice token)
{
    crypto_generichash(out, HASH_BYTES, (const unsigned char *)token.ptr, token.len, NULL, 0);
}

/* getrandom(2), by way of libsodium. */
static void make_token(char out[RUN_TOKEN_BYTES])
{
    uint8_t secret[SECRET_BYTES];
    size_t  begin = sizeof PREFIX - 1;

    randombytes_buf(secret, sizeof secret);
    memcpy(out, PREFIX, begin);
    sodium_bin2base64(out + begin, RUN_TOKEN_BYTES - begin, secret, sizeof secret,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(secret, sizeof secret);
}

static unsigned count_of(const struct runs *t, int64_t uid)
{
    const struct own_run *r;
    unsigned              count = 0;

    LIST_FOREACH (r, &t->list, entry)
        count += r->uid == uid;
    return count;
}

struct own_run *runs_begin(struct runs *t, enum upstream_mode mode, int64_t uid, struct slice as, struct tape *tape,
                           char token[RUN_TOKEN_BYTES])
{
    struct own_run *r = NULL;

    make_token(token);
    pthread_mutex_lock(&t->lock);
    if (t->count < RUNS_MOST && count_of(t, uid) < RUNS_OF_USER) {
        r = mem_alloc(sizeof *r);
        ref_init(&r->ref, destroy);
        ref_acquire(&r->ref);
        r->mode = mode;
        r->uid = uid;
        r->as = as.ptr != NULL ? mem_copy(as) : NULL;
        r->tape = tape;
        hash_token(r->hash, slice_of(token));
        LIST_INSERT_HEAD(&t->list, r, entry);
        t->count++;
    }
    pthread_mutex_unlock(&t->lock);
    return r;
}

bool runs_end(struct runs *t, struct own_run *r)
{
    bool was_there;

    pthread_mutex_lock(&t->lock);
    was_there = !r->over;
    if (was_there) {
        LIST_REMOVE(r, entry);
        t->count--;
        r->over = true;
    }
    pthread_mutex_unlock(&t->lock);
    if (was_there)
        run_release(r);
    return was_there;
}

void run_release(struct own_run *r)
{
    if (r != NULL)
        ref_release(&r->ref);
}

void run_acquire(struct own_run *r)
{
    ref_acquire(&r->ref);
}

struct own_run *runs_find(struct runs *t, struct slice token, int64_t uid)
{
    uint8_t         hash[HASH_BYTES];
    struct own_run *r, *found = NULL;

    hash_token(hash, token);
    pthread_mutex_lock(&t->lock);
    LIST_FOREACH (r, &t->list, entry)
        if (sodium_memcmp(r->hash, hash, HASH_BYTES) == 0 && r->uid == uid && uid >= 0)
            found = r;
    if (found != NULL)
        ref_acquire(&found->ref);
    pthread_mutex_unlock(&t->lock);
    return found;
}

void runs_note_astray(struct runs *t, int64_t uid)
{
    struct own_run *r;

    pthread_mutex_lock(&t->lock);
    LIST_FOREACH (r, &t->list, entry)
        if (r->uid == uid)
            atomic_fetch_add_explicit(&r->astray, 1, memory_order_relaxed);
    pthread_mutex_unlock(&t->lock);
}

struct tape *run_tape(const struct own_run *r)
{
    return r->tape;
}

enum upstream_mode run_mode(const struct own_run *r)
{
    return r->mode;
}

struct slice run_as(const struct own_run *r)
{
    return r->as != NULL ? slice_of(r->as) : SLICE_NONE;
}

bool run_is_over(const struct own_run *r)
{
    return r->over;
}

void run_note_request(struct own_run *r)
{
    atomic_fetch_add_explicit(&r->requests, 1, memory_order_relaxed);
}

void run_note_refused(struct own_run *r)
{
    atomic_fetch_add_explicit(&r->refused, 1, memory_order_relaxed);
}

struct run_counts run_counts(const struct own_run *r)
{
    return (struct run_counts){ .requests = r->requests, .refused = r->refused, .astray = r->astray };
}
