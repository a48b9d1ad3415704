/*
 * /jobs: what is answered later, of everybody: for who may change Weir.  Nobody's result is told here, which is its
 * owner's alone (/.weir/jobs on the data port).
 */
#include "admin/internal.h"

#include "base/clock.h"

enum { TOLD_MOST = 100 };

static json_t *overview(const struct admin_call *call, unsigned most)
{
    const struct admin_services *s = call->admin->services;

    return s->jobs != NULL ? s->jobs_overview(s->jobs, most, clock_wall_ns())
                           : json_pack("{s:{}, s:[], s:b}", "states", "jobs", "more", 0);
}

json_t *admin_job_states(const struct admin_call *call)
{
    json_t *all = overview(call, 0), *states = json_incref(json_object_get(all, "states"));

    json_decref(all);
    return states;
}

static void run(struct admin_call *call)
{
    admin_answer_json(call, 200, overview(call, TOLD_MOST));
}

const struct endpoint endpoint_jobs = { "/jobs", HTTP_GET, run, ON_ADMIN_SOCKET_ALONE };
