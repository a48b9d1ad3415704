/*
 * The admin socket's endpoints: the table of their rows.
 */
#include "admin/internal.h"

#include "admin/tokens.h"
#include "base/clock.h"
#include "http/url.h"

#include <stdlib.h>
#include <string.h>

/* One file each; its row says the rest. */
// clang-format off
#define ENDPOINTS(X) \
    X(status) \
    X(limits) \
    X(forget) \
    X(limit_set) \
    X(mode) \
    X(upstreams) \
    X(check) \
    X(entries) \
    X(export) \
    X(import) \
    X(entry) \
    X(explain) \
    X(ca) \
    X(ca_rotate) \
    X(flush) \
    X(compact) \
    X(purge) \
    X(reload) \
    X(reopen) \
    X(metrics) \
    X(errors) \
    X(log) \
    X(dashboard) \
    X(session) \
    X(session_end) \
    X(top) \
    X(saved) \
    X(jobs) \
    X(run) \
    X(run_end)
// clang-format on

#define DECLARE(name) extern const struct endpoint endpoint_##name;
ENDPOINTS(DECLARE)
#define POINT(name) &endpoint_##name,
static const struct endpoint *const endpoints[] = { ENDPOINTS(POINT) };

static bool is_at(const struct endpoint *e, struct slice path)
{
    const struct slice own = slice_of(e->path);

    return slice_ends_with(own, SLICE("/")) ? slice_starts_with(path, own) : slice_eq(path, own);
}

struct admin *admin_open(const struct admin_services *services, struct mailbox *worker, struct recorder *recorder)
{
    struct admin *a = mem_alloc(sizeof *a);

    a->services = services;
    a->mailbox = worker;
    a->recorder = recorder;
    return a;
}

void admin_close(struct admin *a)
{
    free(a);
}

bool admin_is_idle(const struct admin *a)
{
    return a->open_count == 0;
}

/* RFC 6750 2.1; ptr NULL: there is none. */
static struct slice bearer_of(const struct http_request *r)
{
    struct slice value = http_fields_get(&r->fields, HTTP_AUTHORIZATION);
    size_t       space = slice_find(value, ' ', 0);

    if (http_fields_count(&r->fields, HTTP_AUTHORIZATION) != 1 || space == value.len ||
        !slice_eq_nocase(slice_sub(value, 0, space), SLICE("Bearer")))
        return SLICE_NONE;
    return slice_trim(slice_sub(value, space + 1, value.len));
}

bool admin_knows_token(const struct admin *a, const struct http_request *request)
{
    struct slice token = bearer_of(request);

    return token.len > 0 && tokens_know(a->services->tokens, token, clock_mono_ns());
}

static void want_token(struct admin_call *call)
{
    admin_answer_problem(call, PROBLEM_NO_TOKEN,
                         "Over TCP everything but the page itself wants a token that weirctl dashboard makes, good for "
                         "twelve hours or until Weir ends; a program asks the admin socket.");
    http_fields_add(&call->reply.fields, &call->arena, SLICE("WWW-Authenticate"), SLICE("Bearer realm=\"weir\""));
}

/* With what may be asked (RFC 9110 15.5.6). */
static void refuse_method(struct admin_call *call, const struct endpoint *e)
{
    const bool changes = e->method == HTTP_POST;

    admin_answer_problem(call, PROBLEM_ADMIN_METHOD,
                         changes ? "This endpoint changes something: use POST." : "This endpoint is read with GET.");
    http_fields_add(&call->reply.fields, &call->arena, SLICE("Allow"), changes ? SLICE("POST") : SLICE("GET, HEAD"));
}

struct admin_call *admin_begin(struct admin *a, struct config *config, const struct http_request *request,
                               struct slice body, struct admin_rights rights, void (*wake)(void *owner), void *owner)
{
    struct admin_call     *call = mem_alloc(sizeof *call);
    const struct endpoint *found = NULL;
    struct slice           path, query;

    a->open_count++;
    call->admin = a;
    call->config = config;
    config_acquire(config);
    call->rights = rights;
    call->wake = wake;
    call->owner = owner;
    call->beginning = true;
    call->is_head = request->method == HTTP_HEAD;
    http_target_split(request->target, &path, &query);
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints && found == NULL; i++)
        if (is_at(endpoints[i], path))
            found = endpoints[i];
    call->rest = arena_copy(&call->arena, slice_sub(path, found != NULL ? strlen(found->path) : path.len, path.len));
    call->argument = arena_copy(&call->arena, body);
    call->query = arena_copy(&call->arena, query);
    call->accept = arena_copy(&call->arena, http_fields_get(&request->fields, HTTP_ACCEPT));
    call->bearer = arena_copy(&call->arena, bearer_of(request));
    if (rights.over_tcp && admin_answer_page(call, request))
        ;
    else if (rights.is_stranger && found != &endpoint_session)
        want_token(call);
    else if (rights.metrics_alone && found != &endpoint_metrics)
        admin_answer_problem(call, PROBLEM_NO_ENDPOINT,
                             "This address (metrics.listen) has /metrics alone; weirctl asks the admin socket.");
    else if (found == NULL)
        admin_answer_problem(call, PROBLEM_NO_ENDPOINT, "weirctl(1) lists what can be asked.");
    else if ((found->places & ON_QUERY_SOCKET) == 0 && !rights.may_change && !rights.is_stranger)
        admin_answer_problem(call, PROBLEM_NOT_HERE,
                             "This socket is for reading alone: who may change something has the rights of the admin "
                             "socket (admin.mode and admin.group, or its systemd unit).");
    else if (admin_is_alone(a) && (found->places & WITHOUT_DAEMON) == 0)
        admin_answer_problem(call, PROBLEM_NOT_RUNNING,
                             "Only what is stored can be told or dropped without it: weirctl ls, show and purge.");
    else if (found->method != request->method && !(found->method == HTTP_GET && request->method == HTTP_HEAD))
        refuse_method(call, found);
    else
        found->run(call);
    call->beginning = false;
    return call;
}
