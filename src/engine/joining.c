/*
 * A request and the run that it belongs to: by the token in its proxy user, which goes no further than this.
 */
#include "engine/internal.h"

#include "engine/mode.h"
#include "engine/runs.h"
#include "http/basic.h"

static struct slice proxy_user(struct exchange *x)
{
    if (x->in.proxy_user.ptr != NULL)
        return x->in.proxy_user;
    return http_basic_user(http_fields_get(&x->in.request.fields, HTTP_PROXY_AUTHORIZATION), &x->arena);
}

static int64_t uid_of(const struct exchange *x)
{
    const struct peer *who = x->in.who(x->in.owner);

    return who->has_uid ? (int64_t)who->uid : -1;
}

static enum step refuse(struct exchange *x)
{
    return reply_problem(x, &(struct problem){ .kind = PROBLEM_RUN_OVER,
                                               .retry_after_ns = -1,
                                               .close = true,
                                               .detail = SLICE("The proxy user is the token of a weirctl run that is "
                                                               "over, or of another user's: nothing was sent.") });
}

/* Its mode is the run's, and its name the one that was given to that. */
static void hold(struct exchange *x, struct own_run *run)
{
    x->mode.run = run;
    x->in.run = run;
    exchange_set_mode(x, run_mode(run));
    if (run_tape(run) != NULL)
        exchange_set_tape(x, run_tape(run));
}

enum step joining_run(struct exchange *x)
{
    struct slice    user;
    struct own_run *run;

    if (x->in.run != NULL) { /* an item's */
        run_acquire(x->in.run);
        hold(x, x->in.run);
        return run_is_over(x->mode.run) ? refuse(x) : STEP_ROUTE;
    }
    user = proxy_user(x);
    if (!runs_is_token(user) || x->mode.dry != NULL)
        return STEP_ROUTE;
    http_fields_remove(&x->in.request.fields, HTTP_PROXY_AUTHORIZATION);
    x->in.proxy_user = SLICE_NONE;
    run = x->engine->services->runs != NULL ? runs_find(x->engine->services->runs, user, uid_of(x)) : NULL;
    if (run == NULL)
        return refuse(x);
    hold(x, run);
    x->in.proxy_user = run_as(run);
    return STEP_ROUTE;
}

void joining_count(struct exchange *x)
{
    if (x->mode.dry != NULL || x->route.way == ROUTE_OWN)
        return;
    if (x->mode.run != NULL)
        run_note_request(x->mode.run);
    else if (runs_any(x->engine->services->runs))
        runs_note_astray(x->engine->services->runs, uid_of(x));
}
