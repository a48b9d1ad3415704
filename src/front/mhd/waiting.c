/*
 * Calls that wait: suspended in libmicrohttpd, in a list by how long, and without the memory that they do not need
 * meanwhile.
 */
#include "front/mhd/call.h"

#include "base/check.h"
#include "front/mhd/shards.h"

enum { PARKED_AT_ONCE = 16 };

void call_suspend(struct call *call)
{
    CHECK(!call->suspended);
    call->suspended = true;
    call->sweep = call->worker->sweep.count;
    TAILQ_INSERT_TAIL(&call->worker->calls.suspended, call, suspension);
    MHD_suspend_connection(call->mhd);
}

void call_break_off(struct call *call)
{
    call->gone = true;
    call_resume(call);
}

/* Of its end the worker was told before, when nothing waited that it could have broken off. */
void call_wait(struct call *call)
{
    call_suspend(call);
    if (call->connection->peer_closed && !call->connection->is_broken)
        call_break_off(call);
}

void call_resume(struct call *call)
{
    if (!call->suspended)
        return;
    call->suspended = false;
    TAILQ_TAKE(&call->worker->calls.suspended, call, suspension);
    pool_unpark(&call->connection->pool);
    MHD_resume_connection(call->mhd);
    shard_touch(call->connection->shard);
}

/* A few in each round, so that ten thousand do not hold up the hits.  One that takes a body, or gives one, is soon
 * to go on. */
bool call_park_some(struct worker *w)
{
    for (unsigned i = 0; i < PARKED_AT_ONCE; i++) {
        struct call *call = TAILQ_FIRST(&w->calls.suspended);

        if (call == NULL || w->sweep.count - call->sweep < 2)
            return false;
        TAILQ_TAKE(&w->calls.suspended, call, suspension);
        if (call->stage == CALL_ANSWER && !call->answering && call->exchange != NULL && !call->has_body)
            pool_park(&call->connection->pool);
    }
    return true;
}

void call_wake(void *owner)
{
    call_resume(owner);
}
