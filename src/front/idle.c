/*
 * The pool is found by the first target: MHD reads to the pool's beginning, which a map puts on a
 * page's, and the target comes behind a method of a few bytes.
 *
 * Pages are given back only while MHD has nothing but the beginning of a next request
 * line there, if anything: behind a request line it also keeps fields at
 * the pool's end.  A line longer than a page shows at the page's end; one with so
 * many NUL bytes that it does not is no request line.
 */
#include "front/idle.h"

#include "front/worker.h"

#include <microhttpd.h>

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SWEEPS = 2, METHOD_MOST = 32, MARGIN = 64 };

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void idle_note_request(struct connection *c, const char *target)
{
    const size_t into = (uintptr_t)target % page_bytes();

    c->in_request = true;
    if (c->pool == NULL && into <= METHOD_MOST && strcmp(MHD_get_version(), "0.9.75") == 0)
        c->pool = (char *)(uintptr_t)target - into;
}

void idle_note_end(struct connection *c)
{
    c->in_request = false;
    c->sweeps_to_trim = SWEEPS;
}

static bool is_empty(const char *at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (at[i] != '\0')
            return false;
    return true;
}

void idle_sweep(struct connection *c)
{
    const size_t page = page_bytes();

    if (c->in_request || c->sweeps_to_trim == 0 || --c->sweeps_to_trim > 0 || c->pool == NULL || page >= POOL_BYTES)
        return;
    if (is_empty(c->pool + page - MARGIN, (size_t)2 * MARGIN))
        madvise(c->pool + page, POOL_BYTES - page, MADV_DONTNEED);
}
