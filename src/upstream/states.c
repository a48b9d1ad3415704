/*
 * See states.h.  Upstream thread.
 */
#include "upstream/internal.h"

#include "base/check.h"

static const char *const moves[FLIGHT_STATES][FLIGHT_STATES] = {
    [FLIGHT_NEW] = {
        [FLIGHT_NAMING]    = "it makes a difference who asks, and that is not known yet",
        [FLIGHT_WAITING]   = "it stands in line",
        [FLIGHT_SENDING]   = "a script answers it, for which nothing is waited",
        [FLIGHT_OVER]      = "its place in line would come too late",
    },
    [FLIGHT_NAMING] = {
        [FLIGHT_WAITING]   = "it is known who asks, or its turn is here all the same",
        [FLIGHT_OVER]      = "its place in line would come too late, or all have left",
    },
    [FLIGHT_WAITING] = {
        [FLIGHT_SENDING]   = "its turn is here",
        [FLIGHT_ENDING]    = "the store has it by now, or it is not tried again and the last answer passes through",
        [FLIGHT_OVER]      = "all have left or were refused",
    },
    [FLIGHT_PAUSING] = {
        [FLIGHT_WAITING]   = "the pause is over",
        [FLIGHT_ENDING]    = "nobody may wait so long: the last answer passes through",
        [FLIGHT_OVER]      = "all have left, or heard what went wrong",
    },
    [FLIGHT_SENDING] = {
        [FLIGHT_WAITING]   = "nothing was sent, or it is to be asked in another way",
        [FLIGHT_PAUSING]   = "it failed and is tried again",
        [FLIGHT_STREAMING] = "the head is given out",
        [FLIGHT_ENDING]    = "it failed for good",
        [FLIGHT_OVER]      = "all have left",
    },
    [FLIGHT_STREAMING] = {
        [FLIGHT_ENDING]    = "the body is whole, or was cut",
        [FLIGHT_OVER]      = "all have left",
    },
    [FLIGHT_ENDING] = {
        [FLIGHT_OVER]      = "the writer has done its part, or had none",
    },
};

const char *flight_move(enum flight_state from, enum flight_state to)
{
    return moves[from][to];
}

void flight_become(struct flight *f, enum flight_state to)
{
    CHECK(moves[f->state][to] != NULL);
    f->state = to;
}
