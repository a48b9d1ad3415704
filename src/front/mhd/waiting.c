/*
 * Calls that wait: suspended in libmicrohttpd, in a list by how long, and without the memory that they do not need
 * meanwhile.
 */
#include "front/mhd/call.h"

#include "base/check.h"
#include "front/mhd/shards.h"

enum { PARKED_AT_ONCE = 16 };

static void list_suspended(struct call *call)
{
    struct worker *w = call->worker;

    call->sweep = w->sweeps;
    call->next_suspended = NULL;
    call->previous_suspended = w->shortest;
    *(w->shortest != NULL ? &w->shortest->next_suspended : &w->longest) = call;
    w->shortest = call;
}

static void unlist_suspended(struct call *call)
{
    struct worker *w = call->worker;

    if (call->previous_suspended == NULL && w->longest != call)
        return;                       /* was looked at */
    *(call->previous_suspended != NULL ? &call->previous_suspended->next_suspended : &w->longest) =
        call->next_suspended;
    *(call->next_suspended != NULL ? &call->next_suspended->previous_suspended : &w->shortest) =
        call->previous_suspended;
    call->next_suspended = call->previous_suspended = NULL;
}

void call_suspend(struct call *call)
{
    CHECK(!call->suspended);
    call->suspended = true;
    list_suspended(call);
    MHD_suspend_connection(call->mhd);
}

void call_resume(struct call *call)
{
    if (!call->suspended)
        return;
    call->suspended = false;
    unlist_suspended(call);
    pool_unpark(&call->connection->pool);
    MHD_resume_connection(call->mhd);
    shard_touch(call->connection->shard);
}

/* A few in each round, so that ten thousand do not hold up the hits.  One that takes a body, or gives one, is soon
 * to go on. */
bool call_park_some(struct worker *w)
{
    for (unsigned i = 0; i < PARKED_AT_ONCE; i++) {
        struct call *call = w->longest;

        if (call == NULL || w->sweeps - call->sweep < 2)
            return false;
        unlist_suspended(call);
        if (call->stage == CALL_ANSWER && !call->answering && call->exchange != NULL && !call->has_body)
            pool_park(&call->connection->pool);
    }
    return true;
}

void call_wake(void *owner)
{
    call_resume(owner);
}
