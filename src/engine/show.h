/*
 * A request as it would leave, for who asks to see it, without a credential.
 */
#ifndef WEIR_ENGINE_SHOW_H
#define WEIR_ENGINE_SHOW_H

#include "policy/options.h"
#include "upstream/fetch.h"

struct exchange;

/* message/http (RFC 9112 10.1), in the exchange's arena. */
struct slice show_request(struct exchange *, const struct fetch *);
/* Is what the field says nobody's to see?  `o` may be NULL. */
bool show_hides_field(const struct policy_options *o, struct slice name);

#endif
