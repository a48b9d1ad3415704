/*
 * The lives of what was renewed early, each until it is known whether that was of use.
 *
 * It goes after everybody else (QUEUE_IDLE), leaves the rest of every limit to others, and does not go while the
 * budget is low.  Whether it was worth it shows when the answer would have been stale: a hit from then on is one
 * that did not wait for the API, and makes it used; where none comes in what is left of the new life it was
 * wasted.  Hits are counted by the workers anyway (store/tally.h): how many there are is noted when the old life
 * ends, and looked at in growing steps from then on.  All of it is in memory and bounded; the oldest makes place,
 * and is not counted.
 */
#include "upstream/early.h"

#include "upstream/internal.h"

#include "base/counters.h"

#include <stdlib.h>

enum { LIVES_MOST = 8192 };
#define FIRST_LOOK_NS NS_PER_SEC
#define LOOKS_MOST_NS (INT64_C(3600) * NS_PER_SEC)

struct early_life { /* of what was renewed */
    struct table_node       by_name;
    TAILQ_ENTRY(early_life) entry;   /* early->lives, the oldest first */
    LIST_ENTRY(early_life)  of_site; /* site->early_lives */
    struct upstream        *up;
    struct site            *site;
    uint8_t                 hash[STORE_HASH_BYTES], variant[STORE_HASH_BYTES];
    uint64_t                hits, seen; /* when it was renewed, and when it was looked at last */
    int64_t                 old_ends_ns, ends_ns;
    int64_t                 step_ns; /* 0: it would be fresh without that, too */
    struct timer            look;
};

static uint64_t name_of(const uint8_t *hash, const uint8_t *variant)
{
    uint64_t a, b;

    memcpy(&a, hash, sizeof a);
    memcpy(&b, variant, sizeof b);
    return a ^ b;
}

static struct early_life *find(struct upstream *up, const uint8_t *hash, const uint8_t *variant)
{
    TABLE_EACH(n, &up->early.by_name, name_of(hash, variant))
    {
        struct early_life *l = CONTAINER_OF(n, struct early_life, by_name);

        if (memcmp(l->hash, hash, sizeof l->hash) == 0 && memcmp(l->variant, variant, sizeof l->variant) == 0)
            return l;
    }
    return NULL;
}

static void forget(struct early_life *l)
{
    timers_clear(&l->up->timers, &l->look);
    table_remove(&l->up->early.by_name, &l->by_name);
    TAILQ_REMOVE(&l->up->early.lives, l, entry);
    LIST_REMOVE(l, of_site);
    l->up->early.count--;
    free(l);
}

static void count(struct site *s, bool used)
{
    *(used ? &s->counts.early_used : &s->counts.early_wasted) += 1;
    counter_add(used ? COUNTER_PREFETCHES_USED : COUNTER_PREFETCHES_WASTED, 1);
}

static void finish(struct early_life *l, bool used)
{
    count(l->site, used);
    forget(l);
}

static uint64_t hits_now(const struct early_life *l)
{
    return store_hits(l->up->store, l->hash, l->variant);
}

static void fire_look(struct timer *t)
{
    struct early_life *l = CONTAINER_OF(t, struct early_life, look);
    const int64_t      now = clock_mono_ns();

    if (l->step_ns > 0 && hits_now(l) != l->seen) {
        finish(l, true);
    } else if (now >= l->ends_ns) {
        finish(l, false);
    } else {
        l->seen = hits_now(l);
        l->step_ns = l->step_ns == 0 ? FIRST_LOOK_NS : l->step_ns < LOOKS_MOST_NS / 2 ? 2 * l->step_ns : LOOKS_MOST_NS;
        timers_set(&l->up->timers, t, time_add(now, l->step_ns) < l->ends_ns ? now + l->step_ns : l->ends_ns);
    }
}

/* Another worker's hit asked for it a moment ago, and what came of that did not renew it. */
static bool rests(struct upstream *up, const struct fetch *f)
{
    const uint64_t     name = name_of(f->key.hash, f->stored.variant);
    const int64_t      now = clock_mono_ns();
    struct early_slot *slot = &up->early.rests[name % EARLY_SLOTS];

    if (slot->name == name && now < slot->until_ns)
        return true;
    *slot = (struct early_slot){ name, now + fetch_early_rest_ns(f->patience.max_wait_ns) };
    return false;
}

bool early_is_wanted(struct site *s, const struct fetch *f)
{
    struct early_life *l = find(s->up, f->key.hash, f->stored.variant);
    uint64_t           hits = store_hits(s->up->store, f->key.hash, f->stored.variant), since;

    since = l == NULL || hits < l->hits ? hits : hits - l->hits;
    if (l != NULL && l->step_ns > 0 && hits != l->seen) /* the hit that asks for it */
        finish(l, true);
    return since >= f->policy->prefetch.hits && !rests(s->up, f);
}

bool early_is_spared(const struct site *s, const struct fetch *f)
{
    struct charge charge;

    fetch_charge(&charge, f);
    return ledger_is_low(s->budget->ledger, &charge, &s->options->low_budget, budget_time());
}

bool early_is_alone(const struct flight *f)
{
    EACH_WAITER(w, f)
    if (w->fetch != f->leader)
        return false;
    return f->leader->manner.is_early;
}

void early_sent(const struct turn *t)
{
    t->site->counts.early_sent++;
    counter_add(COUNTER_PREFETCHES, 1);
}

/* How long what came is fresh. */
static int64_t left_ns(const struct flight *f)
{
    const struct answer         *a = f->answer;
    const struct stored_response r = {
        .head = a->head,
        .requested_wall_ns = a->requested_wall_ns,
        .received_wall_ns = a->received_wall_ns,
        .had_credential = f->leader->caller.has_credential,
    };
    const struct cache_control cc = cache_control_of_response(&a->head.fields);
    const struct lifetime      l = policy_lifetime(f->leader->policy, &r, &cc, POLICY_UNSET);

    return policy_ttl_left_ns(&r, &l, clock_wall_ns());
}

void early_renewed(struct flight *f, const struct store_change *c)
{
    struct upstream             *up = f->up;
    const struct fetch_patience *p = &f->leader->patience;
    struct early_life           *l = find(up, c->hash, c->variant);
    const int64_t                now = clock_mono_ns();

    f->renewed = true;
    if (l != NULL)
        forget(l);
    if (up->early.count >= LIVES_MOST)
        forget(TAILQ_FIRST(&up->early.lives));
    l = mem_alloc(sizeof *l);
    l->up = up;
    l->site = f->site;
    memcpy(l->hash, c->hash, sizeof l->hash);
    memcpy(l->variant, c->variant, sizeof l->variant);
    l->hits = hits_now(l);
    l->old_ends_ns = time_add(p->arrived_mono_ns, p->max_wait_ns);
    l->ends_ns = time_add(now, left_ns(f));
    l->look.fire = fire_look;
    table_add(&up->early.by_name, &l->by_name, name_of(l->hash, l->variant));
    TAILQ_INSERT_TAIL(&up->early.lives, l, entry);
    LIST_INSERT_HEAD(&f->site->early_lives, l, of_site);
    up->early.count++;
    timers_set(&up->timers, &l->look, l->old_ends_ns);
}

void early_over(struct flight *f)
{
    if (!f->renewed && f->past.first_sent_ns != 0)
        count(f->site, false);
}

void early_forget_site(struct site *s)
{
    while (!LIST_EMPTY(&s->early_lives))
        forget(LIST_FIRST(&s->early_lives));
}
