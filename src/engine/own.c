/*
 * What is for no upstream: Weir's own endpoints, and what to say to a request that names none.
 */
#include "engine/internal.h"

#include "engine/service.h"
#include "http/url.h"

static bool is_at(const struct engine_service *s, struct slice path)
{
    const struct slice top = slice_of(s->path);

    return slice_eq(path, top) ||
           (s->below && path.len > top.len && slice_starts_with(path, top) && path.ptr[top.len] == '/');
}

static const struct engine_service *find_service(const struct exchange *x, struct slice path)
{
    const struct engine_service *const *s = x->engine->services->own;

    while (s != NULL && *s != NULL && !is_at(*s, path))
        s++;
    return s != NULL ? *s : NULL;
}

/* Entered again when the answer is there. */
static enum step serve(struct exchange *x, const struct engine_service *service)
{
    if (x->service.handle == NULL && !x->service.answered) {
        x->body.continued = true;
        x->service.of = service;
        x->service.handle = service->open(x);
    }
    if (!x->service.answered)
        return STEP_SUSPEND;
    return x->service.complete ? STEP_DONE : STEP_FINISH;
}

/* What the name of an error means, for people. */
static enum step error_page(struct exchange *x, struct slice name)
{
    struct slice text = problem_page(name, &x->arena);

    if (text.ptr == NULL)
        return reply_problem(x, &(struct problem){ .kind = PROBLEM_NO_ENDPOINT,
                                                   .retry_after_ns = -1,
                                                   .detail = SLICE("No error of Weir's has that name; weir(8) lists "
                                                                   "all of them.") });
    return reply_text(x, 200, "text/plain; charset=utf-8", text);
}

/* What cannot be tried is not done instead. */
static const struct bad_wish no_dry_run = {
    { "Weir-Dry-Run", 12 }, { "", 0 }, "there is no dry run of this; of a batch and of requests to an API there is"
};

static enum step endpoint(struct exchange *x)
{
    const struct engine_service *service;
    struct slice                 path, query;
    struct bad_wish              bad;

    x->log.cache = "own";
    if (!policy_wish(&x->in.request, &x->wish, &bad))
        return rule_refuse_field(x, &bad);
    http_target_split(x->in.request.target, &path, &query);
    service = find_service(x, path);
    if (x->wish.dry != DRY_NOT && !http_method_is_safe(x->in.request.method) &&
        (service == NULL || !service->heeds_dry_run))
        return rule_refuse_field(x, &no_dry_run);
    if (service != NULL)
        return x->mode.dry == NULL ? serve(x, service) : STEP_SUSPEND;
    if (slice_eq(path, SLICE("/.weir/health")))
        return reply_text(x, 200, "text/plain", SLICE("ok\n"));
    if (slice_starts_with(path, SLICE(PROBLEM_PAGES)))
        return error_page(x, slice_sub(path, sizeof PROBLEM_PAGES - 1, path.len));
    return reply_problem(x, &(struct problem){ .kind = PROBLEM_NO_ENDPOINT,
                                               .retry_after_ns = -1,
                                               .detail = SLICE("Weir's own endpoints on this port are /.weir/health, "
                                                               "/.weir/batch, /.weir/jobs and /.weir/errors/NAME.") });
}

static enum step nowhere(struct exchange *x, struct slice host)
{
    struct slice names = SLICE("");

    if (!route_is_own_host(x, host))
        return reply_refusal(x,
                             &(struct refusal){ PROBLEM_UNKNOWN_HOST, "Host is neither a name of Weir's nor one of an "
                                                                      "upstream's hosts; allow_hosts can add names." });
    for (unsigned i = 0; i < x->config->upstream_count; i++)
        names = arena_printf(&x->arena, SLICE_FMT "%s/%s", SLICE_ARG(names), i > 0 ? ", " : "",
                             x->config->upstreams[i].route.name);
    return reply_problem(x, &(struct problem){
                                .kind = PROBLEM_NO_UPSTREAM,
                                .retry_after_ns = -1,
                                .detail = arena_printf(&x->arena,
                                                       "The path must begin with an upstream's name: " SLICE_FMT ".",
                                                       SLICE_ARG(names)) });
}

/* RFC 9110 15.5.20: the client was let in to one upstream's hosts, and asks for something else. */
static enum step misdirected(struct exchange *x)
{
    return reply_refusal(x,
                         &(struct refusal){
                             PROBLEM_MISDIRECTED,
                             "Host must be one of the hosts of the upstream that this connection's CONNECT was for." });
}

enum step step_own(struct exchange *x)
{
    if (x->service.of != NULL && x->route.way != ROUTE_OWN)
        return serve(x, x->service.of);
    if (x->route.way == ROUTE_OWN)
        return endpoint(x);
    return x->in.connected.ptr != NULL ? misdirected(x) : nowhere(x, http_fields_get(&x->in.request.fields, HTTP_HOST));
}
