/*
 * One item of a batch: from its JSON to a request.  Pure, over a configuration's routes.
 */
#ifndef WEIR_JOBS_ITEM_H
#define WEIR_JOBS_ITEM_H

#include "config/config.h"
#include "http/message.h"
#include "jobs/wanted.h"

#include <jansson.h>

struct item_request {
    struct http_request request;
    struct slice        id;       /* JSON text; ptr NULL: it has none of its own */
    struct slice        body;     /* ptr NULL: none */
    const char         *upstream; /* its name */
};

struct item_asked { /* by whom, and how */
    const struct config       *config;
    const struct wanted       *wanted;
    const struct http_request *outer;
};

/* `text`: a JSON string or object, well-formed.  All of *out is in the arena.  NULL: well; else what is wrong with it,
 * and what would be right. */
const char *item_read(struct slice text, const struct item_asked *, struct item_request *out, struct arena *);
/* A URL as it is, without quotes: a line. */
const char *item_read_url(struct slice url, const struct item_asked *, struct item_request *out, struct arena *);

#endif
