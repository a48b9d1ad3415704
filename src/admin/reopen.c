/*
 * /reopen: the access log's file is opened anew.
 */
#include "admin/internal.h"

static void reopened(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, reopened);

    if (admin_resume(call))
        admin_answer_json(call, 200, json_pack("{s:b}", "reopened", 1));
}

static void run(struct admin_call *call)
{
    const struct admin_services *services = call->admin->services;

    call->reopened.receive = reopened;
    call->awaits_mail = services->reopen(services->context, call->admin->mailbox, &call->reopened);
    if (!call->awaits_mail)
        admin_answer_problem(call, PROBLEM_LOG_NOT_REOPENED, "Weir is about to stop.");
}

const struct endpoint endpoint_reopen = { "/reopen", HTTP_POST, run, ON_ADMIN_SOCKET_ALONE };
