/* What is told of a stored response, as members of a JSON object.  Any thread. */
#ifndef WEIR_ADMIN_ROW_H
#define WEIR_ADMIN_ROW_H

#include "engine/entry.h"
#include "http/json.h"

/* Enough for it, with the braces and a line's end. */
size_t row_room(const struct entry_facts *);
/* `hits` -1: nobody has counted. */
void row_put(struct json_out *, const struct entry_facts *, int64_t hits);
/* One member; ptr NULL: null. */
void row_put_text(struct json_out *, const char *name, struct slice text);
/* A field's value with "***" in the place of each mark, which begins and ends with NUL: policy/mask.h. */
struct slice row_without_marks(struct slice value, struct arena *);

#endif
