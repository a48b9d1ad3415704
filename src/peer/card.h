/*
 * What is known of one connection's other end: made when somebody first wants to
 * know, and filled as far as somebody does.  The connection's worker, the fetches that came of it and
 * the finder hold references; whoever reads it has a copy of what is known then.
 */
#ifndef WEIR_PEER_CARD_H
#define WEIR_PEER_CARD_H

#include "base/list.h"
#include "base/ref.h"
#include "base/table.h"
#include "peer/kernel.h"

#include <pthread.h>

struct peer_walk;
struct peer_wait;

enum peer_card_at { CARD_UNASKED, CARD_ASKED, CARD_TOLD };

struct peer_card {
    struct ref       ref;
    struct peer_ends ends;         /* constant, like the next one */
    uint64_t         opened_ticks; /* the kernel's: see struct peer */
    pthread_mutex_t  lock;
    struct peer      facts;      /* under the lock */
    unsigned         inode;      /* under the lock: of the client's socket; 0: not known */
    bool             user_asked; /* under the lock */
    _Atomic int      at;         /* peer_card_at: the finder's, under its lock; anybody reads it */

    /* -- the finder's -- */
    LIST_HEAD(, peer_wait) waits;       /* under its lock */
    STAILQ_ENTRY(peer_card) next_asked; /* under its lock */
    int64_t                 deadline_ns;
    struct peer_walk       *walk; /* whose user's processes are searched for it; NULL: none is */
    TAILQ_ENTRY(peer_card)  of_walk;
    struct table_node       by_inode;
    bool                    in_pass; /* it waited when that began */
    unsigned                sought;  /* the inode */
};

/* Costs a few system calls and asks for nobody.  `fd` is the accepted socket.  Never NULL; one reference. */
struct peer_card *peer_card_open(int fd);
/* Of one whose connection is gone: there is no more to be found.  `connection` of the facts is given anew. */
struct peer_card *peer_card_remembered(const struct peer *);
void              peer_card_release(struct peer_card *); /* NULL is fine */
/* Asks the kernel for the user, once: some microseconds.  Any thread. */
void peer_card_ask_user(struct peer_card *);
/* What is known. */
void peer_card_read(struct peer_card *, struct peer *out);
/* True: there is no more to be found. */
static inline bool peer_card_is_told(const struct peer_card *c)
{
    return atomic_load_explicit(&c->at, memory_order_acquire) == CARD_TOLD;
}

#endif
