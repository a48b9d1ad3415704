/*
 * The field Prefer (RFC 7240), as far as Weir may be meant by it: respond-async and wait.  Pure; any thread.
 */
#ifndef WEIR_HTTP_PREFER_H
#define WEIR_HTTP_PREFER_H

#include "http/fields.h"

#include <stdint.h>

struct prefer {
    bool    respond_async;
    int64_t wait_ns; /* -1: it says nothing of it */
};

/* Of equal preferences the first counts (RFC 7240 2); what is malformed is as if it were not there. */
struct prefer prefer_read(const struct http_fields *);
/* Takes those two out, and leaves all others as they are.  Texts go into the arena; the list itself is changed. */
void prefer_remove(struct http_fields *, struct arena *);

#endif
