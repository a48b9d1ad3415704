/*
 * Which process has a connection open: found on a thread of its own, since nothing tells it but a
 * walk through what all processes of that user have open.
 *
 * One walk answers all who wait for that user's processes; between walks the
 * thread rests four times as long as the last one took, and users take turns by small steps, so that
 * neither thousands of connections nor a user with a million of descriptors hold up
 * another's.  Before a walk the processes are tried that connections were found in lately.
 * What is found was asked of the kernel before and after, so that nobody is taken for who
 * had the port before.
 */
#ifndef WEIR_PEER_FINDER_H
#define WEIR_PEER_FINDER_H

#include "base/list.h"
#include "base/mailbox.h"
#include "peer/card.h"

/* After so long whoever waits is told, found or not. */
#define PEER_PATIENCE_NS (INT64_C(1000) * 1000000)

struct peer_finder;

/* The thread is started by the first question.  Never NULL. */
struct peer_finder *peer_finder_open(void);
/* Nobody waits any more.  NULL is fine. */
void peer_finder_close(struct peer_finder *);

struct peer_wait {              /* in what waits */
    struct mail           mail; /* .receive is the owner's; posted once */
    struct mailbox       *mailbox;
    LIST_ENTRY(peer_wait) entry; /* under the finder's lock */
};

/* True: the card has all that there is to know.  Else it is looked for, and `wait` (NULL: nobody waits) will be
 * posted when it is found or the patience is over, whatever the card then says.  Any thread. */
bool peer_find(struct peer_finder *, struct peer_card *, struct peer_wait *wait);
/* True: `wait` is not posted.  False: it was, and may stand in its mailbox. */
bool peer_find_leave(struct peer_finder *, struct peer_wait *wait);

#endif
