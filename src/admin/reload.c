/*
 * /reload: the configuration is read again.
 */
#include "admin/internal.h"

static void reloaded(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, reload.done);

    if (!admin_resume(call))
        return;
    if (call->reload.fresh != NULL)
        admin_answer_json(call, 200, json_pack("{s:b, s:s}", "reloaded", 1, "note", call->reload.text));
    else
        admin_answer_problem(call, PROBLEM_OLD_CONFIGURATION, call->reload.text);
}

static void run(struct admin_call *call)
{
    const struct admin_services *services = call->admin->services;

    call->reload.reply_to = call->admin->mailbox;
    call->reload.done.receive = reloaded;
    call->awaits_mail = true;
    services->reload(services->context, &call->reload);
}

const struct endpoint endpoint_reload = { "/reload", HTTP_POST, run, ON_ADMIN_SOCKET_ALONE };
