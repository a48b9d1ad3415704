/*
 * A multipart body in its parts (RFC 2046 5.1; form data: RFC 7578).  Its boundary is chosen anew each time, so two
 * bodies that say the same differ in it.  Pure.
 */
#ifndef WEIR_HTTP_MULTIPART_H
#define WEIR_HTTP_MULTIPART_H

#include "base/slice.h"

#include <stdbool.h>

enum { MULTIPART_BOUNDARY_MOST = 70 };

/* The value of the parameter, without quotation marks: a slice of the type.  ptr NULL: it is no multipart type, or its
 * boundary is none. */
struct slice http_multipart_boundary(struct slice content_type);

struct http_multipart {
    struct slice rest;
    char         delimiter[4 + MULTIPART_BOUNDARY_MOST]; /* with the CRLF that stands before it */
    size_t       delimiter_bytes;
    bool         is_whole; /* the last delimiter was met, and nothing stands after it */
};

/* False: it is no such body, or has something before its first part. */
bool http_multipart_open(struct http_multipart *, struct slice content_type, struct slice body);
/* The next part's fields, as they stand there, and its content; both are slices of the body.  False: there is none,
 * and `is_whole` says whether all is as it should be. */
bool http_multipart_next(struct http_multipart *, struct slice *head, struct slice *content);

#endif
