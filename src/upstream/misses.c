/*
 * The last misses of each rule, so that somebody can be told what they differ in.
 *
 * Of a miss is kept: its path as a hash, the names of what its key is made of beside that (parameters, fields of
 * match_headers, the body, whose it is) and a short hash of each value, with a seed of this process; no value, so no
 * secret and no URL can be read out of it.  What is more than DIMENSIONS is one hash.  Of the rules
 * those that missed last are remembered, RULES at most: some two megabytes.
 *
 * Upstream thread; noted as a fetch arrives, which no hit does.
 */
#include "upstream/internal.h"

#include "http/url.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>

enum { RULES = 256, DIMENSIONS = 10 };

struct dimension {
    char     kind; /* enum miss_kind */
    char     name[MISSES_NAME_BYTES];
    bool     is_cut;
    uint32_t value;
};

struct miss {
    uint64_t         number, path, key;
    uint32_t         rest; /* of what had no room; 0: all had */
    uint8_t          count, reason;
    bool             is_answered;
    uint8_t          storable;
    struct dimension by[DIMENSIONS];
};

struct rule_log {
    struct table_node     by_rule;
    TAILQ_ENTRY(rule_log) entry; /* the one that missed last is the first */
    unsigned              next, count;
    struct miss           ring[MISSES_KEPT];
};

TAILQ_HEAD(rule_logs, rule_log);
struct misses {
    struct table     rules;
    struct rule_logs all;
    unsigned         count;
    uint64_t         number, seed;
};

struct misses *misses_open(void)
{
    struct misses *m = mem_alloc(sizeof *m);

    TAILQ_INIT(&m->all);
    m->seed = (uint64_t)clock_wall_ns() ^ (uint64_t)(uintptr_t)m;
    return m;
}

void misses_close(struct misses *m)
{
    struct rule_log *r;

    if (m == NULL)
        return;
    while ((r = TAILQ_FIRST(&m->all)) != NULL) {
        TAILQ_REMOVE(&m->all, r, entry);
        free(r);
    }
    table_free(&m->rules);
    free(m);
}

/* -- whose misses they are -- */

static uint64_t rule_hash(const struct misses *m, const char *upstream, const struct policy_options *rule)
{
    const char *label = rule->label != NULL ? rule->label : "";
    uint64_t    h = XXH3_64bits_withSeed(upstream, strlen(upstream), m->seed);

    return XXH3_64bits_withSeed(label, strlen(label), h);
}

/* 64 bits of a hash with a seed of our own: what falls together is a wrong hint, no more. */
static struct rule_log *find(const struct misses *m, uint64_t hash)
{
    TABLE_EACH(n, &m->rules, hash)
    return CONTAINER_OF(n, struct rule_log, by_rule);
    return NULL;
}

static struct rule_log *take(struct misses *m, uint64_t hash)
{
    struct rule_log *r = find(m, hash);

    if (r != NULL) {
        TAILQ_REMOVE(&m->all, r, entry);
    } else if (m->count < RULES) {
        r = mem_alloc(sizeof *r);
        m->count++;
        table_add(&m->rules, &r->by_rule, hash);
    } else {
        r = TAILQ_LAST(&m->all, rule_logs);
        TAILQ_REMOVE(&m->all, r, entry);
        table_remove(&m->rules, &r->by_rule);
        memset(r, 0, sizeof *r);
        table_add(&m->rules, &r->by_rule, hash);
    }
    TAILQ_INSERT_HEAD(&m->all, r, entry);
    return r;
}

/* -- what a key is made of -- */

struct miss_reading {
    struct miss *miss;
    uint64_t     seed;
};

static uint32_t short_hash(struct slice text, uint64_t seed)
{
    return (uint32_t)XXH3_64bits_withSeed(text.ptr, text.len, seed);
}

static struct dimension *find_dimension(struct miss *m, char kind, struct slice name)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->by[i].kind == kind && slice_eq(name, slice_of(m->by[i].name)))
            return &m->by[i];
    return NULL;
}

static void add(struct miss_reading *r, enum miss_kind kind, struct slice name, struct slice value)
{
    struct miss      *m = r->miss;
    struct slice      kept = slice_sub(name, 0, MISSES_NAME_BYTES - 1);
    struct dimension *d = find_dimension(m, (char)kind, kept);
    /* The name as a whole counts, so that two long ones that begin alike are two values at least. */
    uint32_t hash = short_hash(value, r->seed + short_hash(name, r->seed));

    if (d != NULL) {
        d->value = d->value * 31 + hash;
        return;
    }
    if (m->count == DIMENSIONS) {
        m->rest = m->rest * 31 + (hash | 1);
        return;
    }
    d = &m->by[m->count++];
    *d = (struct dimension){ .kind = (char)kind, .is_cut = name.len > kept.len, .value = hash };
    if (kept.len > 0)
        memcpy(d->name, kept.ptr, kept.len);
}

static void add_query(struct miss_reading *r, struct slice query)
{
    struct slice parameter;

    while (http_query_next(&query, &parameter)) {
        size_t equals = slice_find(parameter, '=', 0);

        add(r, MISS_PARAM, slice_sub(parameter, 0, equals), slice_sub(parameter, equals + 1, parameter.len));
    }
}

/* Lines of the key after the first: "name: value", "name", "#hash". */
static void add_lines(struct miss_reading *r, struct slice rest)
{
    while (rest.len > 0) {
        size_t       end = slice_find(rest, '\n', 0);
        struct slice line = slice_sub(rest, 0, end);
        size_t       colon = slice_find(line, ':', 0);

        if (line.len > 0 && line.ptr[0] == '#')
            add(r, MISS_BODY, SLICE(""), line);
        else
            add(r, MISS_FIELD, slice_sub(line, 0, colon), slice_sub(line, colon, line.len));
        rest = slice_sub(rest, end + 1, rest.len);
    }
}

/* "<partition> <method> <url>" and lines: policy/key.h. */
static void read_key(struct miss *m, uint64_t seed, struct slice full)
{
    struct miss_reading r = { m, seed };
    size_t              whose = slice_find(full, ' ', 0), method = slice_find(full, ' ', whose + 1);
    size_t              end = slice_find(full, '\n', method);
    struct slice        url = slice_sub(full, method + 1, end);
    size_t              query = slice_find(url, '?', 0);

    m->key = XXH3_64bits_withSeed(full.ptr, full.len, seed);
    m->path = XXH3_64bits_withSeed(url.ptr, query, seed);
    add(&r, MISS_WHOSE, SLICE(""), slice_sub(full, 0, whose));
    add(&r, MISS_METHOD, SLICE(""), slice_sub(full, whose + 1, method));
    add_query(&r, slice_sub(url, query + 1, url.len));
    add_lines(&r, slice_sub(full, end + 1, full.len));
}

/* -- noting -- */

void misses_note(struct fetch_links *w)
{
    const struct fetch *f = w->fetch;
    struct misses      *all = w->up->misses;
    struct rule_log    *r;
    struct miss        *m;

    if (!f->has_key || f->manner.refresh_behind || f->reason == FWD_NONE)
        return;
    r = take(all, rule_hash(all, f->upstream->name, f->policy));
    m = &r->ring[r->next];
    r->next = (r->next + 1) % MISSES_KEPT;
    if (r->count < MISSES_KEPT)
        r->count++;
    m->count = 0;
    m->rest = 0;
    m->is_answered = false;
    m->number = w->miss = ++all->number;
    m->reason = (uint8_t)f->reason;
    read_key(m, all->seed, f->key.full);
}

void misses_end(const struct fetch *f, enum storable storable)
{
    struct misses   *all = f->links->up->misses;
    struct rule_log *r;

    if (f->links->miss == 0 || (r = find(all, rule_hash(all, f->upstream->name, f->policy))) == NULL)
        return;
    for (unsigned i = 0; i < r->count; i++)
        if (r->ring[i].number == f->links->miss) {
            r->ring[i].is_answered = true;
            r->ring[i].storable = (uint8_t)storable;
        }
}

/* -- telling -- */

static const struct dimension *same_name(const struct miss *m, const struct dimension *d)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->by[i].kind == d->kind && strcmp(m->by[i].name, d->name) == 0)
            return &m->by[i];
    return NULL;
}

/* The one thing that the two differ in; NULL: in none or in several.  *several: how many. */
static const struct dimension *only_difference(const struct miss *a, const struct miss *b, unsigned *several)
{
    const struct dimension *one = NULL;

    *several = a->rest != b->rest;
    for (unsigned i = 0; i < a->count; i++) {
        const struct dimension *other = same_name(b, &a->by[i]);

        if (other != NULL && other->value == a->by[i].value)
            continue;
        one = &a->by[i];
        ++*several;
    }
    for (unsigned i = 0; i < b->count; i++)
        if (same_name(a, &b->by[i]) == NULL) {
            one = &b->by[i];
            ++*several;
        }
    return *several == 1 && a->rest == b->rest ? one : NULL;
}

static struct miss_difference *told_as(struct rule_misses *out, enum miss_kind kind, const struct dimension *d)
{
    for (unsigned i = 0; i < out->differences; i++)
        if (out->by[i].kind == kind && strcmp(out->by[i].name, d != NULL ? d->name : "") == 0)
            return &out->by[i];
    if (out->differences == MISSES_TOLD)
        return NULL;
    out->by[out->differences] = (struct miss_difference){ .kind = kind, .is_cut = d != NULL && d->is_cut };
    if (d != NULL)
        memcpy(out->by[out->differences].name, d->name, sizeof d->name);
    return &out->by[out->differences++];
}

/* Each miss counts once for each thing that tells it alone from another. */
static void compare(const struct rule_log *r, unsigned at, struct rule_misses *out)
{
    const struct miss      *m = &r->ring[at];
    struct miss_difference *told[MISSES_KEPT];
    unsigned                told_count = 0;
    bool                    again = false;

    for (unsigned i = 0; i < r->count; i++) {
        const struct miss      *other = &r->ring[i];
        unsigned                several;
        const struct dimension *d;
        struct miss_difference *t;
        bool                    counted = false;

        if (i == at || other->path != m->path)
            continue;
        if (other->key == m->key) {
            again = again || other->number < m->number;
            continue;
        }
        d = only_difference(m, other, &several);
        if (d == NULL && several > 0)
            continue;
        t = told_as(out, d != NULL ? (enum miss_kind)d->kind : MISS_ORDER, d);
        for (unsigned k = 0; k < told_count; k++)
            counted = counted || told[k] == t;
        if (t == NULL || counted)
            continue;
        told[told_count++] = t;
        t->count++;
    }
    out->again += again;
}

static int by_count(const void *a, const void *b)
{
    const struct miss_difference *x = a, *y = b;

    return (x->count < y->count) - (x->count > y->count);
}

bool misses_of(const struct misses *m, const char *upstream, const struct policy_options *rule, struct rule_misses *out)
{
    const struct rule_log *r = find(m, rule_hash(m, upstream, rule));

    *out = (struct rule_misses){ 0 };
    if (r == NULL)
        return false;
    out->count = r->count;
    for (unsigned i = 0; i < r->count; i++) {
        compare(r, i, out);
        out->reasons[r->ring[i].reason]++;
        if (!r->ring[i].is_answered)
            continue;
        out->answered++;
        out->storable[r->ring[i].storable]++;
    }
    qsort(out->by, out->differences, sizeof out->by[0], by_count);
    return true;
}
