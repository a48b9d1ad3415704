/*
 * What is asked about again before it is stale, for the hits to come (setting prefetch): whether it may be, and what
 * came of it.
 */
#ifndef WEIR_UPSTREAM_EARLY_H
#define WEIR_UPSTREAM_EARLY_H

#include "base/list.h"
#include "base/table.h"
#include "upstream/fetch.h"

struct flight;
struct site;
struct turn;
struct store_change;

struct early {
    struct table by_name;
    TAILQ_HEAD(, early_life) lives;
    unsigned          count;
    struct early_slot rests[EARLY_SLOTS];
};

/* Is it worth it: by its hits since it was renewed last? */
bool early_is_wanted(struct site *, const struct fetch *);
bool early_is_spared(const struct site *, const struct fetch *); /* low_budget */
/* Nobody waits for it: who asked for it has left, or is about to. */
bool early_is_alone(const struct flight *);
void early_sent(const struct turn *);
/* What came goes to the store. */
void early_renewed(struct flight *, const struct store_change *);
void early_over(struct flight *);
void early_forget_site(struct site *);

#endif
