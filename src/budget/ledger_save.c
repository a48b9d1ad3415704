/*
 * The ledger's rows on their way to the state directory: what is due, how a row is written, and what becomes of it.
 */
#include "budget/ledger_parts.h"

#include "base/arena.h"
#include "base/clock.h"
#include "budget/limit_kind.h"

#include <stdlib.h>
#include <xxhash.h>

#define TIDY_NS       (600 * NS_PER_SEC) /* between two looks at all accounts for what has nothing left to say */
#define UNWRITABLE_NS (5 * NS_PER_SEC)   /* before rows are tried again */

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

struct putting {
    ledger_put put;
    void      *context;
    char      *buffer;
    size_t     capacity;
};

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
    lease_key_of(s, key);
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
        struct saved_row *row = &l->keep.gone.items[i];

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
        lease_unlist_quiet(l, s);
        if (s->ticket != 0) { /* one row of a bucket is under way at a time */
            lease_list_quiet(l, s, own.mono_ns);
            continue;
        }
        s->target = s->is_leased ? lease_when_quiet(s) : 0;
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
        if (s->ticket != 0) /* one row of a bucket is under way at a time */
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
        struct saved_row *row = &l->keep.gone.items[i];

        if (row->ticket != ticket || memcmp(row->key, key, LEDGER_KEY_BYTES) != 0)
            continue;
        row->ticket = 0; /* not ok: once more */
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
    lease_key_of(s, key);
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
