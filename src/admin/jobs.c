/*
 * /jobs: what is answered later, of everybody: for who may change Weir.  Nobody's result is told here, which is its
 * owner's alone (/.weir/jobs on the data port).
 */
#include "admin/internal.h"

#include "base/clock.h"

enum { TOLD_MOST = 100 };

static void run(struct admin_call *call)
{
    const struct admin_services *s = call->admin->services;

    if (s->jobs == NULL)
        admin_answer_json(call, 200, json_pack("{s:{}, s:[], s:b}", "states", "jobs", "more", 0));
    else
        admin_answer_json(call, 200, s->jobs_overview(s->jobs, TOLD_MOST, clock_wall_ns()));
}

const struct endpoint endpoint_jobs = { "/jobs", HTTP_GET, run, ON_ADMIN_SOCKET_ALONE };
