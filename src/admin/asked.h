/* What a call's JSON says, as plain values.  Slices lead into the document. */
#ifndef WEIR_ADMIN_ASKED_H
#define WEIR_ADMIN_ASKED_H

#include "http/fields.h"

#include <jansson.h>

/* ptr NULL: there is no such member, or it is no text. */
struct slice asked_text(const json_t *, const char *name);
/* [["Name", "value"], ...], NULL for none; those whose name has a flag of `without` (http_name_flags()) are left out.
 * False: it is something else, or no field. */
bool asked_fields(const json_t *list, unsigned without, struct http_fields *, struct arena *);

#endif
