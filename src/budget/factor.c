/*
 * Learning factors: a ring of ratios for each rule, and their 90th percentile, found anew with each.
 */
#include "budget/factor.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PERCENT = 90 };

struct rule_factor {
    uint64_t rule, used; /* when it was used last */
    float    ratio[FACTOR_KEPT];
    unsigned count, next;
    double   factor;
};

struct factors {
    uint64_t            notes;
    struct rule_factor *rule[FACTOR_RULES];
    unsigned            count;
};

struct factors *factors_new(void)
{
    return mem_alloc(sizeof(struct factors));
}

struct factors *factors_copy(const struct factors *from)
{
    struct factors *f;

    if (from == NULL)
        return NULL;
    f = factors_new();
    *f = *from;
    for (unsigned i = 0; i < f->count; i++) {
        f->rule[i] = mem_alloc(sizeof *f->rule[i]);
        *f->rule[i] = *from->rule[i];
    }
    return f;
}

void factors_free(struct factors *f)
{
    for (unsigned i = 0; f != NULL && i < f->count; i++)
        free(f->rule[i]);
    free(f);
}

static struct rule_factor *find(const struct factors *f, uint64_t rule)
{
    for (unsigned i = 0; f != NULL && i < f->count; i++)
        if (f->rule[i]->rule == rule)
            return f->rule[i];
    return NULL;
}

/* Where there is no room, the one that was used least lately goes. */
static struct rule_factor *make(struct factors *f, uint64_t rule)
{
    unsigned at = 0;

    if (f->count < FACTOR_RULES) {
        at = f->count++;
        f->rule[at] = mem_alloc(sizeof *f->rule[at]);
    }
    for (unsigned i = 0; f->count == FACTOR_RULES && i < FACTOR_RULES; i++)
        if (f->rule[i]->used < f->rule[at]->used)
            at = i;
    *f->rule[at] = (struct rule_factor){ .rule = rule, .factor = 1.0 };
    return f->rule[at];
}

static int by_size(const void *a, const void *b)
{
    float x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static double percentile(const struct rule_factor *r)
{
    float    sorted[FACTOR_KEPT];
    unsigned at = (r->count * PERCENT + 99) / 100;

    memcpy(sorted, r->ratio, sizeof sorted);
    qsort(sorted, r->count, sizeof sorted[0], by_size);
    return (double)sorted[at - 1];
}

void factors_note(struct factors *f, uint64_t rule, uint32_t estimate, uint32_t charge)
{
    struct rule_factor *r = find(f, rule);

    if (r == NULL)
        r = make(f, rule);
    r->used = ++f->notes;
    r->ratio[r->next] = (float)charge / (float)(estimate > 0 ? estimate : 1);
    r->next = (r->next + 1) % FACTOR_KEPT;
    if (r->count < FACTOR_KEPT)
        r->count++;
    r->factor = percentile(r);
    if (r->count < FACTOR_TRUSTED && r->factor < 1.0)
        r->factor = 1.0;
}

double factors_of(const struct factors *f, uint64_t rule)
{
    const struct rule_factor *r = find(f, rule);

    return r != NULL ? r->factor : 1.0;
}

uint64_t factors_apply(const struct factors *f, uint64_t rule, uint32_t estimate, uint64_t most, bool never_less)
{
    uint64_t by_itself = estimate > 0 ? estimate : 1;
    double factor = factors_of(f, rule), learned = ceil((double)by_itself * (never_less ? fmax(factor, 1.0) : factor));

    if (by_itself > most)
        return by_itself;
    if (learned > (double)most)
        return most;
    return learned > 1.0 ? (uint64_t)learned : 1;
}
