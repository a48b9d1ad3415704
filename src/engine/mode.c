/*
 * The mode of an exchange.  What all steps go by is exchange.mode; it is decided here alone.
 */
#include "engine/mode.h"

#include "config/mode.h"
#include "engine/internal.h"

void exchange_set_mode(struct exchange *x, enum upstream_mode own)
{
    x->mode.own = own;
    x->mode.has_own = true;
}

void mode_decide(struct exchange *x)
{
    x->mode.holds = config_mode_now(x->up, x->log.started_wall_ns);
    if (x->mode.has_own)
        x->mode.holds = config_mode_together(x->mode.holds, x->mode.own);
    if (x->wish.dry != DRY_NOT)
        x->mode.holds = config_mode_together(x->mode.holds,
                                             x->wish.dry == DRY_WRITES ? MODE_DRY_RUN_WRITES : MODE_DRY_RUN);
}
