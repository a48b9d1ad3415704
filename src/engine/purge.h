/*
 * Which records a person means by a URL or a glob.  Built on a worker's
 * thread, matched on the store's writer thread.
 */
#ifndef WEIR_ENGINE_PURGE_H
#define WEIR_ENGINE_PURGE_H

#include "config/config.h"

struct purge;

/* `text`: an upstream's URL, "/UPSTREAM/path" or Weir's own URL of it, or a glob of these ("~" begins a
 * PCRE2 expression over whole URLs). A URL without `*` and `{` is taken literally, query included.
 * NULL: *why says what would be right. */
struct purge *purge_make(const struct config *, struct slice text, struct fault *why);
/* What an upstream has below its `url`'s path, on any of its hosts: `pattern` as in `rules`. NULL: it is none.
 * Holds a reference to the configuration. */
struct purge *purge_make_below(struct config *, const struct route_upstream *, struct slice pattern);
void          purge_free(struct purge *); /* NULL is fine */
/* Does the key's URL lead to a host of that upstream? */
bool purge_is_of(const struct route_upstream *, struct slice full_key);
/* For store_change.matches; `purge` is the struct purge. */
bool purge_matches(struct slice full_key, void *purge);

#endif
