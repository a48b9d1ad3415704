/*
 * A recorded exchange as a stored response: under the key that a request for it has, if policy would store it.
 *
 * The request is explained first (explain.h) as one that brings no credential.  So what is stored is what anybody's
 * request would find, or, where Weir adds the upstream's credential, that of whoever may use it.  Worker's thread.
 */
#ifndef WEIR_ENGINE_IMPORT_H
#define WEIR_ENGINE_IMPORT_H

#include "engine/explain.h"

struct import_item {
    unsigned           status;
    struct http_fields fields; /* end to end, as the API said them */
    int64_t            requested_wall_ns, received_wall_ns;
    int64_t            body_bytes;
    bool               had_credential; /* the recorded request did */
    struct slice       as; /* whose what is private becomes: "shared" or "auth:UPSTREAM"; ptr NULL: nobody's */
};

enum import_end {
    IMPORT_STORES,
    IMPORT_PRIVATE,     /* nobody has said whose it becomes */
    IMPORT_NOT_STORED,  /* policy stores no such response */
    IMPORT_NO_UPSTREAM, /* that has the URL's host */
    IMPORT_WRONG_OWNER  /* `as` names one that this upstream does not have */
};
const char *import_end_name(enum import_end); /* "stored", "private", ... */

/* On IMPORT_STORES *c is a STORE_PUT without its body; else *why says it in words.  What it points to lives as long as
 * the explanation, the item and the arena. */
enum import_end import_change(struct explain *, const struct import_item *, struct store_change *c, struct arena *,
                              struct fault *why);

#endif
