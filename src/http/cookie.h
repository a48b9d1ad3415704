/*
 * Cookies as they travel (RFC 6265bis): the pairs of a Cookie field and the
 * parts of a Set-Cookie field.  Pure; nothing is decoded, and white space around
 * a part is not part of it.
 */
#ifndef WEIR_HTTP_COOKIE_H
#define WEIR_HTTP_COOKIE_H

#include "base/slice.h"

/* The next part of a Cookie or Set-Cookie value ("a=1"; "Path=/"); empty ones are passed over.  False at the end. */
bool http_cookie_next(struct slice *rest, struct slice *part);
/* Before the first '=', and after it.  Without one a cookie has no name (5.6.3), and an attribute has no value: the
 * caller says which of the two it is. */
struct slice http_cookie_name(struct slice pair);
struct slice http_cookie_value(struct slice pair);
struct slice http_attribute_name(struct slice part);
struct slice http_attribute_value(struct slice part);

#endif
