/*
 * Settings of the engine: what is answered in an API's place.
 */
#ifndef WEIR_ENGINE_OPTIONS_H
#define WEIR_ENGINE_OPTIONS_H

#include "http/fields.h"

#include <stdatomic.h>

struct mock_options {
    unsigned           status;
    struct http_fields headers; /* with a Content-Type where there is a body */
    struct slice       body;
    int64_t            delay_ns;
    bool               has_share;        /* and so in any mode */
    unsigned           share_millionths; /* of the requests */
    _Atomic uint64_t  *requests;         /* that it might have answered; any thread */
};

#endif
