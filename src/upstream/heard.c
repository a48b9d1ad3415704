/*
 * What the API said last of its limits, by credential: a hit carries that, and
 * not what stood beside the stored answer when it came (a stored rate-limit
 * field is never replayed).
 *
 * The upstream thread writes at each head that has such fields, workers read
 * at each hit of an upstream that ever sent any; a table under one lock, in which a
 * place goes to whoever came last.
 */
#include "upstream/inside.h"

#include <pthread.h>
#include <stdlib.h>

enum { PLACES = 1024, TEXT_BYTES = 2048 };

struct place {
    char             upstream[64];
    struct partition account;
    unsigned         bytes;           /* of `text`: "name\0value\0" again and again; 0: empty */
    char            *text;
};

struct heard {
    pthread_mutex_t  lock;
    _Atomic uint64_t upstreams;       /* bits of the names of those that ever said something */
    _Atomic uint64_t generation;      /* counts changes */
    struct place     places[PLACES];  /* under the lock */
};

static uint64_t hash_of(const char *upstream, const struct partition *account)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325), word;        /* FNV-1a */

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
        free(h->places[i].text);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static bool is_of(const struct place *p, const char *upstream, const struct partition *account)
{
    return p->bytes > 0 && strcmp(p->upstream, upstream) == 0
        && memcmp(&p->account, account, sizeof *account) == 0;
}

/* The number of bytes in `text`; 0: there are none, or too many to be kept. */
static unsigned write_fields(const struct http_fields *f, char *text)
{
    size_t used = 0;

    for (unsigned i = 0; i < f->count; i++) {
        const struct http_field *field = &f->items[i];

        if (!policy_is_rate_limit_field(field))
            continue;
        if (used + field->name.len + field->value.len + 2 > TEXT_BYTES)
            return 0;
        memcpy(text + used, field->name.ptr, field->name.len);
        text[used += field->name.len] = '\0';
        used++;
        if (field->value.len > 0)
            memcpy(text + used, field->value.ptr, field->value.len);
        text[used += field->value.len] = '\0';
        used++;
    }
    return (unsigned)used;
}

void heard_note(struct heard *h, const struct fetch *f, const struct http_fields *fields)
{
    struct place *p = &h->places[hash_of(f->upstream->name, &f->account) % PLACES];
    char          text[TEXT_BYTES];
    unsigned      bytes = write_fields(fields, text);

    if (bytes == 0)
        return;
    pthread_mutex_lock(&h->lock);
    if (!is_of(p, f->upstream->name, &f->account) || p->bytes != bytes || memcmp(p->text, text, bytes) != 0) {
        snprintf(p->upstream, sizeof p->upstream, "%s", f->upstream->name);
        p->account = f->account;
        free(p->text);
        p->text = mem_alloc(bytes);
        memcpy(p->text, text, bytes);
        p->bytes = bytes;
        atomic_fetch_add(&h->generation, 1);
    }
    pthread_mutex_unlock(&h->lock);
    atomic_fetch_or(&h->upstreams, bit_of(f->upstream->name));
}

void heard_forget(struct heard *h, const char *upstream)
{
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < PLACES; i++)
        if (strcmp(h->places[i].upstream, upstream) == 0)
            h->places[i].bytes = 0;
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

void upstream_heard(struct upstream *up, const char *upstream, const struct partition *account, struct arena *a,
                    struct http_fields *f)
{
    struct heard *h = up->heard;
    struct place *p = &h->places[hash_of(upstream, account) % PLACES];
    struct slice  text = SLICE("");

    pthread_mutex_lock(&h->lock);
    if (is_of(p, upstream, account))
        text = arena_copy(a, (struct slice){ p->text, p->bytes });
    pthread_mutex_unlock(&h->lock);
    while (text.len > 0) {
        struct slice name = slice_of(text.ptr), value = slice_of(text.ptr + name.len + 1);

        http_fields_add(f, a, name, value);
        text = slice_sub(text, name.len + value.len + 2, text.len);
    }
}
