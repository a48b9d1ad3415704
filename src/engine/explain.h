/*
 * What would happen to a request, and why: the engine's own steps run dry.
 *
 * The same steps as of a request run up to where it would be served, refused or asked of the API: guard, route, rule,
 * key, look-up, decision; what the upstream thread would say of it is asked by mail (upstream_foretell()), and the
 * steps go on from there.  Nothing is counted, kept, touched or sent: the look-up leaves no trace, no command for a
 * credential runs, no line is logged.
 *
 * Life: explain_open -> [explain_ask -> mail -> explain_go_on]* -> explain_result -> explain_close.  Worker's thread;
 * an explanation is not closed while its mail is out.
 */
#ifndef WEIR_ENGINE_EXPLAIN_H
#define WEIR_ENGINE_EXPLAIN_H

#include "engine/engine.h"
#include "engine/entry.h"

struct explain;

struct explain_fact {          /* of a stored response, as far as it has a say in what is done */
    bool               is_own; /* the asker's, else nobody's: shared */
    struct slice       key;    /* after the partition: policy/key.h */
    struct slice       selection, upstream;
    unsigned           status;
    int64_t            requested_wall_ns, received_wall_ns, set_back_ns, body_bytes;
    bool               invalidated, had_credential;
    struct http_fields fields; /* those that policy goes by */
};
enum { EXPLAIN_FACTS = 50 };

struct explain_question { /* borrowed during explain_open() */
    struct slice       method;
    struct slice       url; /* the API's, Weir's own, or "/UPSTREAM/path" */
    struct http_fields fields;
    struct slice       body;      /* ptr NULL: none */
    bool               knows_all; /* whoever asks may hear of what he may not use, and of others */
    bool               wants_facts;
    /* has_facts: these are all that is stored, whatever the store has; they live as long as the explanation */
    bool                       has_facts;
    const struct explain_fact *facts;
    unsigned                   fact_count;
};

/* `as`: who asks (peer, known, who, card, owner of it), as whom the request is judged. NULL and *why where the URL is
 * none. */
struct explain *explain_open(struct engine *, const struct exchange_input *as, const struct explain_question *,
                             struct fault *why);
void            explain_close(struct explain *); /* NULL is fine */
/* Does the upstream thread have to be asked?  Then `then` is called with upstream_foretelling.done, and is to call
 * explain_go_on(). */
bool            explain_waits(const struct explain *);
void            explain_ask(struct explain *, struct mailbox *, void (*then)(struct mail *), void *owner);
struct explain *explain_of_mail(struct mail *done, void **owner);
void            explain_go_on(struct explain *);
/* Of another partition, and of the same path?  Any thread, while the explanation is open. */
bool explain_is_kin(const struct explain *, const struct store_record *);

enum explain_end {
    EXPLAIN_SERVED,   /* from what is stored */
    EXPLAIN_SENT,     /* it goes to the API, and may wait before */
    EXPLAIN_ANSWERED, /* by Weir itself: a refusal, a failure, its own endpoint, a page's preflight */
    EXPLAIN_PURGED    /* PURGE: drops what is stored */
};

/* Words of policy/. */
const char *explain_forward_text(enum forward_reason);
const char *explain_storable_text(enum storable);
const char *explain_detail_text(const char *token); /* what it means; "": not known */

enum explain_in { IN_QUERY, IN_METHOD, IN_FIELD, IN_BODY, IN_VARY, IN_ORDER, IN_WHOSE };
const char *explain_in_text(enum explain_in);
struct explain_difference { /* of a stored key from the one that was asked for */
    enum explain_in in;
    struct slice    name;          /* of the parameter or field; may be "" */
    struct slice    stored, asked; /* ptr NULL: it has none */
};
enum { EXPLAIN_DIFFERENCES = 8, EXPLAIN_NEAREST = 3, EXPLAIN_SETTINGS = 11 };
struct explain_near {
    struct entry_facts        entry;
    struct explain_difference by[EXPLAIN_DIFFERENCES];
    unsigned                  count; /* may exceed EXPLAIN_DIFFERENCES */
};

struct explain_setting { /* that has a say */
    const char         *name;
    const char         *value; /* as it is written, of a short one that is no list; else NULL */
    struct config_place at;    /* file NULL: nowhere, the default counts */
};

struct explained_answer {                /* that Weir would give by itself, or from what is stored */
    unsigned     status;                 /* 0: the API's */
    const char  *cache, *detail, *error; /* as the access log says; NULL: none */
    struct slice cache_status, body;     /* `body` of a problem */
};

struct explained { /* plain values, as long as the explanation is open */
    enum explain_end              end;
    const struct config          *config;
    const struct config_upstream *up; /* NULL: none */
    enum route_way                way;
    const struct route_rule      *rule;
    const struct policy_options  *policy;    /* NULL: it did not come so far */
    bool                          is_denied; /* to whoever asks, by `access`; what follows is for those who are not */
    struct slice                  method, target;
    struct slice                  url; /* of the API, credentials masked */
    bool                          has_key;
    struct cache_key              key;
    struct slice                  key_url;                /* without what is not part of the key, credentials masked */
    struct slice                  whose, accept_encoding; /* as a variant has it; ptr NULL: the request has none */
    /* what the look-up found */
    bool               was_looked_up, is_stored, other_variant;
    struct entry_facts stored;
    struct slice       selection;
    struct decision    decision;
    /* where it found nothing: what stands nearest */
    struct explain_near nearest[EXPLAIN_NEAREST];
    unsigned            nearest_count;
    struct store_near   of_path; /* all of that path, of the caller and shared */
    /* what the upstream thread foretells; asked: false where it was not asked */
    bool                               asked;
    const struct upstream_foretelling *foretold;
    const struct fetch                *fetch; /* as it would be sent, if it may be; NULL: none was made up */
    const char                        *auth_header, *auth_param; /* of the credential that Weir adds; NULL: none */
    struct policy_ttl                  kept;                     /* how long a 200 to it would be */
    int64_t                            early_in_ns; /* served: a hit then renews it; INT64_MAX: none does */
    int64_t                            kept_ns;     /* one that came now; where that is for a time */
    struct explained_answer            answer;
    const struct explain_fact         *facts; /* where they were wanted: of that path */
    unsigned                           fact_count;
    struct explain_setting             settings[EXPLAIN_SETTINGS];
    unsigned                           setting_count;
};
const struct explained *explain_result(struct explain *);

/* Is that value for nobody's eyes?  Of a field, and of a parameter of the target. */
bool explain_hides_field(const struct explained *, struct slice name);
bool explain_hides_param(const struct explained *, struct slice name);

/* explain_self.c: this process as the one who asks, where there is no connection; NULL: no descriptor is left. */
struct explain_self;
struct explain_self *explain_self_open(struct exchange_input *out);
void                 explain_self_close(struct explain_self *); /* NULL is fine */
/* What upstream_start wants: pattern_matches(). */
bool explain_self_match(const void *pattern, struct slice path);

#endif
