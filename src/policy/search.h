/*
 * No-Vary-Search (draft-ietf-httpbis-no-vary-search): which parts of a query do not matter for a stored response.
 *
 * Two queries are the same under a variance where their canonical texts are.  So what is stored under one is found for
 * another by a label (policy/label.h) over that text; a second label, over the path alone, tells which variances there
 * are.  Pure; any thread.
 */
#ifndef WEIR_POLICY_SEARCH_H
#define WEIR_POLICY_SEARCH_H

#include "policy/key.h"
#include "policy/label.h"

enum { SEARCH_NAMES = 64, SEARCH_PAIRS = 256 }; /* what more says, or holds, is not compared */

struct search_variance {
    bool         ignores_order;
    bool         ignores_all; /* but `names`; else nothing but these is ignored */
    unsigned     count;
    struct slice names[SEARCH_NAMES]; /* decoded */
    struct slice text;                /* the field as it came */
};

/* What a response's fields say; false: every byte of the query counts. */
bool policy_search_variance(const struct http_fields *, struct arena *, struct search_variance *out);
/* Of a query without its "?"; ptr NULL: it is not compared. */
struct slice policy_search_canonical(const struct search_variance *, struct slice query, struct arena *);
/* Are two keys (full texts) the same but for their queries, and those the same under the variance? */
bool policy_search_is_same(const struct search_variance *, struct slice key, struct slice other, struct arena *);
/* The label that all have which are stored under the key's path and vary so. */
void policy_search_path_label(const struct cache_key *, uint8_t out[LABEL_BYTES]);
/* The label of what answers the key under that variance; false: nothing does. */
bool policy_search_label(const struct cache_key *, const struct search_variance *, struct arena *,
                         uint8_t out[LABEL_BYTES]);
/* Puts both before the labels of a response, where it varies so. */
void policy_search_labels(const struct cache_key *, const struct http_fields *, struct arena *, struct labels *);

#endif
