/*
 * The table: a few places for each hash, and beside it the hashes of heads that
 * came lately, so that what comes once is not prepared for a second time.
 *
 * The head is compared whole; the hash only finds it.
 */
#include "front/mhd/kept.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/decimal.h"
#include "front/mhd/tricks.h"

#include <xxhash.h>

#include <stdlib.h>

enum {
    PLACES = 16384,
    WAYS = 4, /* places of a hash */
    SEEN = 32768,
    BYTES_MOST = 32 * 1024 * 1024,
    IDLE_SWEEPS = 10,
    BODY_MOST = 64 * 1024, /* in memory; a file's is not */
    FILES_MOST = 64,       /* descriptors */
    FIXED_BYTES = 2048,    /* response object, fields, log line: about */
    HEAD_MOST = 4096
};

#define KEPT_WITHIN (100 * NS_PER_MS)

struct kept_seen {
    uint32_t tag, at_ms;
};

struct kept_table {
    struct kept     *places[PLACES];
    struct kept_seen seen[SEEN];
    unsigned         count, files;
    size_t           bytes;
    unsigned         hand; /* where room is looked for */
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

/* -- what changes with the second -- */

static struct kept_number number_at(const char *text)
{
    struct kept_number n = { (char *)(uintptr_t)text, 0, 0 };

    for (; text[n.count] >= '0' && text[n.count] <= '9'; n.count++)
        n.said = n.said * 10 + (uint64_t)(text[n.count] - '0');
    return n;
}

/* In MHD's own copies of the values, which are the table's to change as long as no other thread has the response. */
static bool find_numbers(struct kept *k)
{
    const char  *age = MHD_get_response_header(k->response, "Age");
    const char  *status = MHD_get_response_header(k->response, "Cache-Status");
    const size_t at = repeat_ttl_offset(k->repeat);

    if (!trick(TRICK_KEPT) || age == NULL || status == NULL || (at != SIZE_MAX && at > strlen(status)))
        return false;
    k->age = number_at(age);
    if (at != SIZE_MAX)
        k->ttl = number_at(status + at);
    return true;
}

/* False where it has more digits, or fewer. */
static bool say(struct kept_number *n, uint64_t number)
{
    char         digits[DECIMAL_BYTES];
    struct slice text;

    if (n->said == number)
        return true;
    text = decimal(number, digits);
    if (text.len != n->count)
        return false;
    memcpy(n->digits, text.ptr, text.len);
    n->said = number;
    return true;
}

static bool say_time(struct kept *k, int64_t now_wall_ns)
{
    const struct repeat_time t = repeat_time(k->repeat, now_wall_ns);

    return say(&k->age, t.age_s) && (t.ttl_s == UINT64_MAX || say(&k->ttl, t.ttl_s));
}

/* -- the table -- */

static struct kept **places_of(struct kept_table *t, uint64_t hash)
{
    return &t->places[hash % (PLACES / WAYS) * WAYS];
}

static void vacate(struct kept_table *t, struct kept **place)
{
    struct kept *k = *place;

    if (k == NULL)
        return;
    *place = NULL;
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
        vacate(t, &t->places[i]);
    free(t);
}

struct kept_head kept_head(struct slice target, struct slice rest)
{
    const uint64_t seed = XXH3_64bits(target.ptr, target.len);

    return (struct kept_head){ target, rest, XXH3_64bits_withSeed(rest.ptr, rest.len, seed) };
}

static bool is_same(const struct kept *k, const struct kept_head *h)
{
    return k->hash == h->hash && k->head_bytes == h->target.len + 1 + h->rest.len &&
           memcmp(k->head, h->target.ptr, h->target.len) == 0 && k->head[h->target.len] == '\0' &&
           memcmp(k->head + h->target.len + 1, h->rest.ptr, h->rest.len) == 0;
}

struct kept *kept_find(struct kept_table *t, const struct kept_head *h, struct engine *e, int64_t now_wall_ns)
{
    struct kept **place = places_of(t, h->hash), **end = place + WAYS;

    while (place < end && (*place == NULL || !is_same(*place, h)))
        place++;
    if (place == end)
        return NULL;
    if (repeat_holds((*place)->repeat, e, now_wall_ns) && say_time(*place, now_wall_ns)) {
        (*place)->idle_sweeps = 0;
        return *place;
    }
    vacate(t, place);
    return NULL;
}

/* Has it come so lately that its reply is worth keeping?  Notes that it came. */
static bool comes_often(struct kept_table *t, const struct kept_head *h, int64_t now_ns)
{
    struct kept_seen *s = &t->seen[(h->hash >> 32) % SEEN];
    const uint32_t    tag = (uint32_t)h->hash, now_ms = (uint32_t)(now_ns / NS_PER_MS);
    const bool        lately = s->tag == tag && now_ms - s->at_ms <= KEPT_WITHIN / NS_PER_MS;

    *s = (struct kept_seen){ tag, now_ms };
    return lately && h->target.len + h->rest.len <= HEAD_MOST;
}

static void make_room(struct kept_table *t, size_t bytes, bool is_file)
{
    for (unsigned i = 0; i < PLACES && (t->bytes + bytes > BYTES_MOST || t->files + is_file > FILES_MOST); i++)
        vacate(t, &t->places[t->hand++ % PLACES]);
}

/* A place that is empty, or else the one that was not asked for the longest, each in its turn. */
static struct kept **choose_place(struct kept_table *t, uint64_t hash)
{
    struct kept **places = places_of(t, hash), **chosen = &places[t->hand++ % WAYS];

    for (unsigned i = 0; i < WAYS && *chosen != NULL; i++)
        if (places[i] == NULL || places[i]->idle_sweeps > (*chosen)->idle_sweeps)
            chosen = &places[i];
    return chosen;
}

static void put(struct kept_table *t, struct kept *k)
{
    struct kept **place;

    make_room(t, k->cost_bytes, k->is_file);
    place = choose_place(t, k->hash);
    vacate(t, place);
    *place = k;
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

    if ((reply->kind == REPLY_BYTES && reply->length > BODY_MOST) || !comes_often(t, h, now_ns) ||
        (repeat = repeat_of(x)) == NULL)
        return false;
    k = mem_alloc(sizeof *k);
    k->repeat = repeat;
    k->response = response;
    if (!find_numbers(k)) {
        repeat_free(repeat);
        free(k);
        return false;
    }
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
    for (unsigned i = 0; i < PLACES && t->count > 0; i++) {
        struct kept *k = t->places[i];

        if (k != NULL && (k->idle_sweeps++ >= IDLE_SWEEPS || !repeat_holds(k->repeat, e, now_wall_ns)))
            vacate(t, &t->places[i]);
    }
    return t->count > 0;
}
