/*
 * What a request may cost of its upstream's limits in any unit, before it is sent: where a limit's estimate reads the
 * body, the body is gathered first, as far as it is kept.
 */
#include "engine/internal.h"

#include "base/arena.h"
#include "budget/ledger.h"
#include "budget/term.h"
#include "http/json_values.h"

static bool is_metered(const struct upstream_options *o)
{
    for (unsigned i = 0; i < o->limit_count; i++)
        if (limit_is_metered(&o->limits[i]))
            return true;
    return false;
}

static unsigned gather_pointers(const struct upstream_options *o, const char *out[JSON_VALUES_MOST])
{
    unsigned count = 0;

    for (unsigned i = 0; i < o->limit_count; i++)
        for (unsigned k = 0; k < o->limits[i].estimate_count && count < JSON_VALUES_MOST; k++)
            if (o->limits[i].estimates[k].kind == TERM_JSON)
                out[count++] = o->limits[i].estimates[k].name;
    return count;
}

/* Of a length that is known, the length alone need not be waited for. */
static bool reads_body(const struct exchange *x)
{
    const struct upstream_options *o = &x->up->fetch;

    for (unsigned i = 0; i < o->limit_count; i++)
        for (unsigned k = 0; k < o->limits[i].estimate_count; k++)
            if (o->limits[i].estimates[k].kind == TERM_JSON ||
                (o->limits[i].estimates[k].kind == TERM_BODY && x->in.body_bytes < 0))
                return true;
    return false;
}

bool estimate_awaits_body(struct exchange *x)
{
    if (x->body.upload == NULL || x->body.ended || x->body.estimating || !reads_body(x))
        return x->body.estimating && x->body.collecting && !x->body.ended;
    x->body.estimating = x->body.collecting = true;
    return true;
}

static bool value_at(void *context, const char *pointer, double *out)
{
    const struct json_values *values = context;

    return values != NULL && json_values_at(values, pointer, out);
}

void estimate_fill(struct exchange *x, struct fetch *f)
{
    const struct upstream_options *o = &x->up->fetch;
    const char                    *pointers[JSON_VALUES_MOST];
    struct json_values            *values = NULL;
    const void                    *bytes = NULL;
    size_t                         count = 0;
    struct term_facts              facts = { .body_bytes = x->in.has_body ? x->in.body_bytes : 0,
                                             .fields = &x->in.request.fields,
                                             .json = value_at };
    struct estimate               *estimates;

    if (!is_metered(o))
        return;
    x->body.collecting = x->body.collecting && !x->body.estimating;
    if (x->body.upload != NULL && x->body.ended && upload_whole(x->body.upload, &bytes, &count)) {
        values = json_values_open(pointers, gather_pointers(o, pointers), false);
        json_values_feed(values, bytes, count);
        json_values_end(values);
        facts.body_bytes = (int64_t)count;
        facts.context = values;
    } else if (x->body.upload != NULL && facts.body_bytes < x->body.received_bytes) {
        facts.body_bytes = x->body.received_bytes; /* so much at least */
    }
    estimates = arena_alloc(&f->arena, o->limit_count * sizeof estimates[0]);
    for (unsigned i = 0; i < o->limit_count; i++) {
        estimates[i].limit = ledger_limit_name(o->limits[i].name);
        estimates[i].is_unread = !terms_amount(o->limits[i].estimates, o->limits[i].estimate_count, o->limits[i].scale,
                                               &facts, &estimates[i].amount);
    }
    json_values_close(values);
    f->cost.rule = ledger_limit_name(x->policy->label);
    f->cost.estimates = estimates;
    f->cost.estimate_count = o->limit_count;
}
