/*
 * A CDN that ignores no-cache keeps what it has for `every`.  What is to be new is
 * asked for with a query parameter that makes it another URL there: the
 * smallest number that was not used for this URL within that time.  When each number
 * was used last stands in the state, so that a restart does not use one again.
 *
 * A row of the state is named by BUST_MARK and the hash of the URL, as the cache
 * key shows it: without credentials, and the same whoever asks.
 */
#include "upstream/internal.h"

#include "http/url.h"

#include <stdlib.h>

enum {
    VALUES_MOST = 256,
    ROWS_MOST = 4096 /* of URLs: a client can make up any number of them */
};

struct bust_row {
    LIST_ENTRY(bust_row) entry; /* of its bucket */
    uint8_t              hash[VARIANT_HASH_BYTES];
    int64_t              every_ns;
    unsigned             count;
    int64_t              used_ns[VALUES_MOST]; /* wall time; that of number 1 first */
};

struct bust_change {
    struct state_change change;
    struct upstream    *up;
    char                bytes[]; /* name, then value */
};

/* Fixed, as their number is bounded; a look-up tidies its own. */
static struct bust_bucket *bucket_of(struct upstream *up, const uint8_t *hash)
{
    return &up->busts[hash[0] % BUST_BUCKETS];
}

/* A time that lies ahead is of a clock that was set back since: whether it is over cannot be known. */
static bool is_over(const struct bust_row *r, unsigned i, int64_t now_ns)
{
    return r->used_ns[i] <= now_ns - r->every_ns;
}

static bool is_dead(const struct bust_row *r, int64_t now_ns)
{
    for (unsigned i = 0; i < r->count; i++)
        if (!is_over(r, i, now_ns))
            return false;
    return true;
}

/* -- the state -- */

static void receive_saved(struct mail *m)
{
    struct bust_change *c = CONTAINER_OF(m, struct bust_change, change.done);

    c->up->pending.saves--;
    free(c);
}

static void save(struct upstream *up, const struct bust_row *r, bool deleted)
{
    size_t              name_bytes = 1 + sizeof r->hash;
    size_t              value_bytes = deleted ? 0 : sizeof r->every_ns + r->count * sizeof r->used_ns[0];
    struct bust_change *c;

    if (up->state == NULL)
        return;
    c = mem_alloc(sizeof *c + name_bytes + value_bytes);
    c->bytes[0] = BUST_MARK;
    memcpy(c->bytes + 1, r->hash, sizeof r->hash);
    if (!deleted) {
        memcpy(c->bytes + name_bytes, &r->every_ns, sizeof r->every_ns);
        memcpy(c->bytes + name_bytes + sizeof r->every_ns, r->used_ns, r->count * sizeof r->used_ns[0]);
    }
    c->up = up;
    c->change.state = up->state;
    c->change.owner = &bust_rows;
    c->change.name = (struct slice){ c->bytes, name_bytes };
    c->change.value = deleted ? SLICE_NONE : (struct slice){ c->bytes + name_bytes, value_bytes };
    c->change.reply_to = up->mailbox;
    c->change.done.receive = receive_saved;
    up->pending.saves++;
    state_submit(up->store, &c->change);
}

static bool is_row(struct slice name)
{
    return name.len == 1 + VARIANT_HASH_BYTES && name.ptr[0] == BUST_MARK;
}

static void load_row(void *context, struct slice name, struct slice value)
{
    struct upstream *up = context;
    struct bust_row *r;
    size_t           times = value.len / sizeof r->used_ns[0];

    if (!is_row(name) || value.len % sizeof r->used_ns[0] != 0 || times < 2 || times > 1 + VALUES_MOST)
        return; /* nothing that this version has written */
    r = mem_alloc(sizeof *r);
    memcpy(r->hash, name.ptr + 1, sizeof r->hash);
    memcpy(&r->every_ns, value.ptr, sizeof r->every_ns);
    r->count = (unsigned)times - 1;
    memcpy(r->used_ns, value.ptr + sizeof r->every_ns, r->count * sizeof r->used_ns[0]);
    LIST_INSERT_HEAD(bucket_of(up, r->hash), r, entry);
    up->bust_count++;
}

const struct state_owner bust_rows = {
    .table = "bust",
    .format = 1,
    .load = load_row,
    .stood_with = &keep_rows,
    .is_own = is_row,
};

void bust_load(struct upstream *up)
{
    if (up->state != NULL)
        state_load(up->state, &bust_rows, up);
}

void bust_free(struct upstream *up)
{
    struct bust_row *r, *next;

    for (unsigned i = 0; i < BUST_BUCKETS; i++)
        LIST_FOREACH_SAFE (r, &up->busts[i], entry, next)
            free(r);
}

/* -- numbers -- */

/* The URL's row, NULL: there are too many; others of the bucket of which nothing has to be known any more go. */
static struct bust_row *row_of(struct upstream *up, const uint8_t *hash, int64_t now_ns)
{
    struct bust_bucket *bucket = bucket_of(up, hash);
    struct bust_row    *r, *next, *found = NULL;

    LIST_FOREACH_SAFE (r, bucket, entry, next)
        if (memcmp(r->hash, hash, sizeof r->hash) == 0) {
            found = r;
        } else if (is_dead(r, now_ns)) {
            LIST_REMOVE(r, entry);
            save(up, r, true);
            free(r);
            up->bust_count--;
        }
    if (found != NULL || up->bust_count >= ROWS_MOST)
        return found;
    up->bust_count++;
    found = mem_alloc(sizeof *found);
    memcpy(found->hash, hash, sizeof found->hash);
    LIST_INSERT_HEAD(bucket, found, entry);
    return found;
}

/* Where all are in use the clock has one that never was. */
static int64_t take_number(struct upstream *up, const struct fetch *f)
{
    int64_t          now_ns = clock_wall_ns();
    uint8_t          hash[VARIANT_HASH_BYTES];
    struct bust_row *r;
    unsigned         i = 0;

    policy_variant_hash(policy_key_url(f->key.full), hash);
    r = row_of(up, hash, now_ns);
    if (r == NULL)
        return now_ns / NS_PER_MS;
    r->every_ns = f->bust.every_ns;
    while (i < r->count && !is_over(r, i, now_ns))
        i++;
    if (i == VALUES_MOST)
        return now_ns / NS_PER_MS;
    r->used_ns[i] = now_ns;
    if (i == r->count)
        r->count++;
    save(up, r, false);
    return (int64_t)i + 1;
}

struct slice bust_target(struct turn *t, struct slice target, struct arena *a)
{
    const struct fetch *f = t->fetch;
    struct slice        path, query, parameter, made;
    const char         *between = "?";

    if (f->bust.every_ns == 0 || !f->has_key)
        return target;
    http_target_split(target, &path, &query);
    made = path;
    while (http_query_next(&query, &parameter)) {
        if (slice_eq(http_parameter_name(parameter, a), f->bust.param))
            continue;
        made = arena_printf(a, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(made), between, SLICE_ARG(parameter));
        between = "&";
    }
    return arena_printf(a, SLICE_FMT "%s" SLICE_FMT "=%lld", SLICE_ARG(made), between, SLICE_ARG(f->bust.param),
                        (long long)take_number(t->up, f));
}
