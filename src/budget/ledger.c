/*
 * Spending.  For each charge a plan is made: the buckets it spends from and
 * at what cost.  All questions are put to every line of the plan first, and
 * only then is anything spent.
 *
 * A limit of the whole upstream has one bucket; what the API tells one
 * credential of it stands beside it, in a bucket of that credential that holds
 * nothing else.
 */
#include "budget/ledger_parts.h"

#include "base/clock.h"
#include "budget/learned.h"
#include "budget/limit_kind.h"

#include <xxhash.h>

#define CLAIM_SLACK_NS (10 * NS_PER_MS) /* a claim outlives its wait by this */

void ledger_set_match(struct ledger *l, ledger_match matches)
{
    l->matches = matches;
}

void ledger_set_told_most(struct ledger *l, int64_t most_ns)
{
    l->told_most_ns = most_ns;
}

/* -- the plan -- */

static void add_line(struct plan *p, struct slot *s, uint64_t cost, uint32_t estimate, unsigned index)
{
    p->line[p->count++] = (struct plan_line){ s, cost, estimate, index };
}

void ledger_plan(struct ledger *l, const struct charge *c, struct budget_now own, struct plan *p)
{
    unsigned named[SEEN_NAMES], n;

    p->account = ledger_account(l, c->credential, own);
    p->count = 0;
    p->matched = 0;
    for (unsigned i = 0; i < l->count; i++) {
        struct limit_scope *scope = &l->scopes[i];
        struct slot        *beside = p->account->line[i].slot;
        uint64_t            cost;
        uint32_t            estimate;

        if (!ledger_scope_matches(l, scope, c))
            continue;
        p->matched |= 1u << i;
        cost = ledger_sending_cost(scope, c);
        estimate = ledger_estimate(scope, c);
        if (scope->slot != NULL)
            add_line(p, scope->slot, cost, estimate, i);
        else if (beside == NULL)
            beside = ledger_slot_new(l, p->account, i, own);
        if (beside != NULL)
            add_line(p, beside, cost, estimate, i);
    }
    if (p->account->named_count == 0)
        return;
    n = ledger_named_of(p->account, c->path, named);
    for (unsigned i = 0; i < n; i++)
        add_line(p, p->account->named[named[i]], 1, 0, LEDGER_MAX_LIMITS + named[i]);
}

/* -- waiting -- */

struct ledger_asking {
    const struct charge *charge;
    struct budget_now    own;
    uint64_t class, group;
};

/* As whom it saves up, in a bucket of its own and in one of all: who costs the same there does not overtake it. */
static void find_class(struct ledger *l, struct ledger_asking *ask)
{
    struct queue_class class = ledger_class(l, ask->charge);
    uint64_t parts[] = { class.shared, class.owned, class.costs, class.owner };

    ask->class = XXH3_64bits(parts, sizeof parts);
    ask->group = class.group;
}

static uint64_t claimant(const struct slot *s, const struct ledger_asking *ask)
{
    return s->scope == SLOT_SHARED ? ask->group : ask->class;
}

/* Who leaves a share to others may use the rest of it, whatever those do: so he is held to his part, and not made to
 * wait until theirs stands unused, which under load it never does. */
static int64_t share_wait_ns(const struct plan_line *line, const struct ledger_asking *ask, uint64_t ahead)
{
    struct limit *share = ledger_share(line->slot, ask->charge->keep_permille);
    uint64_t      cost;

    if (share == NULL || line->cost == 0)
        return 0;
    cost = ledger_share_cost(share, line->cost);
    return ahead > 0 ? limit_predict_ns(share, ahead + cost - 1, ask->own) : limit_wait_ns(share, cost, ask->own);
}

/* Where another class saves up, it goes first, or its claim ends. */
static int64_t claimed_wait_ns(const struct slot *s, uint64_t need, const struct ledger_asking *ask)
{
    uint64_t most = limit_most(s->limit), beside = need + s->claim_cost;
    int64_t  without_ns = limit_wait_ns(s->limit, need, ask->own), with_ns, ends_in_ns;

    if (s->claim_until_ns <= ask->own.mono_ns || s->claim_class == claimant(s, ask))
        return without_ns;
    with_ns = limit_wait_ns(s->limit, most != 0 && beside > most ? most : beside, ask->own);
    ends_in_ns = s->claim_until_ns - ask->own.mono_ns;
    if (with_ns > ends_in_ns)
        with_ns = ends_in_ns;
    return with_ns > without_ns ? with_ns : without_ns;
}

static int64_t line_wait_ns(struct ledger *l, const struct plan_line *line, const struct ledger_asking *ask)
{
    uint64_t most = limit_most(line->slot->limit);
    int64_t  wait_ns, share_ns;

    if (most != 0 && line->cost > most)
        return INT64_MAX;
    wait_ns = claimed_wait_ns(line->slot, line->cost, ask);
    share_ns = share_wait_ns(line, ask, 0);
    if (share_ns > wait_ns)
        wait_ns = share_ns;
    if (line->cost <= lease_allowance(l, line->slot))
        return wait_ns;
    lease_want(l, line->slot, line->cost);
    return wait_ns > LEDGER_COMMIT_WAIT_NS ? wait_ns : LEDGER_COMMIT_WAIT_NS;
}

static struct ledger_asking asking(struct ledger *l, const struct charge *c, struct budget_now clock, bool claims)
{
    struct ledger_asking ask = { .charge = c, .own = steady_now(&l->clock, clock) };

    if (claims || l->claims_until_ns > ask.own.mono_ns)
        find_class(l, &ask);
    return ask;
}

/* The longest wait of the plan, and its line (NULL: none waits). */
static int64_t plan_wait_ns(struct ledger *l, const struct plan *p, const struct ledger_asking *ask,
                            const struct plan_line **longest)
{
    int64_t wait_ns = 0;

    *longest = NULL;
    for (unsigned i = 0; i < p->count; i++) {
        int64_t line_ns = line_wait_ns(l, &p->line[i], ask);

        if (line_ns > wait_ns) {
            wait_ns = line_ns;
            *longest = &p->line[i];
        }
    }
    if (wait_ns == 0 && l->keep.is_on && !l->keep.state_is_durable && l->keep.unwritable_until_ns == 0)
        wait_ns = LEDGER_COMMIT_WAIT_NS; /* it must not be forgotten that this run began */
    return wait_ns;
}

static void tell_name(const struct plan_line *line, const char **name)
{
    if (name != NULL)
        *name = line != NULL ? line->slot->name : NULL;
}

/* Whoever has had his part saves up for nothing: what he would hold back is others'. */
static bool has_had_its_share(const struct plan *p, const struct ledger_asking *ask)
{
    for (unsigned i = 0; i < p->count; i++)
        if (share_wait_ns(&p->line[i], ask, 0) > 0)
            return true;
    return false;
}

static void claim(struct ledger *l, const struct plan_line *line, const struct ledger_asking *ask, int64_t wait_ns)
{
    struct slot *s = line->slot;

    if (s->claim_until_ns > ask->own.mono_ns && s->claim_class != claimant(s, ask))
        return;
    s->claim_class = claimant(s, ask);
    s->claim_cost = line->cost;
    s->claim_until_ns = time_add(ask->own.mono_ns, wait_ns + CLAIM_SLACK_NS);
    if (s->claim_until_ns > l->claims_until_ns)
        l->claims_until_ns = s->claim_until_ns;
}

/* *longest stands in *plan. */
static int64_t ask_plan_ns(struct ledger *l, const struct charge *c, struct budget_now now, bool claims,
                           struct plan *plan, const struct plan_line **longest)
{
    struct ledger_asking ask = asking(l, c, now, claims);
    int64_t              wait_ns;

    ledger_plan(l, c, ask.own, plan);
    wait_ns = plan_wait_ns(l, plan, &ask, longest);
    if (claims && *longest != NULL && wait_ns < INT64_MAX - CLAIM_SLACK_NS && !has_had_its_share(plan, &ask))
        claim(l, *longest, &ask, wait_ns);
    return wait_ns;
}

static int64_t ask_by_name_ns(struct ledger *l, const struct charge *c, struct budget_now now, bool claims,
                              const char **tightest)
{
    struct plan             plan;
    const struct plan_line *longest;
    int64_t                 wait_ns = ask_plan_ns(l, c, now, claims, &plan, &longest);

    tell_name(longest, tightest);
    return wait_ns;
}

int64_t ledger_wait_ns(struct ledger *l, const struct charge *c, struct budget_now now, const char **tightest)
{
    return ask_by_name_ns(l, c, now, false, tightest);
}

int64_t ledger_claim_ns(struct ledger *l, const struct charge *c, struct budget_now now, const char **tightest)
{
    return ask_by_name_ns(l, c, now, true, tightest);
}

int64_t ledger_ask_ns(struct ledger *l, const struct charge *c, struct budget_now now, bool claims,
                      enum queue_held *held)
{
    struct plan             plan;
    const struct plan_line *longest;
    int64_t                 wait_ns = ask_plan_ns(l, c, now, claims, &plan, &longest);

    *held = longest == NULL || longest->slot->scope == SLOT_SHARED ? QUEUE_HELD_BY_SHARED : QUEUE_HELD_BY_OWN;
    return wait_ns;
}

static int64_t longer(int64_t a_ns, int64_t b_ns)
{
    return a_ns > b_ns ? a_ns : b_ns;
}

static int64_t predict_line_ns(const struct plan_line *line, const struct ledger_asking *ask,
                               const struct queue_ahead *ahead)
{
    uint64_t most = limit_most(line->slot->limit), units;

    if (most != 0 && line->cost > most)
        return INT64_MAX;
    if (line->cost == 0)
        return limit_wait_ns(line->slot->limit, 0, ask->own);
    units = ledger_units_ahead(line, ahead, ask->own);
    if (units > UINT64_MAX / 2)
        return INT64_MAX;
    return longer(limit_predict_ns(line->slot->limit, units + line->cost - 1, ask->own),
                  share_wait_ns(line, ask, ledger_part_ahead(line, ahead, units)));
}

int64_t ledger_predict_ns(struct ledger *l, const struct charge *c, const struct queue_ahead *ahead,
                          struct budget_now now, const char **tightest)
{
    struct ledger_asking    ask = asking(l, c, now, false);
    struct plan             plan;
    const struct plan_line *longest = NULL;
    int64_t                 wait_ns = 0;

    ledger_plan(l, c, ask.own, &plan);
    for (unsigned i = 0; i < plan.count; i++) {
        int64_t line_ns = predict_line_ns(&plan.line[i], &ask, ahead);

        if (line_ns > wait_ns) {
            wait_ns = line_ns;
            longest = &plan.line[i];
        }
    }
    tell_name(longest, tightest);
    return wait_ns;
}

struct ledger_cause ledger_cause(struct ledger *l, const struct charge *c, const struct queue_ahead *ahead,
                                 struct budget_now now)
{
    struct ledger_asking ask = asking(l, c, now, false);
    struct ledger_cause  cause = { 0 };
    struct plan          plan;
    int64_t              longest_ns = 0, longest_own_ns = 0;

    ledger_plan(l, c, ask.own, &plan);
    for (unsigned i = 0; i < plan.count; i++) {
        const struct plan_line *line = &plan.line[i];
        uint64_t                units = ledger_units_ahead(line, ahead, ask.own);
        struct limit_cause      of;

        if (units > UINT64_MAX / 2)
            units = UINT64_MAX / 2;
        of = limit_cause(line->slot->limit, units + (line->cost > 0 ? line->cost - 1 : 0), ask.own);
        of.own_ns = longer(of.own_ns, share_wait_ns(line, &ask, ledger_part_ahead(line, ahead, units)));
        if (of.own_ns > longest_own_ns)
            longest_own_ns = of.own_ns;
        if (of.told_ns > longest_ns) {
            longest_ns = of.told_ns;
            cause = (struct ledger_cause){ line->slot->name, of.by, of.heard_wall_ns };
        }
    }
    return longest_ns > 0 && longest_ns >= longest_own_ns ? cause : (struct ledger_cause){ 0 };
}

/* -- spending -- */

void ledger_note_open(struct ledger *l, struct account *a, unsigned index, int64_t units)
{
    uint64_t *open = index < LEDGER_MAX_LIMITS ? &a->line[index].open : &a->named_open[index - LEDGER_MAX_LIMITS];

    *open += (uint64_t)units;
    if (index < LEDGER_MAX_LIMITS)
        l->scopes[index].open += (uint64_t)units;
}

void ledger_spend(struct ledger *l, const struct charge *c, struct budget_now now, struct receipt *r)
{
    struct ledger_asking ask = asking(l, c, now, false);
    struct plan          plan;

    ledger_plan(l, c, ask.own, &plan);
    r->count = 0;
    r->spent = r->held = ask.own;
    r->keep_permille = c->keep_permille;
    r->has_credential = plan.account->has_credential;
    memcpy(r->credential, plan.account->credential, sizeof r->credential);
    for (unsigned i = 0; i < plan.count; i++) {
        const struct plan_line *line = &plan.line[i];
        struct slot            *s = line->slot;

        struct limit *share = ledger_share(s, c->keep_permille);

        limit_spend(s->limit, line->cost, ask.own);
        if (share != NULL)
            limit_spend(share, ledger_share_cost(share, line->cost), ask.own);
        lease_spent(l, s, line->cost, ask.own);
        if (s->claim_class == claimant(s, &ask))
            s->claim_until_ns = 0;
        if (s->scope == SLOT_TOLD) /* its limit's own line stands in the receipt */
            continue;
        r->line[r->count].limit = s->identity;
        r->line[r->count].estimate = line->estimate;
        r->line[r->count++].cost = (uint32_t)line->cost;
        ledger_note_open(l, plan.account, line->index, (int64_t)line->cost);
    }
    plan.account->open += r->count > 0;
    ledger_sweep(l, plan.account, ask.own);
}

int ledger_index_of(const struct ledger *l, const struct account *a, uint64_t identity)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->scopes[i].identity == identity)
            return (int)i;
    for (unsigned i = 0; i < a->named_count; i++)
        if (a->named[i]->identity == identity)
            return LEDGER_MAX_LIMITS + (int)i;
    return -1;
}

void ledger_give_back(struct ledger *l, struct account *a, unsigned index, uint64_t back, const struct receipt *r,
                      struct budget_now spent, struct budget_now own)
{
    struct slot *slots[] = {
        index < LEDGER_MAX_LIMITS ? l->scopes[index].slot : NULL,
        index < LEDGER_MAX_LIMITS ? a->line[index].slot : a->named[index - LEDGER_MAX_LIMITS],
    };

    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        struct limit *share;

        if (slots[i] == NULL)
            continue;
        share = ledger_share(slots[i], r->keep_permille);
        if (share != NULL)
            limit_return(share, ledger_share_cost(share, back), spent, own);
        limit_return(slots[i]->limit, back, spent, own);
        lease_returned(l, slots[i], back, spent);
    }
}

void ledger_note_unsettled(struct ledger *l, unsigned index, uint64_t units)
{
    l->scopes[index].metered.unsettled += units;
    l->scopes[index].metered.unsettled_count++;
}

/* What it costs is known when the body has ended. */
static bool stays_open(const struct ledger *l, unsigned index, uint32_t estimate, const struct charge *c,
                       unsigned status)
{
    return estimate > 0 && c != NULL && status != 0 && index < LEDGER_MAX_LIMITS &&
           !ledger_has_status_cost(l->scopes[index].options, c, status);
}

/* `c` NULL: all of it goes back, and there is no bill. */
static void close_receipt(struct ledger *l, const struct charge *c, struct receipt *r, unsigned status,
                          struct budget_now own, struct ledger_bill *bill)
{
    struct account *a = accounts_find(&l->accounts, r->has_credential ? r->credential : NULL);
    unsigned        kept = 0;

    for (unsigned i = 0; i < r->count && a != NULL; i++) {
        int      index = ledger_index_of(l, a, r->line[i].limit);
        uint64_t sent = r->line[i].cost, cost = 0;

        if (index < 0)
            continue;
        if (stays_open(l, (unsigned)index, r->line[i].estimate, c, status)) {
            r->line[kept++] = r->line[i];
            continue;
        }
        if (c != NULL) /* nothing was heard of a limit in any unit: it stays as it was reserved */
            cost = index < LEDGER_MAX_LIMITS && (r->line[i].estimate == 0 || status != 0)
                       ? ledger_final_cost(l->scopes[index].options, c, status)
                       : sent;
        if (cost < sent)
            ledger_give_back(l, a, (unsigned)index, sent - cost, r, r->line[i].estimate > 0 ? r->held : r->spent, own);
        ledger_note_open(l, a, (unsigned)index, -(int64_t)sent);
        if (r->line[i].estimate > 0 && c != NULL && status == 0)
            ledger_note_unsettled(l, (unsigned)index, sent);
        if (c != NULL && index < LEDGER_MAX_LIMITS && l->scopes[index].factors != NULL)
            ledger_bill_note(bill, l->scopes[index].name, cost, status == 0);
    }
    if (a != NULL && r->count > 0 && kept == 0 && a->open > 0)
        a->open--;
    r->count = kept;
}

void ledger_return(struct ledger *l, struct receipt *r)
{
    struct budget_now own = { l->clock.last_mono_ns, l->clock.last_mono_ns + l->clock.offset_ns };

    close_receipt(l, NULL, r, 0, own, NULL);
}

struct ledger_bill ledger_settle(struct ledger *l, const struct charge *c, struct receipt *r,
                                 const struct http_response *response, struct budget_now now)
{
    struct budget_now  own = steady_now(&l->clock, now);
    struct ledger_bill bill;
    int64_t            date_ns;

    bill.count = bill.settled = bill.unsettled = 0;
    close_receipt(l, c, r, response != NULL ? response->status : 0, own, &bill);
    if (response == NULL)
        return bill;
    date_ns = steady_asks(&l->clock) ? learned_date_ns(response, now.wall_ns) : -1;
    if (date_ns >= 0)
        steady_evidence(&l->clock, own, date_ns);
    ledger_learn(l, c, response, own);
    return bill;
}

void ledger_block(struct ledger *l, const struct charge *c, int64_t for_ns, struct budget_now now)
{
    struct budget_now own = steady_now(&l->clock, now);
    struct account   *a = ledger_account(l, c->credential, own);
    struct slot      *s = ledger_told_slot(l, a, c, own);

    if (s == NULL)
        return;
    limit_block(s->limit, for_ns < l->told_most_ns ? for_ns : l->told_most_ns, TOLD_BY_BODY, own);
    lease_stopped(l, s);
}

/* -- telling -- */

bool ledger_lowest(struct ledger *l, const struct charge *c, struct budget_now now, struct limit_state *out,
                   const char **name)
{
    struct budget_now own = steady_now(&l->clock, now);
    struct plan       plan;
    double            lowest = 2.0;

    ledger_plan(l, c, own, &plan);
    for (unsigned i = 0; i < plan.count; i++) {
        struct limit_state s = limit_state(plan.line[i].slot->limit, own);
        double             share;

        if (s.allowed == 0) /* the API told nothing of how many */
            continue;
        share = (double)s.left / (double)s.allowed;
        if (share < lowest) {
            lowest = share;
            *out = s;
            *name = plan.line[i].slot->name;
        }
    }
    return lowest < 2.0;
}

static bool is_low(const struct limit_state *s, const struct low_budget_options *low)
{
    if ((double)s->left < low->share * (double)s->allowed)
        return true;
    return s->allowed > low->count && s->left < low->count;
}

bool ledger_is_low(struct ledger *l, const struct charge *c, const struct low_budget_options *low,
                   struct budget_now now)
{
    struct budget_now own = steady_now(&l->clock, now);
    struct plan       plan;

    ledger_plan(l, c, own, &plan);
    for (unsigned i = 0; i < plan.count; i++) {
        struct limit_state s = limit_state(plan.line[i].slot->limit, own);

        if (s.allowed > 0 && is_low(&s, low))
            return true;
    }
    return false;
}

static void visit_account(const struct ledger *l, const struct account *a, struct budget_now own, ledger_each each,
                          void *context)
{
    const uint8_t *credential = a->has_credential ? a->credential : NULL;

    for (unsigned i = 0; i < l->count; i++) {
        const struct slot *s = a->line[i].slot;
        struct limit_state state;

        /* One of nobody's that is whole may only have been asked about. */
        if (s == NULL || ((s->scope == SLOT_TOLD || credential == NULL) && limit_is_whole(s->limit, own)))
            continue;
        state = limit_state(s->limit, own);
        each(context, s, l->scopes[i].options, credential, &state);
    }
    for (unsigned i = 0; i < a->named_count; i++) {
        char                 text[NAME_MOST_BYTES + 1];
        struct limit_options o = { .name = ledger_name_shown(a->named[i], text), .kind = LIMIT_LEARNED };
        struct limit_state   state = limit_state(a->named[i]->limit, own);

        if (!limit_is_whole(a->named[i]->limit, own))
            each(context, a->named[i], &o, credential, &state);
    }
}

void ledger_visit(struct ledger *l, struct budget_now now, ledger_each each, void *context)
{
    struct budget_now     own = steady_now(&l->clock, now);
    const struct account *a;
    size_t                at = 0;

    for (unsigned i = 0; i < l->count; i++) {
        struct limit_state state;

        if (l->scopes[i].slot == NULL)
            continue;
        state = limit_state(l->scopes[i].slot->limit, own);
        each(context, l->scopes[i].slot, l->scopes[i].options, NULL, &state);
    }
    while ((a = accounts_next(&l->accounts, &at)) != NULL)
        visit_account(l, a, own, each, context);
}

unsigned ledger_buckets(struct ledger *l, const struct charge *c, struct budget_now now,
                        const void *out[LEDGER_MAX_BUCKETS])
{
    struct plan plan;

    ledger_plan(l, c, steady_now(&l->clock, now), &plan);
    for (unsigned i = 0; i < plan.count; i++)
        out[i] = plan.line[i].slot;
    return plan.count;
}
