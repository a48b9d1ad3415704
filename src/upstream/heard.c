/*
 * What the API said last of its limits, by credential: a hit carries that, counted down,
 * and not what stood beside the stored answer when it came (a stored rate-limit
 * field is never replayed).
 *
 * The upstream thread writes at each head that has such fields, workers read
 * at each hit of an upstream that ever sent any; a table under one lock, in which a
 * place goes to whoever came last.
 */
#include "upstream/internal.h"

#include "budget/fade.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { PLACES = 1024, TEXT_BYTES = 2048 };

struct heard_place {
    char               upstream[64];
    struct partition   account;
    int64_t            heard_ns; /* monotonic */
    unsigned           count;    /* of pieces; 0: empty */
    struct fade_piece *pieces;   /* and after them the texts that they speak of: one block */
};

struct heard {
    pthread_mutex_t    lock;
    _Atomic uint64_t   upstreams;      /* bits of the names of those that ever said something */
    _Atomic uint64_t   generation;     /* counts changes */
    struct heard_place places[PLACES]; /* under the lock */
};

static uint64_t hash_of(const char *upstream, const struct partition *account)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325), word; /* FNV-1a */

    for (const char *c = upstream; *c != '\0'; c++)
        h = (h ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    if (account == NULL)
        return h >> 32;
    memcpy(&word, account->bytes, sizeof word);
    return (h ^ word) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

static uint64_t bit_of(const char *upstream)
{
    return UINT64_C(1) << (hash_of(upstream, NULL) & 63);
}

struct heard *heard_open(void)
{
    struct heard *h = mem_alloc(sizeof *h);

    pthread_mutex_init(&h->lock, NULL);
    return h;
}

void heard_close(struct heard *h)
{
    if (h == NULL)
        return;
    for (unsigned i = 0; i < PLACES; i++)
        free(h->places[i].pieces);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static bool is_of(const struct heard_place *p, const char *upstream, const struct partition *account)
{
    return p->count > 0 && strcmp(p->upstream, upstream) == 0 && memcmp(&p->account, account, sizeof *account) == 0;
}

static struct slice keep_text(struct slice s, char **end)
{
    struct slice kept = { *end, s.len };

    if (s.len > 0)
        memcpy(*end, s.ptr, s.len);
    *end += s.len;
    return kept;
}

/* One block of all; NULL: there are none, or too many to be kept. */
static struct fade_piece *keep_pieces(const struct fade_piece *pieces, unsigned count)
{
    struct fade_piece *kept;
    size_t             bytes = 0;
    char              *end;

    for (unsigned i = 0; i < count; i++)
        bytes += pieces[i].name.len + pieces[i].before.len + pieces[i].after.len;
    if (count == 0 || count > FADE_MOST || bytes > TEXT_BYTES)
        return NULL;
    kept = mem_alloc(count * sizeof *kept + bytes + 1);
    memcpy(kept, pieces, count * sizeof *kept);
    end = (char *)(kept + count);
    for (unsigned i = 0; i < count; i++) {
        kept[i].name = keep_text(pieces[i].name, &end);
        kept[i].before = keep_text(pieces[i].before, &end);
        kept[i].after = keep_text(pieces[i].after, &end);
    }
    return kept;
}

bool heard_note(struct heard *h, const struct fetch *f, const struct http_response *head)
{
    struct heard_place *p = &h->places[hash_of(f->upstream->name, &f->caller.account) % PLACES];
    struct arena        arena = { 0 };
    struct fade_piece  *pieces, *kept;
    unsigned            count = fade_read(head, f->policy->own_limits, clock_wall_ns(), &arena, &pieces);

    kept = keep_pieces(pieces, count);
    arena_free(&arena);
    if (kept == NULL)
        return false;
    pthread_mutex_lock(&h->lock);
    snprintf(p->upstream, sizeof p->upstream, "%s", f->upstream->name);
    p->account = f->caller.account;
    p->heard_ns = clock_mono_ns();
    free(p->pieces);
    p->pieces = kept;
    p->count = count;
    pthread_mutex_unlock(&h->lock);
    atomic_fetch_add(&h->generation, 1);
    atomic_fetch_or(&h->upstreams, bit_of(f->upstream->name));
    return true;
}

void heard_forget(struct heard *h, const char *upstream)
{
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < PLACES; i++)
        if (strcmp(h->places[i].upstream, upstream) == 0)
            h->places[i].count = 0;
    atomic_fetch_add(&h->generation, 1);
    pthread_mutex_unlock(&h->lock);
}

uint64_t upstream_heard_generation(const struct upstream *up)
{
    return atomic_load(&up->heard->generation);
}

bool upstream_has_heard(const struct upstream *up, const char *upstream)
{
    uint64_t seen = atomic_load_explicit(&up->heard->upstreams, memory_order_relaxed);

    return seen != 0 && (seen & bit_of(upstream)) != 0;
}

int64_t upstream_heard(struct upstream *up, const char *upstream, const struct partition *account, struct arena *a,
                       struct http_fields *f)
{
    struct heard       *h = up->heard;
    struct heard_place *p = &h->places[hash_of(upstream, account) % PLACES];
    int64_t             stays_ns = INT64_MAX;

    pthread_mutex_lock(&h->lock);
    if (is_of(p, upstream, account))
        stays_ns = fade_write(p->pieces, p->count, clock_mono_ns() - p->heard_ns, a, f);
    pthread_mutex_unlock(&h->lock);
    return stays_ns;
}
