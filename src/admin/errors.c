/*
 * /errors/NAME: what a problem means and what to do, as the data port has it at /.weir/errors/NAME.
 */
#include "admin/internal.h"

static void have_ended(struct admin_call *call)
{
    admin_finish(call);
}

static void run(struct admin_call *call)
{
    struct slice page = problem_page(call->rest, &call->arena);

    if (page.ptr == NULL) {
        admin_answer_problem(call, PROBLEM_NO_ENDPOINT, "No error of Weir's has that name; weir(8) lists all of them.");
        return;
    }
    admin_start(call, 200, "text/plain; charset=utf-8", have_ended);
    admin_write(call, page);
    admin_finish(call);
    admin_go_on(call);
}

const struct endpoint endpoint_errors = { "/errors/", HTTP_GET, run, ON_QUERY_SOCKET | WITHOUT_DAEMON };
