/*
 * A short list that is looked through: it is empty but for those few with a dead credential.
 */
#include "budget/denials.h"

#include "base/arena.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define PROBE_NS (10 * NS_PER_SEC)   /* should a probe never report, another goes after that */
#define KNOWN_NS (3600 * NS_PER_SEC) /* so long a credential that has passed is known as good */
#define MOST_NS  (3600 * NS_PER_SEC) /* unless the setting says more */

void denials_free(struct denials *d)
{
    free(d->items);
    free(d->passes);
    *d = (struct denials){ 0 };
}

static struct denial *find(const struct denials *d, const uint8_t credential[DENIAL_BYTES])
{
    for (unsigned i = 0; i < d->count; i++)
        if (memcmp(d->items[i].credential, credential, DENIAL_BYTES) == 0)
            return &d->items[i];
    return NULL;
}

/* In place of the oldest where there are too many. */
static struct denial *add(struct denials *d, const uint8_t credential[DENIAL_BYTES])
{
    struct denial *e;

    if (d->items == NULL)
        d->items = mem_alloc(DENIALS_MOST * sizeof *d->items);
    if (d->count < DENIALS_MOST) {
        e = &d->items[d->count++];
    } else {
        e = &d->items[0];
        for (unsigned i = 1; i < d->count; i++)
            if (d->items[i].heard_ns < e->heard_ns)
                e = &d->items[i];
    }
    *e = (struct denial){ 0 };
    memcpy(e->credential, credential, DENIAL_BYTES);
    return e;
}

/* One that has turned out to be good at several others says nothing by a 401. */
static bool is_odd(const struct denial *e, uint64_t path)
{
    for (unsigned i = 0; i < e->odd_count; i++)
        if (e->odd[i] == path)
            return true;
    return e->odd_count == DENIAL_ODD_PATHS;
}

int64_t denials_wait_ns(const struct denials *d, const uint8_t credential[DENIAL_BYTES], uint64_t path, int64_t now_ns)
{
    const struct denial *e = find(d, credential);

    if (e == NULL || (e->is_path_alone && path != e->path))
        return 0;
    return e->until_ns <= now_ns || is_odd(e, path) ? 0 : e->until_ns - now_ns;
}

void denials_send(struct denials *d, const uint8_t credential[DENIAL_BYTES], int64_t now_ns)
{
    struct denial *e = find(d, credential);

    if (e != NULL && e->until_ns != 0 && e->until_ns <= now_ns)
        e->until_ns = now_ns + PROBE_NS;
}

static struct denial_pass *pass_of(const struct denials *d, const uint8_t credential[DENIAL_BYTES], uint64_t *hash)
{
    memcpy(hash, credential, sizeof *hash);
    return d->passes != NULL ? &d->passes[*hash % DENIAL_PASSES] : NULL;
}

/* INT64_MIN: it is not known that it has. */
static int64_t last_pass_ns(const struct denials *d, const uint8_t credential[DENIAL_BYTES])
{
    uint64_t                  hash;
    const struct denial_pass *p = pass_of(d, credential, &hash);

    return p != NULL && p->credential == hash ? p->at_ns : INT64_MIN;
}

static void note_pass(struct denials *d, const uint8_t credential[DENIAL_BYTES], int64_t now_ns)
{
    uint64_t            hash;
    struct denial_pass *p;

    if (d->passes == NULL)
        d->passes = mem_alloc(DENIAL_PASSES * sizeof *d->passes);
    p = pass_of(d, credential, &hash);
    *p = (struct denial_pass){ hash, now_ns };
}

/* Where a 401 at another path came before and nothing has passed since, it is no path's. */
static bool is_of_path(const struct denials *d, const struct denial *e, uint64_t path, int64_t now_ns)
{
    int64_t passed_ns = last_pass_ns(d, e->credential);

    if (passed_ns == INT64_MIN || now_ns - passed_ns > KNOWN_NS)
        return false;
    return e->heard_ns == 0 || path == e->path || passed_ns > e->heard_ns;
}

int64_t denials_hear(struct denials *d, const uint8_t credential[DENIAL_BYTES], uint64_t path, int64_t sent_ns,
                     int64_t now_ns, int64_t hold_ns)
{
    struct denial *e = find(d, credential);
    int64_t        most_ns = hold_ns > MOST_NS ? hold_ns : MOST_NS;
    bool           held = e != NULL && e->until_ns != 0 && (!e->is_path_alone || path == e->path), of_path;

    if (e == NULL)
        e = add(d, credential);
    else if (is_odd(e, path) || (held && sent_ns <= e->heard_ns))
        return 0;
    of_path = (!held || e->is_path_alone) && is_of_path(d, e, path, now_ns);
    e->pause_ns = !held ? hold_ns : e->pause_ns < most_ns / 2 ? e->pause_ns * 2 : most_ns;
    e->is_path_alone = of_path;
    e->until_ns = now_ns + e->pause_ns;
    e->heard_ns = now_ns;
    e->path = path;
    return e->pause_ns;
}

bool denials_pass(struct denials *d, const uint8_t credential[DENIAL_BYTES], uint64_t path, int64_t sent_ns,
                  int64_t now_ns)
{
    struct denial *e = d->count > 0 ? find(d, credential) : NULL;
    bool           held = e != NULL && e->until_ns != 0;

    if (held && sent_ns <= e->heard_ns)
        return false; /* as good as it was then */
    note_pass(d, credential, now_ns);
    if (!held || (e->is_path_alone && path != e->path))
        return false;
    if (path != e->path && !is_odd(e, e->path))
        e->odd[e->odd_count++] = e->path;
    e->until_ns = 0;
    return true;
}

unsigned denials_forget(struct denials *d, int64_t now_ns)
{
    unsigned held = 0;

    for (unsigned i = 0; i < d->count; i++)
        held += d->items[i].until_ns > now_ns;
    denials_free(d);
    return held;
}
