/*
 * The table: one place for each hash, and beside it the hashes of heads that
 * came lately, so that what comes once is not prepared for a second time.
 *
 * The head is compared whole; the hash only finds it.
 */
#include "front/kept.h"

#include "base/arena.h"
#include "base/clock.h"

#include <xxhash.h>

#include <stdlib.h>

enum {
    PLACES      = 2048,
    SEEN        = 8192,
    BYTES_MOST  = 8 * 1024 * 1024,
    BODY_MOST   = 64 * 1024,          /* in memory; a file's is not */
    FILES_MOST  = 64,                 /* descriptors */
    FIXED_BYTES = 2048,               /* response object, fields, log line: about */
    HEAD_MOST   = 4096
};

#define KEPT_WITHIN (100 * NS_PER_MS)

struct seen { uint32_t tag, at_ms; };

struct kept_table {
    struct kept *places[PLACES];
    struct seen  seen[SEEN];
    unsigned     count, files;
    size_t       bytes;
    unsigned     hand;                /* where room is looked for */
};

struct kept_table *kept_open(void)
{
    return mem_alloc(sizeof(struct kept_table));
}

void kept_use(struct kept *k)
{
    k->users++;
}

void kept_release(struct kept *k)
{
    if (--k->users > 0)
        return;
    MHD_destroy_response(k->response);
    repeat_free(k->repeat);
    free(k->head);
    free(k);
}

static void vacate(struct kept_table *t, unsigned at)
{
    struct kept *k = t->places[at];

    if (k == NULL)
        return;
    t->places[at] = NULL;
    t->count--;
    t->bytes -= k->cost_bytes;
    t->files -= k->is_file;
    kept_release(k);
}

void kept_close(struct kept_table *t)
{
    if (t == NULL)
        return;
    for (unsigned i = 0; i < PLACES; i++)
        vacate(t, i);
    free(t);
}

struct kept_head kept_head(struct slice target, struct slice rest)
{
    const uint64_t seed = XXH3_64bits(target.ptr, target.len);

    return (struct kept_head){ target, rest, XXH3_64bits_withSeed(rest.ptr, rest.len, seed) };
}

static bool is_same(const struct kept *k, const struct kept_head *h)
{
    return k->hash == h->hash && k->head_bytes == h->target.len + 1 + h->rest.len
        && memcmp(k->head, h->target.ptr, h->target.len) == 0 && k->head[h->target.len] == '\0'
        && memcmp(k->head + h->target.len + 1, h->rest.ptr, h->rest.len) == 0;
}

struct kept *kept_find(struct kept_table *t, const struct kept_head *h, struct engine *e, int64_t now_wall_ns)
{
    const unsigned at = h->hash % PLACES;
    struct kept   *k = t->places[at];

    if (k == NULL || !is_same(k, h))
        return NULL;
    if (repeat_holds(k->repeat, e, now_wall_ns))
        return k;
    vacate(t, at);
    return NULL;
}

/* Has it come so lately that its reply is worth keeping?  Notes that it came. */
static bool comes_often(struct kept_table *t, const struct kept_head *h, int64_t now_ns)
{
    struct seen   *s = &t->seen[(h->hash >> 32) % SEEN];
    const uint32_t tag = (uint32_t)h->hash, now_ms = (uint32_t)(now_ns / NS_PER_MS);
    const bool     lately = s->tag == tag && now_ms - s->at_ms <= KEPT_WITHIN / NS_PER_MS;

    *s = (struct seen){ tag, now_ms };
    return lately && h->target.len + h->rest.len <= HEAD_MOST;
}

static void make_room(struct kept_table *t, size_t bytes, bool is_file)
{
    for (unsigned i = 0; i < PLACES && (t->bytes + bytes > BYTES_MOST || t->files + is_file > FILES_MOST); i++)
        vacate(t, t->hand++ % PLACES);
}

static void put(struct kept_table *t, struct kept *k)
{
    const unsigned at = k->hash % PLACES;

    vacate(t, at);
    make_room(t, k->cost_bytes, k->is_file);
    t->places[at] = k;
    t->count++;
    t->bytes += k->cost_bytes;
    t->files += k->is_file;
}

bool kept_offer(struct kept_table *t, const struct kept_head *h, const struct exchange *x,
                struct MHD_Response *response, int64_t now_ns)
{
    const struct reply *reply = exchange_reply(x);
    struct repeat      *repeat;
    struct kept        *k;

    if ((reply->kind == REPLY_BYTES && reply->length > BODY_MOST) || !comes_often(t, h, now_ns)
        || (repeat = repeat_of(x)) == NULL)
        return false;
    k = mem_alloc(sizeof *k);
    k->repeat = repeat;
    k->response = response;
    k->status = reply->status;
    k->body_bytes = reply->kind == REPLY_EMPTY ? 0 : reply->length;
    k->users = 1;
    k->hash = h->hash;
    k->is_file = reply->kind == REPLY_FILE;
    k->head_bytes = h->target.len + 1 + h->rest.len;
    k->head = mem_alloc(k->head_bytes);
    memcpy(k->head, h->target.ptr, h->target.len);
    memcpy(k->head + h->target.len + 1, h->rest.ptr, h->rest.len);
    k->cost_bytes = FIXED_BYTES + k->head_bytes + (k->is_file ? 0 : (size_t)k->body_bytes);
    put(t, k);
    return true;
}

bool kept_sweep(struct kept_table *t, struct engine *e, int64_t now_wall_ns)
{
    for (unsigned i = 0; i < PLACES && t->count > 0; i++)
        if (t->places[i] != NULL && !repeat_holds(t->places[i]->repeat, e, now_wall_ns))
            vacate(t, i);
    return t->count > 0;
}
