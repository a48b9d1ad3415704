/*
 * How long a message's body is, by its fields alone.
 */
#ifndef WEIR_HTTP_FRAMING_H
#define WEIR_HTTP_FRAMING_H

#include "http/fields.h"

struct http_framing {
    int64_t length; /* by Content-Length; -1: it says none, or is chunked */
    bool    chunked;
    bool    doubtful; /* readable, but the connection is not to be used again (RFC 9112 6.1) */
};

/*
 * RFC 9112 6.3 for an answer.  False: the framing is invalid, so that nobody can say where the body ends.  Stricter
 * than the standard, which lets a list of equal lengths ("5, 5") pass: equal lines pass here, a list does not;
 * and no transfer coding but chunked was asked for, so none is known.
 */
bool http_framing_of_answer(const struct http_fields *, unsigned version_minor, struct http_framing *);

#endif
