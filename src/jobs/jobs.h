/*
 * Many requests in one, and requests for later (contract: groups.md).
 *
 * What is asked goes through exchanges of the engine (engine/engine.h), so that each is what it would be alone: the
 * same guard, access, rule, key, cache, budget, retries and log.
 */
#ifndef WEIR_JOBS_JOBS_H
#define WEIR_JOBS_JOBS_H

#include "engine/service.h"

/* POST /.weir/batch */
extern const struct engine_service jobs_batch;

#endif
