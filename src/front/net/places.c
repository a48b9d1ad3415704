/*
 * A small table of clients, and for each descriptor the client that it counts
 * for.  The main thread alone puts clients in; workers only count down, so a
 * client without a place is one that nobody points at, and its row is free.
 */
#include "front/net/places.h"

#include "base/arena.h"
#include "peer/kernel.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { CLIENTS = 1024, DESCRIPTORS_MOST = 1 << 20 };

struct row {
    _Atomic unsigned taken;
    struct peer      who; /* main thread only */
};

struct places {
    struct row       rows[CLIENTS];
    unsigned         row_count; /* main thread only: those after were never used */
    size_t           fd_count;
    _Atomic uint16_t of_fd[]; /* row + 1; 0: it counts for nobody */
};

struct places *places_open(void)
{
    struct rlimit  limit = { .rlim_cur = 1024 };
    struct places *p;
    size_t         count;

    getrlimit(RLIMIT_NOFILE, &limit);
    count = limit.rlim_cur < DESCRIPTORS_MOST ? (size_t)limit.rlim_cur : (size_t)DESCRIPTORS_MOST;
    p = mem_alloc(sizeof *p + count * sizeof p->of_fd[0]); /* zero pages: those never touched are not there */
    p->fd_count = count;
    return p;
}

void places_close(struct places *p)
{
    free(p);
}

static bool is_same(const struct peer *a, const struct peer *b)
{
    if (a->has_uid || b->has_uid)
        return a->has_uid && b->has_uid && a->uid == b->uid;
    return a->address_bytes == b->address_bytes && memcmp(a->address, b->address, a->address_bytes) == 0;
}

/* NULL: so many clients that none has a large part. */
static struct row *row_of(struct places *p, const struct peer *who)
{
    struct row *empty = NULL;

    for (unsigned i = 0; i < p->row_count; i++) {
        struct row *r = &p->rows[i];

        if (atomic_load_explicit(&r->taken, memory_order_relaxed) == 0)
            empty = empty != NULL ? empty : r;
        else if (is_same(&r->who, who))
            return r;
    }
    if (empty == NULL && p->row_count < CLIENTS)
        empty = &p->rows[p->row_count++];
    if (empty != NULL)
        empty->who = *who;
    return empty;
}

/* Asked again where the connection is served: here hardly anything is kept. */
static void ask_who(int fd, struct peer *who)
{
    struct peer_ends   ends;
    struct peer_socket s;

    if (!kernel_read_ends(fd, &ends))
        return;
    memcpy(who->address, ends.client.address, sizeof who->address);
    who->address_bytes = ends.client.bytes;
    if (ends.is_unix) {
        kernel_read_credentials(fd, who);
    } else if (kernel_ask(&ends, &s)) {
        who->has_uid = s.has_uid;
        who->uid = s.uid;
    }
}

bool places_take(struct places *p, int fd, unsigned most)
{
    struct peer who = { 0 };
    struct row *row;

    if ((size_t)fd >= p->fd_count)
        return true;
    ask_who(fd, &who);
    row = row_of(p, &who);
    if (row == NULL)
        return true;
    if (atomic_load_explicit(&row->taken, memory_order_relaxed) >= most)
        return false;
    atomic_fetch_add_explicit(&row->taken, 1, memory_order_relaxed);
    atomic_store_explicit(&p->of_fd[fd], (uint16_t)(row - p->rows + 1), memory_order_relaxed);
    return true;
}

void places_leave(struct places *p, int fd)
{
    unsigned row = (size_t)fd < p->fd_count ? atomic_exchange_explicit(&p->of_fd[fd], 0, memory_order_relaxed) : 0;

    if (row > 0)
        atomic_fetch_sub_explicit(&p->rows[row - 1].taken, 1, memory_order_relaxed);
}
