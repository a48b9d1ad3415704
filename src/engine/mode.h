/*
 * Which mode holds for an exchange: its upstream's, one of the client's own, or one that the request asks for.
 */
#ifndef WEIR_ENGINE_MODE_H
#define WEIR_ENGINE_MODE_H

#include "engine/engine.h"

/* The client has a mode of its own (weirctl run): before exchange_begin(). Never does more go to the API by it than the
 * upstream's own mode lets go. */
void exchange_set_mode(struct exchange *, enum upstream_mode own);

#endif
