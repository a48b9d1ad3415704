/* Content codings a client takes (RFC 9110 12.5.3), as a small set that does for a key.  Pure. */
#ifndef WEIR_HTTP_ENCODING_H
#define WEIR_HTTP_ENCODING_H

#include "http/fields.h"

/* One spelling for one wish: accepted codings in lower case, sorted, q=0 left out, "identity" and
 * x- aliases folded ("br, gzip"); "" for identity only; "*" kept where it is there. */
struct slice http_accept_encoding_normalise(const struct http_fields *request, struct arena *a);
/* Languages in lower case by preference, equal ones by name; the weights are ranks: "de, en;q=0.999". */
struct slice http_accept_language_normalise(const struct http_fields *request, struct arena *a);
/* May a response with this Content-Encoding (ptr NULL: none) be sent to this client?  A coding that no
 * registry knows is no matter of Accept-Encoding. */
bool http_coding_is_acceptable(const struct http_fields *request, struct slice content_encoding);
/* Does it hold a coding that clients and servers agree upon by Accept-Encoding (not "identity")? */
bool http_coding_is_negotiated(struct slice content_encoding);

#endif
