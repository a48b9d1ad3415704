/*
 * The thread that reads configurations while all others go on, and frees
 * those that nobody holds any more: thousands of rules take a tenth of a second
 * to prepare, and some of that to free.
 *
 * Orders are carried out one after the other.  What became of one is told by its mail, to the mailbox of whoever
 * puts configurations into effect.  Any thread may give an order.
 */
#ifndef WEIR_CONFIG_KEEPER_H
#define WEIR_CONFIG_KEEPER_H

#include "base/list.h"
#include "base/mailbox.h"
#include "config/config.h"

struct keeper;

struct reload_order {
    struct mail     mail;     /* posted to the keeper's mailbox: receive() is the order's giver's to set */
    void           *context;  /* the giver's */
    struct mailbox *reply_to; /* for receive(): where `done` is to be posted; NULL: nobody waits */
    struct mail     done;
    /* -- what became of it -- */
    struct config *fresh; /* a reference for the receiver; NULL: there was an error */
    char          *text;  /* malloc'd, never NULL: what was wrong, or what needs a restart */
    /* -- the keeper's -- */
    STAILQ_ENTRY(reload_order) next;
};

/* `file` NULL: the embedded default; lent.  `started_with`: what only a restart can change is compared with it, and it
 * and every configuration that is read from now on is freed by the keeper.  NULL and *why where there is no thread. */
struct keeper *keeper_start(const char *file, struct config *started_with, struct mailbox *tell, struct fault *why);
/* Its mail comes whatever happens, when the keeper stops too. */
void keeper_reload(struct keeper *, struct reload_order *);
/* Ends what is being read, also where a read of a file blocks, and refuses all orders from now on; their mail has been
 * posted when it returns.  Once; NULL is fine. */
void keeper_stop(struct keeper *);
/* After keeper_stop(), and when no configuration is held any more.  NULL is fine. */
void keeper_close(struct keeper *);
/* After keeper_stop(): its thread could not be ended. */
bool keeper_left_behind(const struct keeper *);
/* How many it has freed. */
unsigned keeper_freed(struct keeper *);

#endif
