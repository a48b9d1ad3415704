/*
 * Which of the two answers: libcurl's transfers (transfer.c), or a script that the request brings (script.c).
 */
#include "origin/internal.h"

struct transfer *transfer_start(struct origin *o, const struct origin_request *ask, const struct origin_events *events,
                                void *owner)
{
    return (ask->script != NULL ? script_start : transfer_wire_start)(o, ask, events, owner);
}

void transfer_stop(struct transfer *t, enum stop stop)
{
    (t->ask.script != NULL ? script_stop : transfer_wire_stop)(t, stop);
}

void transfer_resume_source(struct transfer *t)
{
    (t->ask.script != NULL ? script_resume_source : transfer_wire_resume_source)(t);
}

void transfer_resume_body(struct transfer *t)
{
    (t->ask.script != NULL ? script_resume_body : transfer_wire_resume_body)(t);
}

void transfer_watch(struct transfer *t)
{
    if (t->ask.script == NULL)
        transfer_wire_watch(t);
}

void transfer_failure(const struct transfer *t, struct failure *f)
{
    (t->ask.script != NULL ? script_failure : transfer_wire_failure)(t, f);
}
