/*
 * The admin socket's endpoints: the table of their rows.
 */
#include "admin/internal.h"

#include "http/url.h"

#include <stdlib.h>

/* One file each; its row says the rest. */
// clang-format off
#define ENDPOINTS(X) \
    X(status) \
    X(limits) \
    X(forget) \
    X(upstreams) \
    X(entries) \
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
    X(log)
// clang-format on

#define DECLARE(name) extern const struct endpoint endpoint_##name;
ENDPOINTS(DECLARE)
#define POINT(name) &endpoint_##name,
static const struct endpoint *const endpoints[] = { ENDPOINTS(POINT) };

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
    http_target_split(request->target, &path, &query);
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints && found == NULL; i++)
        if (slice_eq(path, slice_of(endpoints[i]->path)))
            found = endpoints[i];
    call->argument = arena_copy(&call->arena, body);
    call->query = arena_copy(&call->arena, query);
    call->accept = arena_copy(&call->arena, http_fields_get(&request->fields, HTTP_ACCEPT));
    if (rights.metrics_alone && found != &endpoint_metrics)
        admin_answer_problem(call, PROBLEM_NO_ENDPOINT,
                             "This address (metrics.listen) has /metrics alone; weirctl asks the admin socket.");
    else if (found == NULL)
        admin_answer_problem(call, PROBLEM_NO_ENDPOINT, "weirctl(1) lists what can be asked.");
    else if ((found->places & ON_QUERY_SOCKET) == 0 && !rights.may_change)
        admin_answer_problem(call, PROBLEM_NOT_HERE,
                             "This socket is for reading alone: who may change something has the rights of the admin "
                             "socket (admin.mode and admin.group, or its systemd unit).");
    else if (admin_is_alone(a) && (found->places & WITHOUT_DAEMON) == 0)
        admin_answer_problem(call, PROBLEM_NOT_RUNNING,
                             "Only what is stored can be told or dropped without it: weirctl ls, show and purge.");
    else if (found->method != request->method && !(found->method == HTTP_GET && request->method == HTTP_HEAD))
        admin_answer_problem(call, PROBLEM_ADMIN_METHOD,
                             found->method == HTTP_POST ? "This endpoint changes something: use POST."
                                                        : "This endpoint is read with GET.");
    else
        found->run(call);
    call->beginning = false;
    return call;
}
