/*
 * A stored response as a person sees it: what it is of, how old, for how much longer, under which rule, and whose; and
 * which of them somebody means.
 *
 * Facts of the record under the configuration in effect, as plain values. Any thread.
 */
#ifndef WEIR_ENGINE_ENTRY_H
#define WEIR_ENGINE_ENTRY_H

#include "config/config.h"
#include "policy/label.h"
#include "store/store.h"

enum entry_state {
    ENTRY_FRESH,
    ENTRY_STALE,
    ENTRY_INVALIDATED, /* kept for validation only */
    ENTRY_UNUSED       /* the configuration has no such upstream any more: nobody can ask for it */
};
const char *entry_state_text(enum entry_state);

struct entry_facts {                /* borrows of the record, the configuration and the arena */
    struct slice       method, url; /* credentials masked as in the access log */
    struct slice       whose;       /* "shared", or the first characters of the partition's hash */
    struct slice       upstream;    /* the name it was stored under */
    const char        *rule;        /* pattern of the rule that holds; NULL: none */
    struct slice       type;        /* Content-Type; ptr NULL: none */
    unsigned           status;
    int64_t            body_bytes;
    int64_t            age_ns;
    int64_t            left_ns; /* of freshness; negative: stale for so long; INT64_MAX: for ever; UNUSED: 0 */
    enum entry_state   state;
    struct http_fields fields;           /* as stored: marks in place of credentials (policy/mask.h) */
    const struct policy_options *policy; /* that holds; NULL: UNUSED */
};

struct entry_reader {
    const struct config          *config;
    int64_t                       now_wall_ns;
    const struct config_upstream *last; /* found for the record before */
};

/* Scratch memory and results are in the arena. */
void entry_read(struct entry_reader *, const struct store_record *, struct arena *, struct entry_facts *out);
/* Of nobody's credential: whoever may use the upstream may know of it. */
bool entry_is_shared(const struct store_record *);
/* Would a request with these fields get it, of its variants (RFC 9111 4.1) and of what match_headers tells apart?
 * What is UNUSED is chosen by all. */
bool entry_is_selected(const struct entry_facts *, const struct store_record *, const struct http_fields *request,
                       struct arena *);
/* Does a field of that name say who somebody is, to any upstream? */
bool entry_tells_who(const struct config *, struct slice name);
/* NULL: the configuration has none of that name any more. */
const struct config_upstream *entry_upstream(struct entry_reader *, const struct store_record *);

struct entry_wish {          /* which are meant: all of it holds at once */
    struct purge *urls;      /* engine/purge.h; NULL: all */
    struct slice  upstream;  /* ptr NULL: all */
    bool          not_fresh; /* stale, invalidated or unused */
    int64_t       older_ns;  /* only what is older; -1: all */
    struct slice  whose;     /* as above; ptr NULL: anybody's */
    bool          shared;    /* only what entry_is_shared() */
    bool          has_tag;   /* only what bears it: */
    uint8_t       tag[LABEL_NAME_BYTES];
    const bool   *may_see; /* of each upstream of the configuration; NULL: all */
};
/* What bears that tag alone; false: there can be none such. */
bool entry_wish_tag(struct entry_wish *, struct slice tag, struct fault *why);
/* False: it is not meant, and *out is not filled. */
bool entry_is_meant(const struct entry_wish *, struct entry_reader *, const struct store_record *, struct arena *,
                    struct entry_facts *out);

#endif
