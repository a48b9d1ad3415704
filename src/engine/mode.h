/*
 * Which mode holds for an exchange: its upstream's, one of the client's own, or one that the request asks for.
 */
#ifndef WEIR_ENGINE_MODE_H
#define WEIR_ENGINE_MODE_H

#include "engine/engine.h"

/* The client has a mode of its own (weirctl run): before exchange_begin(). Never does more go to the API by it than the
 * upstream's own mode lets go. */
void exchange_set_mode(struct exchange *, enum upstream_mode own);

/* ... and a snapshot of its own, which with MODE_RECORD is added to and with MODE_REPLAY answers, in place of the
 * upstream's: before exchange_begin(). Takes a reference. */
struct tape;
void exchange_set_tape(struct exchange *, struct tape *);

#endif
