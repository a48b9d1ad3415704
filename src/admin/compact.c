/*
 * /compact: disk space that the cache no longer needs is given back.
 */
#include "admin/internal.h"

static void compacted(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, change.done);

    if (admin_has_changed(call, PROBLEM_CACHE_UNCOMPACTED,
                          "The file system makes no holes in files, or the database refused; the log says why."))
        admin_answer_json(call, 200, json_pack("{s:I}", "returned_bytes", (json_int_t)call->change.changed));
}

static void run(struct admin_call *call)
{
    call->change.kind = STORE_COMPACT;
    admin_submit_change(call, compacted);
}

const struct endpoint endpoint_compact = { "/compact", HTTP_POST, run, ON_ADMIN_SOCKET_ALONE };
