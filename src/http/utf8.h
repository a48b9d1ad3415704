/*
 * Is a text that comes in pieces well-formed UTF-8 (RFC 3629 4)?  Keeps nothing but its place in a sequence.  Pure.
 */
#ifndef WEIR_HTTP_UTF8_H
#define WEIR_HTTP_UTF8_H

#include <stdbool.h>
#include <stddef.h>

struct utf8_check {                      /* all zero: at the start */
    unsigned char rest_left;             /* bytes that must follow */
    unsigned char rest_first, rest_last; /* what the next one may be */
    bool          fails;
};

/* False: it is none; further calls say the same. */
bool utf8_check_feed(struct utf8_check *, const char *bytes, size_t count);
/* It has ended: not within a sequence? */
bool utf8_check_end(const struct utf8_check *);

#endif
