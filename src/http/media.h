/* What a Content-Type says of a body (RFC 9110 8.3).  Pure. */
#ifndef WEIR_HTTP_MEDIA_H
#define WEIR_HTTP_MEDIA_H

#include "base/slice.h"

/*
 * One JSON value in UTF-8: application/json, text/json, any +json (RFC 6839 3.1).
 * Not what only holds JSON values one after the other (NDJSON, JSON text
 * sequences), and not what names another charset.
 */
bool http_media_is_json(struct slice content_type);
/* Text whose strings are JSON's: the above, and values on lines of their own. */
bool http_media_has_json(struct slice content_type);

/* Events that are told as they happen (HTML 9.2, and its like): it may never end. */
bool http_media_is_event_stream(struct slice content_type);

/* The same type and subtype, whatever the parameters. */
bool http_media_is_same_type(struct slice content_type, struct slice other);

#endif
