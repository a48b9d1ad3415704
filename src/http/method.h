/*
 * Request methods and what RFC 9110 section 9 says of each.  Pure; any thread.
 */
#ifndef WEIR_HTTP_METHOD_H
#define WEIR_HTTP_METHOD_H

#include "base/slice.h"

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_TRACE,
    HTTP_CONNECT,
    HTTP_PATCH,
    HTTP_PURGE,
    HTTP_QUERY,
    HTTP_OTHER /* any other token: passed through, counts as unsafe */
};

enum http_method http_method_parse(struct slice name);          /* case-sensitive (9.1) */
const char      *http_method_name(enum http_method m);          /* "" for HTTP_OTHER */
bool             http_method_is_safe(enum http_method m);       /* 9.2.1 */
bool             http_method_is_idempotent(enum http_method m); /* 9.2.2 */

#endif
