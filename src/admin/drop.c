/*
 * What /flush and /purge have in common: something is dropped from the cache.
 */
#include "admin/internal.h"

#include "base/counters.h"

static void dropped(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, change.done);

    if (!admin_has_changed(call, PROBLEM_CACHE_UNCHANGED, "The disk or the database refused; the log says why."))
        return;
    counter_add(COUNTER_PURGED, call->change.changed);
    admin_answer_json(call, 200, json_pack("{s:I}", "dropped", (json_int_t)call->change.changed));
}

void admin_drop(struct admin_call *call, enum store_change_kind kind)
{
    call->change.kind = kind;
    admin_submit_change(call, dropped);
}
