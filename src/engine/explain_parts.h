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
};

/* The entry's texts stand in the arena from now on. */
void explain_keep_entry(struct entry_facts *, struct arena *);
/* Fills nearest, nearest_count and of_path. */
void explain_find_near(struct explain *);

#endif
