/*
 * /entries: what is stored, a line of JSON for each, streamed as the client takes it; the last line says how it ended.
 *
 * The store walks (store/walk.c): rows are made on its thread, a bounded part at a time, and the next part is asked for
 * when the client has taken the last.  A client that reads slowly holds nothing of the database.  With `sort` all is
 * gone through first, and only the `limit` best are kept.
 */
#include "admin/entries.h"

#include "admin/best.h"
#include "admin/row.h"
#include "base/clock.h"
#include "http/url.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PART_BYTES = 16 * 1024, LOOKS_AT_CLOCK = 128, SORTED_DEFAULT = 100, SORTED_MOST = 10000 };
#define PART_NS (50 * NS_PER_MS) /* what was found meanwhile goes out */

enum order { ORDER_NONE, ORDER_SIZE, ORDER_AGE, ORDER_HITS, ORDER_EXPIRES };
static const char *const orders[] = { "", "size", "age", "hits", "expires" };

struct entries {
    struct admin_call *call; /* worker's */
    struct store      *store;
    struct meant      *meant;
    struct store_walk  walk;
    enum order         order;
    uint64_t           limit; /* 0: none */
    /* the walk's, and while it does not walk the worker's */
    char       *rows;
    size_t      used, capacity;
    uint64_t    listed;
    int64_t     part_until_ns;
    bool        has_more; /* than the limit lets be told */
    struct best best;     /* with an order */
};

/* -- rows: the walk's thread -- */

static size_t write_row(char *room, size_t bytes, const struct entry_facts *e, int64_t hits)
{
    struct json_out o = { room, bytes, 0, false };

    json_raw(&o, SLICE("{"));
    row_put(&o, e, hits);
    json_raw(&o, SLICE("}\n"));
    return o.overflow ? 0 : o.used;
}

static int64_t worth_of(enum order order, const struct entry_facts *e, int64_t hits)
{
    switch (order) {
    case ORDER_SIZE:
        return e->body_bytes;
    case ORDER_AGE:
        return e->age_ns;
    case ORDER_HITS:
        return hits;
    case ORDER_EXPIRES:
        return e->state == ENTRY_UNUSED ? INT64_MIN : -e->left_ns;
    default:
        return 0;
    }
}

/* Where the row that is made next stands. */
static char *row_at(struct entries *n, const struct entry_facts *e)
{
    MEM_ROOM(n->rows, n->capacity, n->used + row_room(e));
    return n->rows + n->used;
}

/* Among the best so far, or not at all. */
static void sort_in(struct entries *n, const struct entry_facts *e, int64_t hits)
{
    const int64_t worth = worth_of(n->order, e, hits);
    char         *row;

    if (!best_wants(&n->best, worth))
        return;
    row = row_at(n, e);
    best_put(&n->best, worth, (struct slice){ row, write_row(row, row_room(e), e, hits) });
}

/* False: enough for this part. */
static bool list(struct entries *n, const struct entry_facts *e, int64_t hits)
{
    if (n->limit > 0 && n->listed == n->limit) {
        n->has_more = true;
        return false;
    }
    n->used += write_row(row_at(n, e), row_room(e), e, hits);
    n->listed++;
    return n->used < PART_BYTES;
}

static bool visit(void *context, const struct store_record *r)
{
    struct entries    *n = context;
    struct entry_facts e;
    bool               wants_more = true;

    arena_reset(&n->meant->scratch);
    if (entry_is_meant(&n->meant->wish, &n->meant->reader, r, &n->meant->scratch, &e)) {
        if (n->order != ORDER_NONE)
            sort_in(n, &e, admin_hits(n->call->admin, r));
        else
            wants_more = list(n, &e, admin_hits(n->call->admin, r));
    }
    if (n->used > 0 && n->walk.seen % LOOKS_AT_CLOCK == 0 && clock_mono_ns() >= n->part_until_ns)
        wants_more = false;
    return wants_more;
}

/* -- the answer: the worker's thread -- */

static void entries_free(void *state)
{
    struct entries *n = state;

    best_free(&n->best);
    meant_free(n->meant);
    free(n->rows);
    free(n);
}

static void entries_cancel(void *state)
{
    struct entries *n = state;

    atomic_store_explicit(&n->walk.is_cancelled, true, memory_order_relaxed);
}

static void add_row(void *context, struct slice row)
{
    struct entries *n = context;

    MEM_ROOM(n->rows, n->capacity, n->used + row.len);
    memcpy(n->rows + n->used, row.ptr, row.len);
    n->used += row.len;
}

static void end(struct entries *n)
{
    char text[128];
    int  used = snprintf(text, sizeof text, "{\"listed\": %" PRIu64 ", \"more\": %s}\n", n->listed,
                        n->has_more ? "true" : "false");

    admin_write(n->call, (struct slice){ text, (size_t)used });
    admin_finish(n->call);
}

static void walk_on(struct entries *n)
{
    n->part_until_ns = clock_mono_ns() + PART_NS;
    n->call->awaits_mail = true;
    store_walk(n->store, &n->walk);
}

static void write_more(struct admin_call *call)
{
    struct entries *n = call->own.state;

    if (n->order != ORDER_NONE && n->walk.at_end) {
        n->has_more = n->best.met > n->limit;
        n->listed = best_take(&n->best, add_row, n);
    }
    admin_write(call, (struct slice){ n->rows, n->used });
    n->used = 0;
    if (n->walk.at_end || n->has_more)
        end(n);
    else
        walk_on(n);
}

static void walked(struct mail *m)
{
    struct entries *n = CONTAINER_OF(CONTAINER_OF(m, struct store_walk, done), struct entries, walk);

    admin_walked(n->call, n->walk.ok, write_more);
}

static void settled(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, change.done);

    if (admin_has_changed(call, PROBLEM_CACHE_UNREADABLE, "The cache is broken; the log says why."))
        walk_on(call->own.state);
}

/* -- what is asked for -- */

static bool take_order(struct entries *n, struct slice value, struct fault *why)
{
    for (unsigned i = 1; i < sizeof orders / sizeof orders[0]; i++)
        if (slice_eq(value, slice_of(orders[i]))) {
            n->order = (enum order)i;
            if (n->order == ORDER_HITS && admin_is_alone(n->call->admin))
                return fault_set(why, "Hits are counted while weir runs, and it does not."), false;
            return true;
        }
    return fault_set(why, "It is sorted by size, age, hits or expires."), false;
}

static bool take_limit(struct entries *n, struct slice value, struct fault *why)
{
    int64_t limit;

    if (!slice_to_int64(value, &limit) || limit < 1)
        return fault_set(why, "A limit is a number from 1 on."), false;
    n->limit = (uint64_t)limit;
    return true;
}

static bool take(struct entries *n, struct slice name, struct slice value, struct fault *why)
{
    if (slice_eq(name, SLICE("sort")))
        return take_order(n, value, why);
    if (slice_eq(name, SLICE("limit")))
        return take_limit(n, value, why);
    switch (meant_take(n->meant, name, value, why)) {
    case MEANT_TAKEN:
        return true;
    case MEANT_WRONG:
        return false;
    default:
        return fault_set(why,
                         "There is no parameter \"" SLICE_FMT "\"; there are url, upstream, tag, stale, expired, "
                         "older_than, whose, sort and limit.",
                         SLICE_ARG(slice_sub(name, 0, 60))),
               false;
    }
}

static bool read_wish(struct entries *n, struct fault *why)
{
    struct admin_call *call = n->call;
    struct slice       rest = call->query, parameter;

    while (http_query_next(&rest, &parameter)) {
        size_t equals = slice_find(parameter, '=', 0);

        if (parameter.len > 0 &&
            !take(n, slice_sub(parameter, 0, equals),
                  http_percent_decode(slice_sub(parameter, equals + 1, parameter.len), &call->arena), why))
            return false;
    }
    if (n->order != ORDER_NONE && n->limit == 0)
        n->limit = SORTED_DEFAULT;
    if (n->order != ORDER_NONE && n->limit > SORTED_MOST)
        return fault_set(why, "Sorted, at most %d are told.", SORTED_MOST), false;
    best_init(&n->best, n->limit);
    return true;
}

static struct entries *entries_new(struct admin_call *call, struct meant *meant)
{
    struct entries *n = mem_alloc(sizeof *n);

    n->call = call;
    n->store = call->admin->services->store;
    n->meant = meant;
    n->walk.visit = visit;
    n->walk.context = n;
    n->walk.reply_to = call->admin->mailbox;
    n->walk.done.receive = walked;
    call->own = (struct admin_own){ .state = n, .free = entries_free, .cancel = entries_cancel };
    return n;
}

static void settle(struct admin_call *call)
{
    call->change.kind = STORE_SETTLE;
    admin_submit_change(call, settled);
}

void entries_list(struct admin_call *call, struct meant *meant)
{
    entries_new(call, meant);
    settle(call);
}

static void run(struct admin_call *call)
{
    struct fault why = { "" };

    if (read_wish(entries_new(call, meant_new(call)), &why))
        settle(call);
    else
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD, why.text);
}

const struct endpoint endpoint_entries = { "/entries", HTTP_GET, run, ON_QUERY_SOCKET | WITHOUT_DAEMON };
