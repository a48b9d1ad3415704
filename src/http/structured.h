/*
 * Structured fields (RFC 8941, RFC 9651), as much as Weir reads and writes:
 * dictionaries of items with parameters, strings, tokens, integers.  Pure.
 */
#ifndef WEIR_HTTP_STRUCTURED_H
#define WEIR_HTTP_STRUCTURED_H

#include "http/fields.h"

enum sf_type { SF_INTEGER, SF_DECIMAL, SF_STRING, SF_TOKEN, SF_BOOLEAN, SF_BINARY, SF_DATE, SF_DISPLAY, SF_INNER_LIST };

struct sf_item {
    enum sf_type type;
    int64_t      integer; /* SF_INTEGER, SF_DATE; SF_DECIMAL in thousandths;
                                       * SF_BOOLEAN 0 or 1 */
    struct slice text;    /* SF_STRING without its quotes, unescaped in the arena where
                                       * there was something to unescape; else as written */
};

struct sf_member {         /* of a dictionary or a list */
    struct slice      key; /* empty in a list; key of the parameter in `parameters` */
    struct sf_item    value;
    struct sf_member *parameters;
    unsigned          parameter_count;
};

struct sf_members {
    struct sf_member *items;
    unsigned          count;
};

/* What RFC 8941 3.1, 3.1.2 and 3.2 oblige a recipient to take; more does not parse. */
enum { SF_MEMBERS_MAX = 1024, SF_PARAMETERS_MAX = 256 };

/* False where the field as a whole does not parse: then none of it counts (RFC 8941 4.2).
 * An empty field is a dictionary or a list without members.
 * Of a repeated key the last value counts, at the first place. */
bool sf_parse_dictionary(struct slice text, struct arena *a, struct sf_members *out);
bool sf_parse_list(struct slice text, struct arena *a, struct sf_members *out);
/* "..." with \" and \\ ; bytes outside of 0x20 to 0x7e become '?'. */
struct slice sf_string(struct slice text, struct arena *a);

#endif
