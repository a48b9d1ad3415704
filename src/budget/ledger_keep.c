/*
 * Keeping the ledger over a crash: leases and rows.
 *
 * A bucket whose memory is short is not leased: behind a crash it simply counts
 * as spent.  Every other one may spend what its durable row's lease covers; a
 * bucket without a row has a small lease all the same, since behind a crash
 * every bucket without a row begins with that much spent.  A row under way may
 * or may not be durable already, so while it is, spending has to fit
 * both leases.  The row at key zero says whether the last run ended with
 * ledger_stop().
 */
#include "budget/ledger_parts.h"

#include "base/arena.h"
#include "base/clock.h"
#include "budget/limit_kind.h"

#include <stdlib.h>
#include <xxhash.h>

#define SHORT_MEMORY_NS  (2 * NS_PER_SEC)
#define QUIET_NS         (250 * NS_PER_MS)      /* nothing was spent for this long: the lease shrinks */
#define FAST_NS          (150 * NS_PER_MS)      /* half a lease went in less: the next one is larger, */
#define SLOW_NS          (2 * NS_PER_SEC)       /* in more: it is smaller */
#define TIDY_NS          (600 * NS_PER_SEC)     /* between two looks at all accounts for what has nothing left to say */
#define UNWRITABLE_NS    (5 * NS_PER_SEC)       /* before rows are tried again */
enum {
    QUIET_PART = 64, QUIET_MOST = 64,           /* the lease in quiet times: a 64th, 1 to 64 units */
    LOAD_PART = 16, LOAD_LEAST = 2,             /* under load: up to a sixteenth, */
    LOAD_GROWTH = 4,                            /* reached in steps of this */
    ROWLESS_LEASE = 1                           /* whatever the limit: it may be another by the next run */
};

const uint8_t lease_state_key[LEDGER_KEY_BYTES];

/* -- leases -- */

static uint64_t quiet_lease(const struct slot *s)
{
    uint64_t lease = limit_most(s->limit) / QUIET_PART;

    return lease < 1 ? 1 : lease > QUIET_MOST ? QUIET_MOST : lease;
}

static uint64_t load_lease(const struct slot *s)
{
    uint64_t most = limit_most(s->limit), lease = most / LOAD_PART;

    if (lease < LOAD_LEAST)
        lease = LOAD_LEAST;
    if (lease < s->wanted)
        lease = s->wanted;
    return lease < most ? lease : most;
}

static uint64_t covered(const struct slot *s)
{
    uint64_t under_way = s->pending > s->pending_spent ? s->pending - s->pending_spent : 0;

    return s->ticket == 0 || s->lease < under_way ? s->lease : under_way;
}

uint64_t lease_allowance(const struct ledger *l, const struct slot *s)
{
    if (!l->keep.is_on || !s->is_leased || l->keep.unwritable_until_ns != 0)
        return UINT64_MAX;
    return covered(s);
}

void lease_make_dirty(struct ledger *l, struct slot *s)
{
    if (s->is_dirty || !l->keep.is_on)
        return;
    s->is_dirty = true;
    s->dirty_next = NULL;
    *l->keep.dirty_end = s;
    l->keep.dirty_end = &s->dirty_next;
}

static void unlist_dirty(struct ledger *l, struct slot *s)
{
    struct slot **at = &l->keep.dirty;

    if (!s->is_dirty)
        return;
    while (*at != s)
        at = &(*at)->dirty_next;
    *at = s->dirty_next;
    if (l->keep.dirty_end == &s->dirty_next)
        l->keep.dirty_end = at;
    s->is_dirty = false;
}

static void unlist_quiet(struct ledger *l, struct slot *s)
{
    if (!s->in_quiet)
        return;
    *(s->quiet_prev != NULL ? &s->quiet_prev->quiet_next : &l->keep.quiet_first) = s->quiet_next;
    *(s->quiet_next != NULL ? &s->quiet_next->quiet_prev : &l->keep.quiet_last) = s->quiet_prev;
    s->in_quiet = false;
}

static void list_quiet(struct ledger *l, struct slot *s, int64_t at_ns)
{
    unlist_quiet(l, s);
    s->spent_ns = at_ns;
    s->quiet_prev = l->keep.quiet_last;
    s->quiet_next = NULL;
    *(s->quiet_prev != NULL ? &s->quiet_prev->quiet_next : &l->keep.quiet_first) = s;
    l->keep.quiet_last = s;
    s->in_quiet = true;
}

static void grow(struct slot *s)
{
    s->target = s->target * LOAD_GROWTH < load_lease(s) ? s->target * LOAD_GROWTH : load_lease(s);
}

/* More is asked for than the lease covers: the next one is larger. */
void lease_want(struct ledger *l, struct slot *s, uint64_t cost)
{
    s->wanted = s->wanted > cost ? s->wanted : cost;
    if (s->is_dirty)
        return;
    grow(s);
    lease_make_dirty(l, s);
}

/* Half of it is spent.  A lease is what lasts for some tenths of a second at the present pace, so that is what a crash
 * loses, and a row is written a few times a second. */
static void renew(struct ledger *l, struct slot *s, int64_t now_ns)
{
    if (s->is_dirty)
        return;
    if (now_ns - s->saved_ns < FAST_NS)
        grow(s);
    else if (now_ns - s->saved_ns > SLOW_NS)
        s->target = s->target / 2 > quiet_lease(s) ? s->target / 2 : quiet_lease(s);
    lease_make_dirty(l, s);
}

void lease_spent(struct ledger *l, struct slot *s, uint64_t cost, struct budget_now own)
{
    s->is_newer = true;
    if (!l->keep.is_on || !s->is_leased || cost == 0)
        return;
    s->lease -= cost < s->lease ? cost : s->lease;
    s->pending_spent += cost;
    if (covered(s) == 0)
        lease_want(l, s, 0);
    else if (covered(s) * 2 < s->target)
        renew(l, s, own.mono_ns);
    list_quiet(l, s, own.mono_ns);
}

/* Spent behind the newest row, and not spent after all: the lease is what it was. What a row counts
 * as spent stays so, since it may stand there with another time. */
void lease_returned(struct ledger *l, struct slot *s, uint64_t cost, struct budget_now spent)
{
    s->is_newer = true;
    if (!l->keep.is_on || !s->is_leased || spent.mono_ns <= s->saved_ns)
        return;
    s->lease += cost;
    s->pending_spent -= cost < s->pending_spent ? cost : s->pending_spent;
}

void lease_changed(struct ledger *l, struct slot *s)
{
    s->is_newer = true;
    if (l->keep.is_on && (s->is_leased || !s->in_quiet))
        list_quiet(l, s, l->clock.last_mono_ns);
}

void lease_stopped(struct ledger *l, struct slot *s)
{
    s->is_newer = true;
    lease_make_dirty(l, s);
}

bool lease_is_idle(const struct slot *s)
{
    return !s->is_dirty && s->ticket == 0 && !s->in_quiet;
}

/* -- keys -- */

uint64_t lease_key_part(enum slot_scope scope, bool has_credential, uint64_t identity)
{
    uint64_t parts[] = { (uint64_t)scope, has_credential, identity };

    return XXH3_64bits(parts, sizeof parts);
}

static void make_key(const struct slot *s, uint8_t key[LEDGER_KEY_BYTES])
{
    bool     has_credential = s->account != NULL && s->account->has_credential;
    uint64_t first = lease_key_part(s->scope, has_credential, s->identity);

    memset(key, 0, LEDGER_KEY_BYTES);
    memcpy(key, &first, sizeof first);
    if (has_credential)
        memcpy(key + sizeof first, s->account->credential, LEDGER_CREDENTIAL_BYTES);
}

static struct slot *line_slot(const struct ledger *l, const struct account *a, unsigned i, enum slot_scope scope)
{
    struct slot *s = scope == SLOT_SHARED ? l->scopes[i].slot : a != NULL ? a->line[i].slot : NULL;

    return s != NULL && s->scope == scope ? s : NULL;
}

/* The bucket of a key; NULL: it is no more. */
static struct slot *find_slot(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES])
{
    static const enum slot_scope scopes[] = { SLOT_SHARED, SLOT_OWNED, SLOT_TOLD };
    const struct account        *accounts[] = { accounts_find(&l->accounts, key + sizeof(uint64_t)),
                                                accounts_find(&l->accounts, NULL) };
    uint64_t                     first;

    memcpy(&first, key, sizeof first);
    for (int has = 0; has < 2; has++) {
        const struct account *a = accounts[has ? 0 : 1];

        for (unsigned i = 0; i < l->count; i++)
            for (unsigned n = 0; n < sizeof scopes / sizeof scopes[0]; n++)
                if (lease_key_part(scopes[n], has != 0, l->scopes[i].identity) == first)
                    return line_slot(l, a, i, scopes[n]);
        for (unsigned i = 0; a != NULL && i < a->named_count; i++)
            if (lease_key_part(SLOT_NAMED, has != 0, a->named[i]->identity) == first)
                return a->named[i];
    }
    return NULL;
}

/* -- buckets come and go -- */

bool lease_is_told(const struct slot *s)
{
    return s->scope == SLOT_TOLD || s->scope == SLOT_NAMED;
}

void lease_as_if_spent(const struct ledger *l, struct slot *s, uint64_t lease, struct budget_now at)
{
    if (l->keep.crashed && !lease_is_told(s))
        limit_spend_up_to(s->limit, s->is_leased ? lease : limit_most(s->limit), at);
}

/* What stood in a row that is lost, nobody knows: at most all of it, when it was lost. */
static void lost_as_spent(const struct ledger *l, struct slot *s, struct budget_now own)
{
    int64_t ago_ns = own.wall_ns - l->keep.lost_wall_ns;

    if (l->keep.lost_wall_ns == 0 || lease_is_told(s) || limit_most(s->limit) == 0)
        return;
    if (ago_ns < 0)                                  /* the clock was set back */
        ago_ns = 0;
    if (ago_ns <= time_add(limit_memory_ns(s->limit), NS_PER_SEC))
        limit_spend_up_to(s->limit, limit_most(s->limit),
                          (struct budget_now){ own.mono_ns - ago_ns, own.wall_ns - ago_ns });
}

void lease_without_row(struct ledger *l, struct slot *s, struct budget_now own)
{
    if (!l->keep.is_on)
        return;
    if (own.mono_ns - l->keep.started.mono_ns <= time_add(limit_memory_ns(s->limit), NS_PER_SEC))
        lease_as_if_spent(l, s, ROWLESS_LEASE, l->keep.started);
    lost_as_spent(l, s, own);
}

void lease_new_slot(struct ledger *l, struct slot *s, struct budget_now own)
{
    uint8_t key[LEDGER_KEY_BYTES];
    int     gone;

    s->is_leased = !lease_is_told(s) && limit_memory_ns(s->limit) > SHORT_MEMORY_NS;
    s->target = s->is_leased ? quiet_lease(s) : 0;
    s->lease = s->is_leased ? ROWLESS_LEASE : 0;
    s->saved_ns = own.mono_ns;
    if (!l->keep.is_on)
        return;
    lease_without_row(l, s, own);
    if (l->keep.gone.count == 0)
        return;
    make_key(s, key);
    gone = lease_rows_find(&l->keep.gone, key);
    if (gone < 0)
        return;
    s->lease = 0;                     /* its old row may still be there, and lends nothing */
    s->has_row = true;
    if (l->keep.gone.items[gone].ticket == 0)
        lease_rows_drop(&l->keep.gone, (size_t)gone);
}

void lease_drop_slot(struct ledger *l, struct slot *s)
{
    uint8_t key[LEDGER_KEY_BYTES];

    unlist_dirty(l, s);
    unlist_quiet(l, s);
    if (!l->keep.is_on || !(s->has_row || s->ticket != 0))
        return;
    make_key(s, key);
    lease_rows_add(&l->keep.gone, key, SLICE_NONE);
}

void lease_adopt_slot(struct ledger *l, struct slot *s, const struct slot *old)
{
    s->has_row = old->has_row;
    s->lease = old->lease;
    s->pending = old->pending;
    s->pending_spent = old->pending_spent;
    s->ticket = old->ticket;
    s->saved_ns = old->saved_ns;
    s->target = old->target < load_lease(s) || !s->is_leased ? old->target : load_lease(s);
    if (old->is_dirty)
        lease_make_dirty(l, s);
    if (old->in_quiet)
        list_quiet(l, s, old->spent_ns);
}

void ledger_keep_end(struct ledger *l)
{
    l->keep.is_on = false;
    for (struct slot *s = l->keep.dirty; s != NULL; s = s->dirty_next)
        s->is_dirty = false;
    l->keep.dirty = NULL;
    l->keep.dirty_end = &l->keep.dirty;
}

void ledger_keep_free(struct ledger *l)
{
    lease_rows_free(&l->keep.gone);
    lease_rows_free(&l->keep.loaded);
}

/* -- putting out -- */

struct putting { ledger_put put; void *context; char *buffer; size_t capacity; };

static struct row_head row_head(const struct ledger *l, struct budget_now own)
{
    struct row_head h = { .magic = ROW_MAGIC, .version = ROW_VERSION, .mono_ns = own.mono_ns, .wall_ns = own.wall_ns };

    memcpy(h.boot, l->keep.boot, sizeof h.boot);
    return h;
}

static void put_row(struct putting *out, const uint8_t key[LEDGER_KEY_BYTES], uint64_t ticket, size_t bytes)
{
    struct ledger_row row = { .ticket = ticket, .value = { out->buffer, bytes } };
    uint64_t          sum;

    memcpy(row.key, key, sizeof row.key);
    if (bytes == 0) {
        row.value = SLICE_NONE;
    } else {
        sum = XXH3_64bits(out->buffer + ROW_SUMMED_FROM, bytes - ROW_SUMMED_FROM);
        memcpy(out->buffer, &sum, sizeof sum);
    }
    out->put(out->context, &row);
}

/* Which paths belong to a resource. */
static uint32_t copy_prefixes(const struct slot *s, char *to)
{
    uint32_t count = 0;

    if (s->scope != SLOT_NAMED)
        return 0;
    for (unsigned i = 0; i < s->account->seen_count; i++) {
        const struct seen *seen = &s->account->seen[i];

        for (unsigned n = 0; n < seen->count; n++)
            if (seen->names[n] == s->identity)
                memcpy(to + sizeof seen->prefix * count++, &seen->prefix, sizeof seen->prefix);
    }
    return count;
}

static void put_slot(struct ledger *l, struct slot *s, uint64_t lease, struct budget_now own, struct putting *out)
{
    struct row_head h = row_head(l, own);
    uint8_t         key[LEDGER_KEY_BYTES];
    size_t          at = sizeof h, name_bytes = s->scope == SLOT_NAMED ? strlen(s->name) : 0;
    size_t          most = at + name_bytes + SEEN_MOST * SEEN_NAMES * sizeof(uint64_t) + limit_image_bytes(s->limit);

    if (most > out->capacity) {
        out->buffer = mem_resize(out->buffer, most);
        out->capacity = most;
    }
    h.scope = (uint8_t)s->scope;
    h.has_credential = s->account != NULL && s->account->has_credential;
    h.lease = lease;
    h.name_bytes = (uint8_t)name_bytes;
    memcpy(out->buffer + at, s->name != NULL ? s->name : "", name_bytes);
    at += name_bytes;
    h.prefix_count = copy_prefixes(s, out->buffer + at);
    at += h.prefix_count * sizeof(uint64_t);
    memcpy(out->buffer, &h, sizeof h);
    at += limit_save(s->limit, out->buffer + at, own);
    make_key(s, key);
    s->pending = lease;
    s->pending_spent = 0;
    s->ticket = ++l->keep.last_ticket;
    s->saved_ns = own.mono_ns;
    s->is_newer = false;
    s->wanted = 0;
    put_row(out, key, s->ticket, at);
}

static void put_state(struct ledger *l, bool is_clean, struct budget_now own, struct putting *out)
{
    struct row_head h = row_head(l, own);

    if (out->capacity < sizeof h) {
        out->buffer = mem_resize(out->buffer, sizeof h);
        out->capacity = sizeof h;
    }
    h.is_clean = is_clean;
    h.lease = (uint64_t)l->keep.lost_wall_ns;
    memcpy(out->buffer, &h, sizeof h);
    l->keep.state_ticket = ++l->keep.last_ticket;
    l->keep.state_is_dirty = false;
    put_row(out, lease_state_key, l->keep.state_ticket, sizeof h);
}

static void put_gone(struct ledger *l, struct putting *out)
{
    for (size_t i = 0; i < l->keep.gone.count; i++) {
        struct kept_row *row = &l->keep.gone.items[i];

        if (row->ticket != 0)
            continue;
        row->ticket = ++l->keep.last_ticket;
        put_row(out, row->key, row->ticket, 0);
    }
}

/* Those that were quiet for long enough: a large lease is given up, news of the API are kept. */
static void put_quiet(struct ledger *l, struct budget_now own, struct putting *out)
{
    struct slot *s;

    while ((s = l->keep.quiet_first) != NULL && own.mono_ns - s->spent_ns >= QUIET_NS) {
        unlist_quiet(l, s);
        if (s->ticket != 0) {         /* one row of a bucket is under way at a time */
            list_quiet(l, s, own.mono_ns);
            continue;
        }
        s->target = s->is_leased ? quiet_lease(s) : 0;
        put_slot(l, s, s->target, own, out);
    }
}

int64_t ledger_save_due_ns(const struct ledger *l, struct budget_now now)
{
    struct budget_now own = steady_peek(&l->clock, now);
    int64_t           due_ns = INT64_MAX;

    if (!l->keep.is_on)
        return INT64_MAX;
    if (l->keep.unwritable_until_ns > own.mono_ns)
        return l->keep.unwritable_until_ns - own.mono_ns;
    if (l->keep.state_is_dirty)
        return 0;
    for (const struct slot *s = l->keep.dirty; s != NULL; s = s->dirty_next)
        if (s->ticket == 0)
            return 0;
    for (size_t i = 0; i < l->keep.gone.count; i++)
        if (l->keep.gone.items[i].ticket == 0)
            return 0;
    if (l->keep.quiet_first != NULL)
        due_ns = time_add(l->keep.quiet_first->spent_ns, QUIET_NS) - own.mono_ns;
    if (l->accounts.count > 0 && l->keep.gone.count == 0 && l->keep.tidy_at_ns - own.mono_ns < due_ns)
        due_ns = l->keep.tidy_at_ns - own.mono_ns;
    return due_ns > 0 ? due_ns : 0;
}

void ledger_save(struct ledger *l, struct budget_now now, ledger_put put, void *context)
{
    struct budget_now own = steady_now(&l->clock, now);
    struct putting    out = { .put = put, .context = context };
    struct slot      *list, *s;

    if (!l->keep.is_on || l->keep.unwritable_until_ns > own.mono_ns)
        return;
    if (l->keep.state_is_dirty)
        put_state(l, false, own, &out);
    if (l->keep.gone.count == 0 && l->keep.tidy_at_ns <= own.mono_ns && ledger_tidy(l, own))
        l->keep.tidy_at_ns = own.mono_ns + TIDY_NS;
    put_gone(l, &out);
    list = l->keep.dirty;
    l->keep.dirty = NULL;
    l->keep.dirty_end = &l->keep.dirty;
    while ((s = list) != NULL) {
        list = s->dirty_next;
        s->is_dirty = false;
        if (s->ticket != 0)           /* one row of a bucket is under way at a time */
            lease_make_dirty(l, s);
        else
            put_slot(l, s, s->target > s->lease ? s->target : s->lease, own, &out);
    }
    put_quiet(l, own, &out);
    free(out.buffer);
}

static void saved_gone(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES], uint64_t ticket, bool ok)
{
    for (size_t i = 0; i < l->keep.gone.count; i++) {
        struct kept_row *row = &l->keep.gone.items[i];

        if (row->ticket != ticket || memcmp(row->key, key, LEDGER_KEY_BYTES) != 0)
            continue;
        row->ticket = 0;              /* not ok: once more */
        if (ok)
            lease_rows_drop(&l->keep.gone, i);
        return;
    }
}

void ledger_saved(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES], uint64_t ticket, bool ok,
                  struct budget_now now)
{
    struct budget_now own = steady_now(&l->clock, now);
    struct slot      *s;

    l->keep.unwritable_until_ns = ok ? 0 : own.mono_ns + UNWRITABLE_NS;
    if (memcmp(key, lease_state_key, LEDGER_KEY_BYTES) == 0) {
        if (ticket == l->keep.state_ticket) {
            l->keep.state_is_durable = ok;
            l->keep.state_is_dirty = !ok;
        }
        return;
    }
    saved_gone(l, key, ticket, ok);
    s = find_slot(l, key);
    if (s == NULL || s->ticket != ticket)
        return;
    s->ticket = 0;
    s->has_row = s->has_row || ok;
    if (!ok) {
        lease_make_dirty(l, s);
        return;
    }
    s->lease = s->pending > s->pending_spent ? s->pending - s->pending_spent : 0;
    if (s->is_leased && s->lease * 2 < s->target)
        lease_make_dirty(l, s);
}

/* -- the end -- */

/* Most rows are as they should be: the rest is written, so that the end is quick. */
static void put_last(struct ledger *l, struct slot *s, struct budget_now own, struct putting *out)
{
    uint8_t key[LEDGER_KEY_BYTES];

    if (s == NULL)
        return;
    if (!limit_is_whole(s->limit, own)) {
        if (!s->has_row || s->ticket != 0 || s->is_dirty || s->is_newer)
            put_slot(l, s, 0, own, out);
        return;
    }
    if (!s->has_row && s->ticket == 0)
        return;
    make_key(s, key);
    put_row(out, key, ++l->keep.last_ticket, 0);
}

void ledger_stop(struct ledger *l, struct budget_now now, ledger_put put, void *context)
{
    struct budget_now own = steady_now(&l->clock, now);
    struct putting    out = { .put = put, .context = context };
    struct account   *a;
    size_t            at = 0;

    if (!l->keep.is_on)
        return;
    put_gone(l, &out);
    for (unsigned i = 0; i < l->count; i++)
        put_last(l, l->scopes[i].slot, own, &out);
    while ((a = accounts_next(&l->accounts, &at)) != NULL) {
        for (unsigned i = 0; i < l->count; i++)
            put_last(l, a->line[i].slot, own, &out);
        for (unsigned i = 0; i < a->named_count; i++)
            put_last(l, a->named[i], own, &out);
    }
    put_state(l, true, own, &out);
    free(out.buffer);
}
