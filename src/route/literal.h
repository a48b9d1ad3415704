/*
 * Bytes that every match of an expression holds, read from its text: with
 * them most expressions are passed over without being run.  For rules.c only.
 * Pure.
 */
#ifndef WEIR_ROUTE_LITERAL_H
#define WEIR_ROUTE_LITERAL_H

#include "base/slice.h"

enum { LITERAL_BYTES = 64 }; /* more of them are left out */

struct literal {
    bool     first;  /* a match begins with them; else it holds them anywhere */
    unsigned length; /* 0: nothing is known */
    char     bytes[LITERAL_BYTES];
};

/* `expression`: as PCRE2 reads it, without the "~".  Nothing is known of what is not understood. */
struct literal literal_of(struct slice expression);

#endif
