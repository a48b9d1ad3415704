/*
 * Which stored responses a caller means: the parameters of /entries and /entry, and the members of a /purge.
 *
 * A `meant` is made on the worker's thread and read on the walk's or the writer's.
 */
#ifndef WEIR_ADMIN_MEANT_H
#define WEIR_ADMIN_MEANT_H

#include "admin/internal.h"
#include "engine/entry.h"

struct meant {
    const struct config *config; /* the call's */
    struct entry_reader  reader;
    struct entry_wish    wish;
    bool                 is_anything;  /* nothing was said of which */
    bool                 is_url_wrong; /* after MEANT_WRONG */
    struct arena         scratch;      /* of whoever judges records by it */
    struct arena         arena;
};

/* What the caller may know of, and nothing said yet. */
struct meant *meant_new(const struct admin_call *);
void          meant_free(struct meant *); /* NULL is fine */

enum meant_read { MEANT_TAKEN, MEANT_OTHER /* no name of its own */, MEANT_WRONG /* *why says what would be right */ };
/* One of "url" (a URL or a glob), "upstream", "stale", "expired", "older_than", "whose", "tag", each said
 * once. */
enum meant_read meant_take(struct meant *, struct slice name, struct slice value, struct fault *why);
/* Is it one of these names? */
bool meant_knows(struct slice name);

#endif
