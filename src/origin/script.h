/*
 * What answers in an API's place: a head, a body, an end, each as it once was.  Plain values; whoever asks brings one
 * beside the request, and then no connection is made, no name is looked up and nothing is sent.
 */
#ifndef WEIR_ORIGIN_SCRIPT_H
#define WEIR_ORIGIN_SCRIPT_H

#include "http/attempt.h"
#include "http/fields.h"

#include <stdint.h>

struct script_interim { /* a 1xx head */
    unsigned           status;
    struct http_fields fields;
};

struct script_piece { /* of the body */
    int64_t at_ns;    /* after the request went out */
    int64_t bytes;
};

struct origin_script { /* what it points to stays until the exchange's end */
    const struct script_interim *interims;
    unsigned                     interim_count;
    unsigned                     status; /* 0: no head came */
    struct http_fields           fields; /* all, as they came */
    struct slice                 body;   /* as it came, but for chunks */
    const struct script_piece   *pieces; /* its pace; NULL: all of it at once */
    unsigned                     piece_count;
    struct http_fields           trailers;
    int64_t                      sent_wall_ns, came_wall_ns;
    bool                         is_cut;    /* the body breaks off */
    enum attempt_outcome         failed_as; /* of one without a head, or that is cut */
    const char                  *token;     /* RFC 9209 error type; NULL: that of failed_as */
};

#endif
