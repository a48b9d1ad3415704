/*
 * Upstreams beside one another: two of one name, two that list one host, and
 * those that share a budget.  Called by review.c.
 *
 * Names and hosts stand in tables, so thousands of upstreams are not compared each with each.
 */
#include "config/snapshot.h"

#include "base/table.h"
#include "budget/ledger.h"
#include "config/checks.h"

#include <libconfig.h>
#include <stdlib.h>
#include <strings.h>

enum {
    OTHERS_MOST = 4,   /* of one name or host so many are told to whoever comes after them */
    MEETINGS_MOST = 64 /* and of one upstream's hosts so many others */
};

struct twins_known { /* a name, a host or a budget */
    struct table_node node;
    struct slice      text;
    unsigned          port;
    unsigned          users[OTHERS_MOST]; /* upstreams, in order */
    unsigned          user_count;
    /* of a budget: the limits of its upstreams, equal ones once */
    const struct set_limit *limits[LEDGER_MAX_LIMITS];
    unsigned                limit_count;
    bool                    is_full;
};

struct meeting { /* of an upstream with an earlier one */
    unsigned    with;
    bool        by_name;
    const char *host; /* NULL: none is shared */
};

struct twins {
    struct reader             *r;
    const struct set_upstream *all;
    struct table               names, hosts, budgets;
    struct meeting            *meetings; /* of the upstream that is looked at */
    unsigned                   meeting_count, meeting_room;
    struct arena               arena;
};

/* FNV-1a over what is the same in either case. */
static uint64_t hash_of(struct slice text, unsigned port)
{
    uint64_t h = UINT64_C(14695981039346656037) ^ port;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        h = (h ^ (c >= 'A' && c <= 'Z' ? c | 0x20u : c)) * UINT64_C(1099511628211);
    }
    return h ^ h >> 32;
}

static struct twins_known *know(struct twins *t, struct table *in, struct slice text, unsigned port, bool case_counts)
{
    uint64_t            hash = hash_of(text, port);
    struct twins_known *k;

    TABLE_EACH(n, in, hash)
    {
        k = CONTAINER_OF(n, struct twins_known, node);
        if (k->port == port && (case_counts ? slice_eq(k->text, text) : slice_eq_nocase(k->text, text)))
            return k;
    }
    k = arena_alloc(&t->arena, sizeof *k);
    k->text = text;
    k->port = port;
    table_add(in, &k->node, hash);
    return k;
}

static struct meeting *meet(struct twins *t, unsigned with)
{
    for (unsigned i = 0; i < t->meeting_count; i++)
        if (t->meetings[i].with == with)
            return &t->meetings[i];
    MEM_ROOM(t->meetings, t->meeting_room, t->meeting_count + 1);
    t->meetings[t->meeting_count] = (struct meeting){ .with = with };
    return &t->meetings[t->meeting_count++];
}

static void use(struct twins_known *k, unsigned by)
{
    if (k->user_count < OTHERS_MOST && (k->user_count == 0 || k->users[k->user_count - 1] != by))
        k->users[k->user_count++] = by;
}

static void look_at_name(struct twins *t, unsigned i)
{
    struct twins_known *k;

    if (t->all[i].to.route.name == NULL)
        return;
    k = know(t, &t->names, slice_of(t->all[i].to.route.name), 0, true);
    for (unsigned u = 0; u < k->user_count; u++)
        meet(t, k->users[u])->by_name = true;
    use(k, i);
}

static void look_at_hosts(struct twins *t, unsigned i)
{
    for (const char *const *h = t->all[i].hosts; h != NULL && *h != NULL; h++) {
        struct host_entry   e;
        struct twins_known *k;

        if (!host_entry_parse(*h, &e))
            continue;
        k = know(t, &t->hosts, e.name, e.port, false);
        for (unsigned u = 0; u < k->user_count && t->meeting_count < MEETINGS_MOST; u++) {
            struct meeting *m = k->users[u] != i ? meet(t, k->users[u]) : NULL;

            if (m != NULL && m->host == NULL)
                m->host = *h;
        }
        use(k, i);
    }
}

static int by_place(const void *a, const void *b)
{
    const struct meeting *x = a, *y = b;

    return (x->with > y->with) - (x->with < y->with);
}

static void tell_meetings(struct twins *t, const struct set_upstream *u)
{
    if (t->meeting_count > 1)
        qsort(t->meetings, t->meeting_count, sizeof t->meetings[0], by_place);
    for (unsigned i = 0; i < t->meeting_count; i++) {
        const struct meeting      *m = &t->meetings[i];
        const struct set_upstream *first = &t->all[m->with];
        struct source_place        at = reader_place(first->from);

        if (m->by_name)
            reader_error(t->r, u->from, "name", "two upstreams are called \"%s\"; the other one stands at %s:%u",
                         first->to.route.name, at.file, at.line);
        if (m->host != NULL)
            reader_warning(t->r, u->from, "hosts",
                           "\"%s\" is a host of the upstream at %s:%u too, which gets its requests", m->host, at.file,
                           at.line);
    }
    t->meeting_count = 0;
}

/* -- budgets -- */

/* One limit, stated for two upstreams of a budget. */
static bool same_limit(const struct set_limit *a, const struct set_limit *b)
{
    return slice_eq(slice_of(a->rate), slice_of(b->rate)) && slice_eq(slice_of(a->to.name), slice_of(b->to.name)) &&
           slice_eq(slice_of(a->to.match), slice_of(b->to.match)) && a->to.per_credential == b->to.per_credential &&
           a->methods == NULL && b->methods == NULL && a->cost == NULL && b->cost == NULL;
}

static void add_limit(struct twins_known *budget, const struct set_limit *l)
{
    for (unsigned n = 0; n < budget->limit_count; n++)
        if (same_limit(budget->limits[n], l))
            return;
    if (budget->limit_count == LEDGER_MAX_LIMITS)
        budget->is_full = true;
    else
        budget->limits[budget->limit_count++] = l;
}

static void look_at_budget(struct twins *t, const struct set_upstream *u)
{
    const struct set_limit *l = u->limits.items;
    struct twins_known     *budget;

    if (u->to.fetch.budget == NULL)
        return;
    budget = know(t, &t->budgets, slice_of(u->to.fetch.budget), 0, true);
    for (unsigned k = 0; k < u->limits.count && !budget->is_full; k++)
        add_limit(budget, &l[k]);
    if (budget->is_full)
        reader_error(t->r, u->from, "budget", "the upstreams that share \"%s\" have more than %d limits",
                     u->to.fetch.budget, LEDGER_MAX_LIMITS);
}

void review_twins(struct reader *r, const struct set_upstream *all, unsigned count)
{
    struct twins t = { .r = r, .all = all };

    for (unsigned i = 0; i < count; i++) {
        if (!config_setting_is_group(all[i].from))
            continue;
        look_at_budget(&t, &all[i]);
        look_at_name(&t, i);
        look_at_hosts(&t, i);
        tell_meetings(&t, &all[i]);
    }
    table_free(&t.names);
    table_free(&t.hosts);
    table_free(&t.budgets);
    free(t.meetings);
    arena_free(&t.arena);
}

/* -- one list of hosts -- */

struct listed {
    struct slice name;
    unsigned     port, place;
};

static int by_host(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    size_t               shorter = x->name.len < y->name.len ? x->name.len : y->name.len;
    int                  order = strncasecmp(x->name.ptr, y->name.ptr, shorter);

    if (order == 0)
        order = (x->name.len > y->name.len) - (x->name.len < y->name.len);
    if (order == 0)
        order = (x->port > y->port) - (x->port < y->port);
    return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

void review_host_list(struct reader *r, const struct set_upstream *u)
{
    struct listed *all;
    unsigned       count = 0, n = 0;

    while (u->hosts != NULL && u->hosts[count] != NULL)
        count++;
    all = mem_alloc((count + 1) * sizeof all[0]);
    for (unsigned i = 0; i < count; i++) {
        struct host_entry e;

        if (host_entry_parse(u->hosts[i], &e))
            all[n++] = (struct listed){ e.name, e.port, i };
    }
    qsort(all, n, sizeof all[0], by_host);
    for (unsigned i = 1; i < n; i++)
        if (all[i].port == all[i - 1].port && slice_eq_nocase(all[i].name, all[i - 1].name))
            reader_error(r, u->from, "hosts", "\"" SLICE_FMT "\" stands in the list twice", SLICE_ARG(all[i].name));
    free(all);
}
