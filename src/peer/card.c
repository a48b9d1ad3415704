/*
 * The lock is held for a question to the kernel, too: it answers within the call, and
 * whoever else wants to know would only ask the same.
 */
#include "peer/card.h"

#include "base/arena.h"
#include "base/counters.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t connections; /* numbers given out */

static void destroy(struct ref *ref)
{
    struct peer_card *c = CONTAINER_OF(ref, struct peer_card, ref);

    pthread_mutex_destroy(&c->lock);
    free(c);
}

static uint64_t ticks(void)
{
    struct timespec t = { 0 };
    uint64_t        per_second = (uint64_t)sysconf(_SC_CLK_TCK);

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * per_second + (uint64_t)t.tv_nsec * per_second / 1000000000;
}

struct peer_card *peer_card_open(int fd)
{
    struct peer_card *c = mem_alloc(sizeof *c);
    bool              has_ends = kernel_read_ends(fd, &c->ends);

    ref_init(&c->ref, destroy);
    pthread_mutex_init(&c->lock, NULL);
    LIST_INIT(&c->waits);
    c->opened_ticks = ticks();
    c->facts = (struct peer){ .gid = (gid_t)-1, .connection = atomic_fetch_add(&connections, 1) + 1 };
    if (has_ends && c->ends.is_unix)
        kernel_read_credentials(fd, &c->facts);
    memcpy(c->facts.address, c->ends.client.address, sizeof c->facts.address);
    c->facts.address_bytes = c->ends.client.bytes;
    c->user_asked = !c->ends.is_local;
    if (c->ends.is_unix ? c->facts.pid <= 0 : !c->ends.is_local)
        atomic_init(&c->at, CARD_TOLD); /* there is no process of this machine */
    return c;
}

struct peer_card *peer_card_remembered(const struct peer *facts)
{
    struct peer_card *c = mem_alloc(sizeof *c);

    ref_init(&c->ref, destroy);
    pthread_mutex_init(&c->lock, NULL);
    LIST_INIT(&c->waits);
    c->opened_ticks = ticks();
    c->facts = *facts;
    c->facts.connection = atomic_fetch_add(&connections, 1) + 1;
    c->user_asked = true;
    atomic_init(&c->at, CARD_TOLD);
    return c;
}

void peer_card_release(struct peer_card *c)
{
    if (c != NULL)
        ref_release(&c->ref);
}

void peer_card_ask_user(struct peer_card *c)
{
    struct peer_socket s;

    pthread_mutex_lock(&c->lock);
    if (!c->user_asked && kernel_ask(&c->ends, &s)) {
        c->facts.has_uid = s.has_uid;
        c->facts.uid = s.uid;
        c->inode = s.inode;
    }
    if (!c->user_asked)
        counter_add(COUNTER_PEER_USERS, 1);
    c->user_asked = true;
    pthread_mutex_unlock(&c->lock);
}

void peer_card_read(struct peer_card *c, struct peer *out)
{
    pthread_mutex_lock(&c->lock);
    *out = c->facts;
    pthread_mutex_unlock(&c->lock);
}
