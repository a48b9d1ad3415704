/*
 * Keeping the ledger over a crash: leases and rows.
 *
 * A bucket whose memory is short is not leased: after a crash it simply counts
 * as spent.  Every other one may spend what its durable row's lease covers; a
 * bucket without a row has a small lease all the same, since after a crash
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

#define SHORT_MEMORY_NS (2 * NS_PER_SEC)
#define FAST_NS         (150 * NS_PER_MS) /* half a lease went in less: the next one is larger, */
#define SLOW_NS         (2 * NS_PER_SEC)  /* in more: it is smaller */
enum {
    QUIET_PART = 64,
    QUIET_MOST = 64, /* the lease in quiet times: a 64th, 1 to 64 units */
    LOAD_PART = 16,
    LOAD_LEAST = 2,   /* under load: up to a sixteenth, */
    LOAD_GROWTH = 4,  /* reached in steps of this */
    ROWLESS_LEASE = 1 /* whatever the limit: it may be another by the next run */
};

const uint8_t lease_state_key[LEDGER_KEY_BYTES];

/* -- leases -- */

uint64_t lease_when_quiet(const struct slot *s)
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

void lease_unlist_quiet(struct ledger *l, struct slot *s)
{
    if (!s->in_quiet)
        return;
    *(s->quiet_prev != NULL ? &s->quiet_prev->quiet_next : &l->keep.quiet_first) = s->quiet_next;
    *(s->quiet_next != NULL ? &s->quiet_next->quiet_prev : &l->keep.quiet_last) = s->quiet_prev;
    s->in_quiet = false;
}

void lease_list_quiet(struct ledger *l, struct slot *s, int64_t at_ns)
{
    lease_unlist_quiet(l, s);
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
        s->target = s->target / 2 > lease_when_quiet(s) ? s->target / 2 : lease_when_quiet(s);
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
    lease_list_quiet(l, s, own.mono_ns);
}

/* Spent after the newest row, and not spent after all: the lease is what it was. What a row counts
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
        lease_list_quiet(l, s, l->clock.last_mono_ns);
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

void lease_key_of(const struct slot *s, uint8_t key[LEDGER_KEY_BYTES])
{
    bool     has_credential = s->account != NULL && s->account->has_credential;
    uint64_t first = lease_key_part(s->scope, has_credential, s->identity);

    memset(key, 0, LEDGER_KEY_BYTES);
    memcpy(key, &first, sizeof first);
    if (has_credential)
        memcpy(key + sizeof first, s->account->credential, LEDGER_CREDENTIAL_BYTES);
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
    if (ago_ns < 0) /* the clock was set back */
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
    s->target = s->is_leased ? lease_when_quiet(s) : 0;
    s->lease = s->is_leased ? ROWLESS_LEASE : 0;
    s->saved_ns = own.mono_ns;
    if (!l->keep.is_on)
        return;
    lease_without_row(l, s, own);
    if (l->keep.gone.count == 0)
        return;
    lease_key_of(s, key);
    gone = lease_rows_find(&l->keep.gone, key);
    if (gone < 0)
        return;
    s->lease = 0; /* its old row may still be there, and lends nothing */
    s->has_row = true;
    if (l->keep.gone.items[gone].ticket == 0)
        lease_rows_drop(&l->keep.gone, (size_t)gone);
}

void lease_drop_slot(struct ledger *l, struct slot *s)
{
    uint8_t key[LEDGER_KEY_BYTES];

    unlist_dirty(l, s);
    lease_unlist_quiet(l, s);
    if (!l->keep.is_on || !(s->has_row || s->ticket != 0))
        return;
    lease_key_of(s, key);
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
        lease_list_quiet(l, s, old->spent_ns);
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
