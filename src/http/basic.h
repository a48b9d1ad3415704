/*
 * The user name in Basic credentials (RFC 7617): how a proxy's URL names a
 * client ("http://ci:x@127.0.0.1:3128").  Pure.
 */
#ifndef WEIR_HTTP_BASIC_H
#define WEIR_HTTP_BASIC_H

#include "base/arena.h"

/* `value` of a Proxy-Authorization field.  In the arena; SLICE_NONE where it is no Basic, does not decode, or the
 * name is empty, longer than 128 bytes or holds a control character. */
struct slice http_basic_user(struct slice value, struct arena *a);

#endif
