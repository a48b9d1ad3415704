/*
 * Where a ledger begins with what was known before: rows of an earlier run,
 * or the ledger of an earlier configuration.
 */
#include "budget/ledger_parts.h"

#include "base/arena.h"
#include "base/clock.h"

#include <stdlib.h>
#include <xxhash.h>

#define CLOCK_DOUBT_NS (3600 * NS_PER_SEC) /* how far the wall clock may be off over a reboot */

struct row_view {
    struct row_head head;
    struct slice    name, prefixes, image;
};

void ledger_load(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES], struct slice value)
{
    lease_rows_add(&l->keep.loaded, key, value);
}

void ledger_rows_lost(struct ledger *l)
{
    l->keep.rows_are_lost = true;
}

int64_t ledger_lost_ago_ns(const struct ledger *l, struct budget_now now)
{
    const struct budget_now own = steady_peek(&l->clock, now);
    const int64_t           ago_ns = own.wall_ns > l->keep.lost_wall_ns ? own.wall_ns - l->keep.lost_wall_ns : 0;

    for (unsigned i = 0; i < l->count && l->keep.lost_wall_ns != 0; i++)
        if (ago_ns <= limit_memory_ns(l->scopes[i].model))
            return ago_ns;
    return -1;
}

/* False where it is damaged. */
static bool view_row(const struct saved_row *row, struct row_view *v)
{
    struct slice rest = { row->value, row->bytes };
    size_t       prefix_bytes;

    if (rest.len < sizeof v->head)
        return false;
    memcpy(&v->head, rest.ptr, sizeof v->head);
    if (v->head.magic != ROW_MAGIC || v->head.version != ROW_VERSION ||
        v->head.sum != XXH3_64bits(rest.ptr + ROW_SUMMED_FROM, rest.len - ROW_SUMMED_FROM))
        return false;
    rest = slice_sub(rest, sizeof v->head, rest.len);
    prefix_bytes = (size_t)v->head.prefix_count * sizeof(uint64_t);
    if (rest.len < v->head.name_bytes || rest.len - v->head.name_bytes < prefix_bytes)
        return false;
    v->name = slice_sub(rest, 0, v->head.name_bytes);
    v->prefixes = slice_sub(rest, v->name.len, v->name.len + prefix_bytes);
    v->image = slice_sub(rest, v->name.len + prefix_bytes, rest.len);
    return true;
}

static bool is_state(const struct saved_row *row)
{
    return memcmp(row->key, lease_state_key, LEDGER_KEY_BYTES) == 0;
}

static bool same_boot(const struct ledger *l, const struct row_head *h, struct budget_now now)
{
    return memcmp(h->boot, l->keep.boot, sizeof h->boot) == 0 && h->mono_ns <= now.mono_ns;
}

/* Within a boot the monotonic clock knows. Over one, at least as long as this boot lasts; the wall clock
 * may be an hour off. */
static int64_t elapsed_ns(const struct ledger *l, const struct row_head *h, struct budget_now own)
{
    int64_t by_wall_ns = own.wall_ns - h->wall_ns - CLOCK_DOUBT_NS, at_least_ns = 0;

    if (same_boot(l, h, own))
        return own.mono_ns - h->mono_ns;
    if (memcmp(h->boot, l->keep.boot, sizeof h->boot) != 0)
        at_least_ns = own.mono_ns;
    return by_wall_ns > at_least_ns ? by_wall_ns : at_least_ns;
}

/* How the last run ended, and the newest word on how wall time goes in this boot. */
static void read_past(struct ledger *l, struct budget_now now)
{
    const struct kept_rows *rows = &l->keep.loaded;
    bool                    clean = rows->count == 0;
    struct budget_now       newest = { INT64_MIN, 0 };
    struct row_view         v;

    for (size_t i = 0; i < rows->count; i++) {
        if (!view_row(&rows->items[i], &v)) {
            l->keep.rows_are_lost = true;
            continue;
        }
        if (is_state(&rows->items[i])) {
            clean = v.head.is_clean != 0;
            l->keep.lost_wall_ns = (int64_t)v.head.lease;
        }
        if (same_boot(l, &v.head, now) && v.head.mono_ns > newest.mono_ns)
            newest = (struct budget_now){ v.head.mono_ns, v.head.wall_ns };
    }
    l->keep.crashed = !clean;
    if (newest.mono_ns != INT64_MIN)
        steady_resume(&l->clock, newest);
}

static void add_prefixes(struct account *a, struct slice prefixes, uint64_t name)
{
    if (a->seen == NULL)
        a->seen = mem_alloc(SEEN_MOST * sizeof *a->seen);
    for (size_t at = 0; at < prefixes.len; at += sizeof(uint64_t)) {
        struct seen *s = NULL;
        uint64_t     prefix;

        memcpy(&prefix, prefixes.ptr + at, sizeof prefix);
        for (unsigned i = 0; i < a->seen_count && s == NULL; i++)
            if (a->seen[i].prefix == prefix)
                s = &a->seen[i];
        if (s == NULL && a->seen_count < SEEN_MOST) {
            s = &a->seen[a->seen_count++];
            *s = (struct seen){ .prefix = prefix };
        }
        if (s != NULL && s->count < SEEN_NAMES)
            s->names[s->count++] = name;
    }
}

static struct slot *make_named(struct ledger *l, struct account *a, const struct row_view *v, uint64_t first,
                               struct budget_now own)
{
    struct slice name = v->name;
    struct slot *s;

    /* The bucket of what has no name is called "api" for people. */
    if (lease_key_part(SLOT_NAMED, a->has_credential, ledger_name_hash(SLICE(""))) == first)
        name = SLICE("");
    else if (lease_key_part(SLOT_NAMED, a->has_credential, ledger_name_hash(name)) != first)
        return NULL;
    s = ledger_named_new(l, a, name, own);
    if (s != NULL)
        add_prefixes(a, v->prefixes, s->identity);
    return s;
}

/* The bucket that a row is of, made where it has to be; NULL: no limit of this ledger is like that. */
static struct slot *make_slot(struct ledger *l, const struct saved_row *row, const struct row_view *v,
                              struct budget_now own)
{
    const uint8_t  *credential = v->head.has_credential ? row->key + sizeof(uint64_t) : NULL;
    uint64_t        first;
    struct account *a;

    memcpy(&first, row->key, sizeof first);
    if (v->head.scope == SLOT_NAMED)
        return make_named(l, ledger_account_kept(l, credential, own), v, first, own);
    for (unsigned i = 0; i < l->count; i++) {
        struct limit_scope *scope = &l->scopes[i];

        if (v->head.scope > SLOT_TOLD ||
            lease_key_part((enum slot_scope)v->head.scope, credential != NULL, scope->identity) != first)
            continue;
        if (v->head.scope == SLOT_SHARED || (v->head.scope == SLOT_TOLD) != (scope->slot != NULL))
            return v->head.scope == SLOT_SHARED ? scope->slot : NULL;
        a = ledger_account_kept(l, credential, own);
        return a->line[i].slot != NULL ? a->line[i].slot : ledger_slot_new(l, a, i, own);
    }
    return NULL;
}

static void start_row(struct ledger *l, const struct saved_row *row, struct budget_now own)
{
    struct row_view v;
    struct slot    *s = NULL;

    if (is_state(row))
        return;
    if (view_row(row, &v))
        s = make_slot(l, row, &v, own);
    if (s == NULL) {
        lease_rows_add(&l->keep.gone, row->key, SLICE_NONE);
        return;
    }
    s->has_row = true;
    s->lease = 0;
    if (limit_restore(s->limit, v.image.ptr, v.image.len, elapsed_ns(l, &v.head, own), same_boot(l, &v.head, own), own))
        lease_as_if_spent(l, s, v.head.lease, own);
    limit_cut_told(s->limit, l->told_most_ns, own);
    if (s->account == NULL || !limit_is_whole(s->limit, own))
        lease_make_dirty(l, s); /* else it goes */
}

void ledger_start(struct ledger *l, const uint8_t boot[LEDGER_BOOT_BYTES], struct budget_now now)
{
    struct budget_now own;

    memcpy(l->keep.boot, boot, LEDGER_BOOT_BYTES);
    read_past(l, now);
    own = steady_now(&l->clock, now);
    if (l->keep.rows_are_lost)
        l->keep.lost_wall_ns = own.wall_ns;
    l->keep.is_on = true;
    l->keep.started = own;
    l->keep.state_is_dirty = true;
    for (unsigned i = 0; i < l->count; i++) {
        if (l->scopes[i].slot == NULL)
            continue;
        lease_new_slot(l, l->scopes[i].slot, own);
        lease_make_dirty(l, l->scopes[i].slot); /* a lease before the first request asks for it */
    }
    for (size_t i = 0; i < l->keep.loaded.count; i++)
        start_row(l, &l->keep.loaded.items[i], own);
    lease_rows_free(&l->keep.loaded);
    l->keep.tidy_at_ns = own.mono_ns;
}

/* -- another configuration -- */

static void adopt_keeping(struct ledger *l, const struct ledger *old)
{
    const struct keeping *from = &old->keep;
    struct keeping       *to = &l->keep;

    to->is_on = from->is_on;
    to->tidy_at_ns = from->tidy_at_ns;
    to->crashed = from->crashed;
    to->started = from->started;
    to->lost_wall_ns = from->lost_wall_ns;
    memcpy(to->boot, from->boot, sizeof to->boot);
    to->state_is_durable = from->state_is_durable;
    to->state_is_dirty = from->state_is_dirty;
    to->state_ticket = from->state_ticket;
    to->last_ticket = from->last_ticket;
    to->unwritable_until_ns = from->unwritable_until_ns;
    for (size_t i = 0; i < from->gone.count; i++) {
        lease_rows_add(&to->gone, from->gone.items[i].key, SLICE_NONE);
        to->gone.items[i].ticket = from->gone.items[i].ticket;
    }
}

static void adopt_share(struct slot *to, const struct ledger_share *from, struct budget_now own)
{
    struct limit *share = ledger_share(to, from->keep_permille);
    size_t        bytes = limit_image_bytes(from->limit);
    char         *image = mem_alloc(bytes);

    bytes = limit_save(from->limit, image, own);
    if (share != NULL)
        limit_restore(share, image, bytes, 0, true, own);
    free(image);
}

static void adopt_slot(struct ledger *l, struct slot *to, const struct slot *from, struct budget_now own)
{
    size_t bytes = limit_image_bytes(from->limit);
    char  *image = mem_alloc(bytes);

    bytes = limit_save(from->limit, image, own);
    if (limit_restore(to->limit, image, bytes, 0, true, own))
        limit_copy_told(to->limit, from->limit);
    limit_cut_told(to->limit, l->told_most_ns, own);
    free(image);
    for (const struct ledger_share *share = from->shares; share != NULL; share = share->next)
        adopt_share(to, share, own);
    lease_adopt_slot(l, to, from);
}

/* Its row, where it has one, is to go. */
static void lose_slot(struct ledger *l, const struct slot *from)
{
    struct slot copy = *from;

    copy.is_dirty = copy.in_quiet = false;
    lease_drop_slot(l, &copy);
}

static int scope_of(const struct ledger *l, const struct limit_scope *like)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->scopes[i].identity == like->identity)
            return (int)i;
    return -1;
}

static void adopt_account(struct ledger *l, const struct ledger *old, const struct account *from, struct budget_now own)
{
    struct account *to = ledger_account_kept(l, from->has_credential ? from->credential : NULL, own);

    to->open = from->open;
    to->used_ns = from->used_ns;
    for (unsigned i = 0; i < old->count; i++) {
        int at = scope_of(l, &old->scopes[i]);

        if (at >= 0) {
            to->line[at].open = from->line[i].open;
            to->line[at].bound = from->line[i].bound;
            to->line[at].bound_for_want = from->line[i].bound_for_want;
            to->line[at].is_of_several = from->line[i].is_of_several;
        }
        if (from->line[i].slot != NULL && at >= 0)
            adopt_slot(l, ledger_slot_new(l, to, (unsigned)at, own), from->line[i].slot, own);
        else if (from->line[i].slot != NULL)
            lose_slot(l, from->line[i].slot);
    }
    for (unsigned i = 0; i < from->named_count; i++) {
        struct slice name = slice_of(from->named[i]->name);
        struct slot *s;

        if (from->named[i]->identity == ledger_name_hash(SLICE("")))
            name = SLICE("");
        s = ledger_named_new(l, to, name, own);
        to->named_open[i] = from->named_open[i];
        adopt_slot(l, s, from->named[i], own);
    }
    if (from->seen == NULL)
        return;
    to->seen = mem_alloc(SEEN_MOST * sizeof *to->seen);
    memcpy(to->seen, from->seen, SEEN_MOST * sizeof *to->seen);
    to->seen_count = from->seen_count;
    to->seen_next = from->seen_next;
}

void ledger_adopt(struct ledger *l, const struct ledger *old, struct budget_now now)
{
    struct budget_now     own;
    const struct account *a;
    size_t                next = 0;

    l->clock = old->clock;
    own = steady_now(&l->clock, now);
    adopt_keeping(l, old);
    for (unsigned i = 0; i < old->count; i++) {
        int at = scope_of(l, &old->scopes[i]);

        if (at >= 0) {
            l->scopes[at].open = old->scopes[i].open;
            ledger_meter_adopt(&l->scopes[at], &old->scopes[i]);
        }
        if (old->scopes[i].slot != NULL && at >= 0)
            adopt_slot(l, l->scopes[at].slot, old->scopes[i].slot, own);
        else if (old->scopes[i].slot != NULL)
            lose_slot(l, old->scopes[i].slot);
    }
    while ((a = accounts_next(&old->accounts, &next)) != NULL)
        adopt_account(l, old, a, own);
}
