/* What a setting asks of a JSON body: "json:POINTER = VALUE".  Pure. */
#ifndef WEIR_HTTP_CONDITION_H
#define WEIR_HTTP_CONDITION_H

#include "base/slice.h"

#include <stdbool.h>

enum { CONDITION_VALUE_BYTES = 255 };

struct condition {
    struct slice pointer; /* RFC 6901 */
    struct slice value;   /* a string, or a number, true, false or null as it is written */
};

/* Slices of the text; false: it is none. */
bool condition_parse(struct slice text, struct condition *out);

#endif
