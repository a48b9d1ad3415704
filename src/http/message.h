/*
 * The two heads of HTTP as Weir passes them from room to room.  Plain
 * values that borrow their text; whoever keeps one copies it.
 */
#ifndef WEIR_HTTP_MESSAGE_H
#define WEIR_HTTP_MESSAGE_H

#include "http/fields.h"
#include "http/method.h"

struct http_request {
    enum http_method   method;
    struct slice       method_name;   /* as received */
    struct slice       target;        /* raw, byte for byte (RFC 9112 3.2) */
    unsigned           version_minor; /* HTTP/1.x */
    struct http_fields fields;
};

struct http_response {
    unsigned           status; /* 100 to 999 */
    struct http_fields fields;
};

/* RFC 9110 6.4.1, 15: 1xx, 204 and 304 have no content. */
bool http_status_has_no_body(unsigned status);
/* "Not Found"; "" for a status without a registered phrase. */
const char *http_status_reason(unsigned status);

#endif
