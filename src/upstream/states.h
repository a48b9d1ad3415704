/*
 * What a flight may become: its states, and the one table of moves between them.  flight_become() alone writes the
 * state.
 */
#ifndef WEIR_UPSTREAM_STATES_H
#define WEIR_UPSTREAM_STATES_H

enum flight_state {                   /* what stands before SENDING is not at the API */
                    FLIGHT_NEW,       /* just made: nobody but its maker knows it */
                    FLIGHT_NAMING,    /* stands apart until it is known who asks: naming.c */
                    FLIGHT_WAITING,   /* in its budget's queue */
                    FLIGHT_PAUSING,   /* between two attempts */
                    FLIGHT_SENDING,   /* at the API; no head is given out yet */
                    FLIGHT_STREAMING, /* its waiters have the head, the body is coming */
                    FLIGHT_ENDING,    /* everybody has heard all; the writer may still have its change */
                    FLIGHT_OVER,      /* freed at the end of the loop's round */
                    FLIGHT_STATES
};

struct flight;

/* Why a flight goes from one to the other; NULL: it may not. */
const char *flight_move(enum flight_state from, enum flight_state to);
void        flight_become(struct flight *, enum flight_state);

#endif
