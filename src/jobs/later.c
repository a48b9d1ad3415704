/*
 * A batch that is answered later: it is looked at whole, as any document is, and then becomes a task that asks it
 * (taking.c).  What is looked for meanwhile is whether it holds credentials, and whether it may be sent twice.
 */
#include "jobs/internal.h"
#include "jobs/task.h"

#include "http/prefer.h"
#include "policy/caller.h"

void later_read_fields(struct batch *b)
{
    const struct http_fields *f = &service_input(b->outer)->request.fields;
    const struct slice        async = http_fields_get(f, HTTP_WEIR_ASYNC);

    if (async.ptr != NULL && !slice_eq(async, SLICE("1")) && !slice_eq(async, SLICE("0")))
        batch_refuse(b, PROBLEM_BATCH_OPTION, SLICE("Weir-Async: 1 is wanted."));
    if (slice_eq(async, SLICE("1")) || prefer_read(f).respond_async)
        b->wanted.async = true;
}

/* Of a run, whose mode ends with it, everything is answered at once. */
bool later_is_wanted(const struct batch *b)
{
    const struct exchange_input *outer = service_input(b->outer);

    return b->wanted.async && outer->job == NULL && outer->run == NULL;
}

/* Is anything of it his own credential? */
static bool holds_credential(const struct item *i, const struct config_upstream *up)
{
    const struct http_request   *r = &i->asked.request;
    const struct policy_options *policy = &up->route.policy;
    struct arena                 a = { 0 };
    bool                         found = false;

    for (unsigned n = 0; n < r->fields.count && !found; n++) {
        const struct http_field *f = &r->fields.items[n];

        found = task_field_is_credential(up, policy, f->name) &&
                (f->id != HTTP_COOKIE || policy_cookies_that_count(policy, f->value, &a).len > 0);
    }
    found = found || task_shown_target(policy, r->target, &a).ptr != r->target.ptr;
    arena_free(&a);
    return found;
}

static bool is_listed(struct slice lines, struct slice name)
{
    while (lines.len > 0) {
        const size_t end = slice_find(lines, '\n', 0);

        if (slice_eq(slice_sub(lines, 0, end), name))
            return true;
        lines = slice_sub(lines, end + 1, lines.len);
    }
    return false;
}

void later_note(struct batch *b, const struct item *i)
{
    const struct http_request    *r = &i->asked.request;
    const struct config_upstream *up = config_find_upstream(service_config(b->outer), i->asked.upstream);

    if (!is_listed(b->later.upstreams, slice_of(i->asked.upstream)))
        b->later.upstreams = ARENA_JOIN(b->arena, b->later.upstreams, slice_of(i->asked.upstream), SLICE("\n"));
    b->later.own_credential = b->later.own_credential || (up != NULL && holds_credential(i, up));
    b->later.does_harm = b->later.does_harm || (!http_method_is_idempotent(r->method) &&
                                                http_fields_find(&r->fields, HTTP_IDEMPOTENCY_KEY, 0) < 0);
}

void later_take(struct batch *b)
{
    const struct task_batch looked_at = { .body = b->in.body,
                                          .upstreams = b->later.upstreams,
                                          .own_credential = b->later.own_credential,
                                          .may_repeat = !b->later.does_harm };

    b->later.taker = taking_take_batch(b->outer, &looked_at);
    service_wake(b->outer);
}

void later_close(struct batch *b)
{
    if (b->later.taker != NULL)
        taking_leave_batch(b->later.taker);
    b->later.taker = NULL;
}
