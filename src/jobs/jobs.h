/*
 * Many requests in one, and requests for later (contract: groups.md).
 *
 * What is asked goes through exchanges of the engine (engine/engine.h), so that each is what it would be alone: the
 * same guard, access, rule, key, cache, budget, retries and log.
 */
#ifndef WEIR_JOBS_JOBS_H
#define WEIR_JOBS_JOBS_H

#include "engine/service.h"
#include "store/state.h"

#include <jansson.h>

/* POST /.weir/batch */
extern const struct engine_service jobs_batch;

/* What a worker does for jobs, and /.weir/jobs itself. */
extern const struct engine_later   jobs_later;
extern const struct engine_service jobs_told;

/* Those of earlier runs are there again, and go on when the workers run.  Both rooms outlive it.  NULL: *why. */
struct jobs *jobs_open(struct state *, struct store *, const struct jobs_options *, struct fault *why);
/* Everybody's, up to `most`, the one that changed last first: for who may change Weir.  Any thread. */
json_t *jobs_overview(struct jobs *, unsigned most, int64_t now_wall_ns);
/* The workers have ended.  NULL is fine. */
void                            jobs_close(struct jobs *);
extern const struct state_owner jobs_rows;

#endif
