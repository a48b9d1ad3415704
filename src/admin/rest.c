/*
 * What comes after a call's question: a body, into a spool as it comes.
 */
#include "admin/internal.h"

#include "store/spool.h"

#include <stdlib.h>

enum { MOST_BYTES = 1024 * 1024 * 1024 };

struct admin_rest {
    struct spool *spool;
};

bool admin_takes_rest(const struct http_request *r)
{
    return r->method == HTTP_POST && slice_eq(r->target, SLICE("/import?body=after"));
}

struct admin_rest *admin_rest_open(const struct admin *a)
{
    struct admin_rest *rest = mem_alloc(sizeof *rest);

    rest->spool = spool_new(store_directory(a->services->store));
    return rest;
}

bool admin_rest_add(struct admin_rest *rest, const void *bytes, size_t count)
{
    struct fault why;

    return spool_length(rest->spool) + (int64_t)count <= MOST_BYTES &&
           spool_write(rest->spool, bytes, count, &why) == 0 && !spool_is_pass(rest->spool);
}

void admin_rest_close(struct admin_rest *rest)
{
    if (rest != NULL)
        spool_release(rest->spool);
    free(rest);
}

struct spool *admin_rest_spool(struct admin_rest *rest)
{
    return rest->spool;
}
