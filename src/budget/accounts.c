/*
 * The table of credentials: open addressing with linear probing, removal by
 * moving up what follows.  Hashes stand beside the pointers, so that a look-up
 * touches one account.  A hand goes round it over many calls while accounts come and
 * go, for which base/table.h has no place to stop.  The one found last is likely to be asked for again, since
 * waiting, spending and settling follow each other.
 */
#include "budget/ledger_parts.h"

#include "base/arena.h"

#include <stdlib.h>
#include <xxhash.h>

enum { FIRST_CAPACITY = 16 };

static uint64_t hash_of(const uint8_t *credential)
{
    static const uint8_t none[LEDGER_CREDENTIAL_BYTES + 1];

    /* A byte more, so that no credential is like none. */
    return credential != NULL ? XXH3_64bits(credential, LEDGER_CREDENTIAL_BYTES) : XXH3_64bits(none, sizeof none);
}

static bool is_of(const struct account *a, const uint8_t *credential)
{
    if (credential == NULL)
        return !a->has_credential;
    return a->has_credential && memcmp(a->credential, credential, LEDGER_CREDENTIAL_BYTES) == 0;
}

struct account *accounts_find(struct accounts *t, const uint8_t *credential)
{
    uint64_t hash;

    if (t->count == 0)
        return NULL;
    if (t->last != NULL && is_of(t->last, credential))
        return t->last;
    hash = hash_of(credential);
    for (size_t at = hash & (t->capacity - 1); t->table[at].account != NULL; at = (at + 1) & (t->capacity - 1))
        if (t->table[at].hash == hash && is_of(t->table[at].account, credential))
            return t->last = t->table[at].account;
    return NULL;
}

static void place(struct accounts *t, struct account_place p)
{
    size_t at = p.hash & (t->capacity - 1);

    while (t->table[at].account != NULL)
        at = (at + 1) & (t->capacity - 1);
    t->table[at] = p;
}

static void grow(struct accounts *t)
{
    struct account_place *old = t->table;
    size_t                capacity = t->capacity;

    t->capacity = capacity > 0 ? capacity * 2 : FIRST_CAPACITY;
    t->table = mem_alloc(t->capacity * sizeof *t->table);
    for (size_t i = 0; i < capacity; i++)
        if (old[i].account != NULL)
            place(t, old[i]);
    free(old);
}

void accounts_add(struct accounts *t, struct account *a)
{
    if ((t->count + 1) * 2 > t->capacity)
        grow(t);
    place(t, (struct account_place){ hash_of(a->has_credential ? a->credential : NULL), a });
    t->count++;
}

void accounts_remove(struct accounts *t, struct account *a)
{
    size_t mask = t->capacity - 1, hole = hash_of(a->has_credential ? a->credential : NULL) & mask;

    while (t->table[hole].account != a)
        hole = (hole + 1) & mask;
    t->table[hole].account = NULL;
    for (size_t at = (hole + 1) & mask; t->table[at].account != NULL; at = (at + 1) & mask) {
        size_t home = t->table[at].hash & mask;

        if (((at - home) & mask) >= ((at - hole) & mask)) { /* its way from home leads over the hole */
            t->table[hole] = t->table[at];
            t->table[at].account = NULL;
            hole = at;
        }
    }
    t->count--;
    if (t->last == a)
        t->last = NULL;
}

struct account *accounts_next(const struct accounts *t, size_t *at)
{
    while (*at < t->capacity)
        if (t->table[(*at)++].account != NULL)
            return t->table[*at - 1].account;
    return NULL;
}
