/*
 * /flush: all that is stored is dropped.
 */
#include "admin/internal.h"

static void run(struct admin_call *call)
{
    admin_drop(call, STORE_FLUSH);
}

const struct endpoint endpoint_flush = { "/flush", HTTP_POST, run, ON_ADMIN_SOCKET_ALONE };
