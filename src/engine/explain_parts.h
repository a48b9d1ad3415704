/* What the files of an explanation share: explain.c runs it, explain_near.c compares keys, explain_told.c sums up. */
#ifndef WEIR_ENGINE_EXPLAIN_PARTS_H
#define WEIR_ENGINE_EXPLAIN_PARTS_H

#include "engine/explain.h"
#include "engine/internal.h"

enum { EXPLAIN_WHOSE = 10 /* characters, as engine/entry.h shows them */ };

struct explain {
    struct engine              *engine;
    struct arena                arena;
    struct exchange_input       in;
    struct exchange            *x;
    struct dry_run              dry;
    bool                        waits, is_told;
    struct upstream_foretelling foretelling;
    void                       *owner; /* who waits for it */
    struct explained            out;
    bool                        wants_facts;
    struct explain_fact        *facts; /* out.facts */
};

/* The entry's texts stand in the arena from now on. */
void explain_keep_entry(struct entry_facts *, struct arena *);
/* Fills nearest, nearest_count and of_path. */
void explain_find_near(struct explain *);

/* explain_path.c: calls `each` for what is stored under the path: the caller's and what is shared, `most` of each. */
void explain_each_near(struct explain *, unsigned most, store_near_each each, void *context);
/* explain_fact.c: fills out.facts. */
void              explain_gather_facts(struct explain *);
enum store_result explain_fact_look_up(struct exchange *, store_accept, struct store_record *out);
void              explain_fact_each(struct explain *, store_near_each each, void *context);

#endif
