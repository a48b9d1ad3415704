/*
 * What was announced and is not committed yet: look-ups see it as it will be.
 *
 * A small table by hash.  Whoever looks up takes a copy of what stands there under his key
 * (an overlay) before he begins to read the database: a change leaves this table after
 * its commit, so it is in one of the two at any time, or in both.  A look-up that finds
 * `store->attention` zero comes nowhere near: that is every hit of a quiet store.
 *
 * The table is no base/table.h: its size stands, so that a look-up reads one count without the lock; its chains keep
 * the order of announcement.
 *
 * Any thread; the lock is held for the copying of heads, never for bodies.
 */
#include "store/internal.h"

#include "base/check.h"

#include <fcntl.h>

struct announced { /* a copy, in the reader's arena */
    enum store_change_kind kind;
    uint64_t               base;    /* the change's `id` */
    bool                   founded; /* a PUT: what it was made of stands, or it was made of nothing */
    struct store_record    record;  /* of a FRESHEN: id, variant, fields and times; of an INVALIDATE: id */
    struct spool          *body;    /* a reference, until the copy is made */
};

struct overlay {
    struct announced *items;
    unsigned          count;
};

static unsigned bucket_of(const uint8_t hash[STORE_HASH_BYTES])
{
    return (hash[0] | (unsigned)hash[1] << 8) % UNCOMMITTED_BUCKETS;
}

static bool is_seen(enum store_change_kind kind)
{
    return kind == STORE_PUT || kind == STORE_FRESHEN || kind == STORE_INVALIDATE;
}

/* -- in and out -- */

static void add(struct store *s, struct store_change *c)
{
    struct uncommitted   *u = &s->uncommitted;
    unsigned              at = bucket_of(c->hash);
    struct store_change **end = &u->buckets[at];

    c->next_announced = NULL;
    pthread_mutex_lock(&u->lock);
    while (*end != NULL)
        end = &(*end)->next_announced;
    *end = c;
    atomic_fetch_add(&u->counts[at], 1);
    atomic_fetch_add(&s->attention, 1);
    pthread_mutex_unlock(&u->lock);
}

void store_announce(struct store *s, struct store_change *c)
{
    if (s == NULL)
        return;
    c->number = store_new_id(s);
    if (!is_seen(c->kind))
        return;
    c->announced = true;
    if (c->labels.len > 0 && record_label_is_of_search(c->labels.ptr))
        atomic_store_explicit(&s->varies_by_search, true, memory_order_relaxed);
    add(s, c);
    if (!c->is_first)
        atomic_fetch_add_explicit(&s->generation, 1, memory_order_release);
}

static void take_out(struct store *s, struct store_change *c, bool made)
{
    struct uncommitted   *u = &s->uncommitted;
    unsigned              at = bucket_of(c->hash);
    struct store_change **link = &u->buckets[at];

    pthread_mutex_lock(&u->lock);
    while (*link != c)
        link = &(*link)->next_announced;
    *link = c->next_announced;
    atomic_fetch_sub(&u->counts[at], 1);
    atomic_fetch_sub(&s->attention, 1);
    pthread_mutex_unlock(&u->lock);
    c->announced = false;
    if (!made) /* replies that were made of it are kept no longer */
        atomic_fetch_add_explicit(&s->generation, 1, memory_order_release);
}

void store_withdraw(struct store *s, struct store_change *c)
{
    if (!c->announced || c->submitted)
        return;
    take_out(s, c, false);
}

void store_answer(struct store *s, struct store_change *c, bool ok)
{
    c->ok = ok;
    if (!ok)
        c->changed = c->new_id = 0;
    if (c->announced)
        take_out(s, c, c->changed > 0);
    c->submitted = false;
    mailbox_post(c->reply_to, &c->done);
}

bool store_is_changing(const struct store *s, const uint8_t hash[STORE_HASH_BYTES])
{
    return s != NULL && atomic_load_explicit(&s->uncommitted.counts[bucket_of(hash)], memory_order_acquire) != 0;
}

/* -- the copy -- */

static bool is_about(const struct store_change *c, const uint8_t hash[STORE_HASH_BYTES], struct slice full_key)
{
    return memcmp(c->hash, hash, STORE_HASH_BYTES) == 0 &&
           (c->kind == STORE_INVALIDATE || slice_eq(c->full_key, full_key)) &&
           (c->kind != STORE_PUT || c->body == NULL || spool_length(c->body) >= c->body_bytes);
}

static void copy(struct announced *a, const struct store_change *c, struct arena *arena)
{
    *a = (struct announced){
        .kind = c->kind,
        .base = c->id,
        .founded = c->id == 0,
        .record = { .status = c->status,
                    .requested_wall_ns = c->requested_wall_ns,
                    .received_wall_ns = c->received_wall_ns,
                    .had_credential = c->had_credential,
                    .masked = c->masked,
                    .id = c->number },
    };
    memcpy(a->record.hash, c->hash, STORE_HASH_BYTES);
    memcpy(a->record.variant, c->variant, STORE_HASH_BYTES);
    if (c->kind == STORE_INVALIDATE)
        return;
    a->record.encoded_fields = record_encode_fields(&c->fields, arena);
    if (c->kind == STORE_FRESHEN)
        return;
    a->record.full_key = arena_copy(arena, c->full_key);
    a->record.selection = arena_copy(arena, c->selection);
    a->record.upstream = arena_copy(arena, slice_of(c->upstream));
    a->record.body = SLICE("");
    if (c->body == NULL)
        return;
    a->record.body_bytes = c->body_bytes;
    if (c->body_bytes > SPOOL_MEMORY_BYTES) { /* it has a file: uncommitted_body() */
        a->record.body_file = c->number;
        a->record.body = SLICE_NONE;
        return;
    }
    a->body = c->body;
    spool_acquire(a->body);
}

/* False where its bytes are gone: as if it had not been there. */
static bool fetch_body(struct announced *a, struct arena *arena)
{
    struct store_record *r = &a->record;
    bool                 there;
    char                *bytes;

    if (a->body == NULL)
        return true;
    bytes = arena_alloc_raw(arena, (size_t)r->body_bytes + 1);
    there = spool_peek(a->body, 0, bytes, (size_t)r->body_bytes) == r->body_bytes;
    r->body = (struct slice){ bytes, (size_t)r->body_bytes };
    spool_release(a->body);
    a->body = NULL;
    return there;
}

struct overlay *overlay_take(struct store_reader *r, const uint8_t hash[STORE_HASH_BYTES], struct slice full_key)
{
    struct uncommitted        *u = &r->store->uncommitted;
    const struct store_change *first, *c;
    struct overlay            *o;
    unsigned                   count = 0, kept = 0;

    if (!store_is_changing(r->store, hash))
        return NULL;
    arena_reset(&r->arena);
    o = arena_alloc(&r->arena, sizeof *o);
    pthread_mutex_lock(&u->lock);
    first = u->buckets[bucket_of(hash)];
    for (c = first; c != NULL; c = c->next_announced)
        count += is_about(c, hash, full_key);
    o->items = arena_alloc(&r->arena, (count + 1) * sizeof *o->items);
    for (c = first; c != NULL && o->count < count; c = c->next_announced)
        if (is_about(c, hash, full_key))
            copy(&o->items[o->count++], c, &r->arena);
    pthread_mutex_unlock(&u->lock);
    for (unsigned i = 0; i < o->count; i++)
        if (fetch_body(&o->items[i], &r->arena) &&
            (o->items[i].kind == STORE_INVALIDATE || o->items[i].record.encoded_fields.ptr != NULL))
            o->items[kept++] = o->items[i];
    o->count = kept;
    return kept > 0 ? o : NULL;
}

static bool is_put_of(const struct store_change *c, const uint8_t tag[STORE_HASH_BYTES])
{
    return c->kind == STORE_PUT && memcmp(c->tag, tag, STORE_HASH_BYTES) == 0;
}

/* Heads alone: their bodies are of no interest here. */
unsigned uncommitted_of_path(struct store_reader *r, const uint8_t tag[STORE_HASH_BYTES], unsigned most,
                             struct store_record **out)
{
    struct uncommitted *u = &r->store->uncommitted;
    unsigned            count = 0;

    arena_reset(&r->arena);
    *out = arena_alloc(&r->arena, (most + 1) * sizeof **out);
    for (unsigned at = 0; at < UNCOMMITTED_BUCKETS && count < most; at++) {
        if (atomic_load_explicit(&u->counts[at], memory_order_acquire) == 0)
            continue;
        pthread_mutex_lock(&u->lock);
        for (const struct store_change *c = u->buckets[at]; c != NULL && count < most; c = c->next_announced) {
            struct announced a;

            if (!is_put_of(c, tag))
                continue;
            copy(&a, c, &r->arena);
            spool_release(a.body);
            if (a.record.encoded_fields.ptr != NULL)
                (*out)[count++] = a.record;
        }
        pthread_mutex_unlock(&u->lock);
    }
    return count;
}

/* -- what it makes of a record -- */

static bool fold(const struct overlay *o, unsigned from, struct store_record *r)
{
    for (unsigned i = from; i < o->count; i++) {
        struct announced          *a = &o->items[i];
        const struct store_record *n = &a->record;
        bool                       bound = a->base != 0 || a->kind == STORE_FRESHEN;

        if (n->id <= r->id) /* committed meanwhile */
            continue;
        if (a->kind == STORE_INVALIDATE) {
            r->id = r->invalidated ? r->id : n->id; /* another version: no 304 speaks of it */
            r->invalidated = true;
            continue;
        }
        if (memcmp(n->variant, r->variant, STORE_HASH_BYTES) != 0 || (bound && a->base != r->id))
            continue;
        a->founded = true;
        if (a->kind == STORE_PUT)
            return false;
        r->encoded_fields = n->encoded_fields;
        r->masked = n->masked;
        r->requested_wall_ns = n->requested_wall_ns;
        r->received_wall_ns = n->received_wall_ns;
        r->invalidated = false;
        r->id = n->id;
    }
    return true;
}

bool overlay_apply(const struct overlay *o, struct store_record *r)
{
    return fold(o, 0, r);
}

bool overlay_next(const struct overlay *o, unsigned *i, struct store_record *out)
{
    while (*i < o->count) {
        const struct announced *a = &o->items[(*i)++];

        *out = a->record;
        if (a->kind == STORE_PUT && a->founded && fold(o, *i, out))
            return true;
    }
    return false;
}

int uncommitted_body(struct store *s, const struct store_record *r)
{
    struct uncommitted *u = &s->uncommitted;
    int                 fd = -1;

    if (!store_is_changing(s, r->hash))
        return -1;
    pthread_mutex_lock(&u->lock);
    for (const struct store_change *c = u->buckets[bucket_of(r->hash)]; c != NULL && fd < 0; c = c->next_announced)
        if (c->kind == STORE_PUT && c->number == r->body_file && c->body != NULL && spool_file(c->body) >= 0)
            fd = fcntl(spool_file(c->body), F_DUPFD_CLOEXEC, 0);
    pthread_mutex_unlock(&u->lock);
    return fd;
}
