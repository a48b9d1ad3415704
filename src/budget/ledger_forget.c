/*
 * What a person says of the limits: what was learned is dropped, or so many are left.
 */
#include "budget/ledger_parts.h"

#include <string.h>
#include <strings.h>

struct forgetting {
    struct ledger    *ledger;
    const uint64_t   *left; /* NULL: it is forgotten; else it is set to that */
    uint64_t          most; /* that one of those allows which do not allow so many */
    const char       *name;
    struct budget_now own;
    int               count;
    bool              found;
};

/* A class of clients has its part of it anew. */
static void set_slot(struct forgetting *f, const struct account *of, struct slot *s)
{
    if (s->scope == SLOT_TOLD) { /* what the API said to one account, beside a bucket for all */
        limit_forget(s->limit, f->own);
        return;
    }
    if (of != NULL && !of->has_credential && limit_is_whole(s->limit, f->own))
        return; /* nobody's may only have been asked about */
    if (!limit_set_left(s->limit, *f->left, f->own)) {
        uint64_t allowed = limit_state(s->limit, f->own).allowed;

        f->most = allowed > f->most ? allowed : f->most;
        return;
    }
    for (struct ledger_share *share = s->shares; share != NULL; share = share->next)
        limit_set_left(share->limit, limit_most(share->limit), f->own);
    f->count++;
    lease_stopped(f->ledger, s);
}

/* `of` NULL: it is for all. */
static void forget_slot(struct forgetting *f, const struct account *of, struct slot *s, const char *name)
{
    if (f->name != NULL && (name == NULL || strcasecmp(name, f->name) != 0))
        return;
    f->found = true;
    if (f->left != NULL) {
        if (s != NULL)
            set_slot(f, of, s);
        return;
    }
    for (struct ledger_share *share = s != NULL ? s->shares : NULL; share != NULL; share = share->next)
        limit_forget(share->limit, f->own);
    if (s == NULL || !limit_forget(s->limit, f->own))
        return;
    f->count++;
    lease_stopped(f->ledger, s);
}

static void forget_account(struct forgetting *f, struct account *a)
{
    for (unsigned i = 0; i < f->ledger->count; i++) {
        const char *name = f->ledger->scopes[i].options->name;

        forget_slot(f, a, a->line[i].slot, name);
        if (f->name != NULL && (name == NULL || strcasecmp(name, f->name) != 0))
            continue;
        a->line[i].bound = 0;
        a->line[i].bound_for_want = a->line[i].is_of_several = false;
    }
    for (unsigned i = 0; i < a->named_count; i++) {
        char text[NAME_MOST_BYTES + 1];

        forget_slot(f, a, a->named[i], ledger_name_shown(a->named[i], text));
    }
    if (f->name == NULL)
        a->seen_count = a->seen_next = 0;
}

static void forget_all(struct forgetting *f, struct budget_now now)
{
    struct ledger  *l = f->ledger;
    struct account *a;
    size_t          at = 0;

    f->own = steady_now(&l->clock, now);
    for (unsigned i = 0; i < l->count; i++)
        forget_slot(f, NULL, l->scopes[i].slot, l->scopes[i].options->name);
    while ((a = accounts_next(&l->accounts, &at)) != NULL)
        forget_account(f, a);
}

int ledger_forget(struct ledger *l, const char *name, struct budget_now now)
{
    struct forgetting f = { .ledger = l, .name = name, .found = name == NULL };

    forget_all(&f, now);
    return f.found ? f.count : -1;
}

int ledger_set(struct ledger *l, const char *name, uint64_t left, uint64_t *most, struct budget_now now)
{
    struct forgetting f = { .ledger = l, .name = name, .left = &left };

    forget_all(&f, now);
    *most = f.most;
    return f.found ? f.count : -1;
}
