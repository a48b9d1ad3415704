/*
 * Flights whose client is being found out before they stand in line; naming.c says why.  Upstream thread.
 */
#ifndef WEIR_UPSTREAM_NAMING_H
#define WEIR_UPSTREAM_NAMING_H

#include "peer/finder.h"

struct budget;
struct fetch;
struct fetch_links;
struct flight;
struct site;
struct upstream;

struct naming { /* outlives the flight where its mail is on its way */
    struct peer_wait wait;
    struct upstream *up;
    struct flight   *flight; /* NULL: it waits for it no longer */
    void (*named)(struct flight *);
    bool                is_apart; /* the flight does not yet stand in line */
    TAILQ_ENTRY(naming) entry;    /* in the site's, then */
};

/* Has it to be known who asks before it stands in line? */
bool naming_is_needed(struct site *, struct fetch_links *);
/* A new one's name is looked for; `named` when it is known, or will not be in time: from within where it is at once. */
void naming_begin(struct flight *, void (*named)(struct flight *));
/* Another one shares a flight whose client is being found out: it goes where the first of them would. */
void naming_joined(struct flight *, const struct fetch *by);
void naming_end(struct flight *); /* nothing where it does not wait for that */
/* One whose turn is here, and whose name is looked for no longer; NULL: none is, and *wake_ns becomes less where that
 * comes earlier. */
struct flight *naming_let_in(struct budget *, int64_t *wake_ns);

#endif
