/*
 * What the admin room's files share: a call, and how an endpoint answers it.
 */
#ifndef WEIR_ADMIN_INTERNAL_H
#define WEIR_ADMIN_INTERNAL_H

#include "admin/admin.h"

#include "http/problem.h"

#include <jansson.h>

struct admin {
    const struct admin_services *services;
    struct mailbox              *mailbox;
    struct recorder             *recorder;   /* of the same worker */
    unsigned                     open_count; /* calls whose memory is not yet free */
};

struct metrics;

enum { /* what an endpoint needs: one of the first two, always (tests/scenario/test_admin_doc.py) */
       ON_QUERY_SOCKET = 1,       /* for whoever may use Weir: of what is his own, and of upstreams that he may use */
       ON_ADMIN_SOCKET_ALONE = 4, /* it changes something, or tells of others */
       WITHOUT_DAEMON = 2         /* it needs the store and nothing else: alone.h */
};

struct endpoint {
    const char      *path; /* where it ends with "/", all that begins so */
    enum http_method method;
    void (*run)(struct admin_call *);
    unsigned places; /* of these; the admin socket has all */
};

/* An answer of which a part is made at a time, as the client takes what was made before. */
struct admin_stream {
    void (*more)(struct admin_call *);
    char   *bytes; /* made and not yet taken: from `taken` to `used` */
    size_t  taken, used, capacity;
    bool    has_ended;  /* nothing more will be written */
    bool    is_awaited; /* the reader waits for bytes, or for the end */
    int64_t length;     /* of all of it; -1: not known */
    int64_t given;      /* to the client */
};

struct listing_kind {
    void (*open)(struct admin_call *);
    bool of_limits;
};
struct listing { /* of upstreams or of their limits */
    const struct listing_kind *kind;
    unsigned                   entry, limit; /* what comes next of the report */
    bool                       has_rows;
    json_t                    *more; /* whose limits are not all told */
};

struct admin_own { /* what one endpoint alone has */
    void *state;
    void (*free)(void *state);   /* when the call's memory goes */
    void (*cancel)(void *state); /* the client has left while mail is awaited; NULL: nothing can be hastened */
};

struct admin_call {
    struct admin       *admin;
    struct config      *config; /* a reference; of a call that follows requests the one in effect */
    struct admin_rights rights;
    void (*wake)(void *owner);
    void                  *owner;
    bool                   beginning; /* still inside admin_begin(): no wake */
    bool                   done, ended;
    bool                   awaits_mail;
    bool                   is_head;    /* of what is streamed the head alone is answered */
    bool                   may_be_cut; /* nobody waits for its end: it has none of itself */
    struct reply           reply;
    char                  *json;   /* malloc'd: the answer's bytes */
    struct admin_stream    stream; /* of an answer that is not made at once */
    struct listing         listing;
    struct admin_own       own;
    struct slice           argument; /* the request's body; in the arena */
    struct reload_order    reload;
    struct mail            reopened;
    struct arena           arena;
    struct slice           query;   /* of the target; in the arena */
    struct slice           rest;    /* of the path of an endpoint that ends with "/"; in the arena */
    struct slice           bearer;  /* the token that the request says; in the arena */
    struct slice           accept;  /* the field of that name; in the arena */
    struct metrics        *metrics; /* of /metrics; in the arena */
    struct upstream_report report;
    struct upstream_forget forget; /* of /limits/forget */
    struct store_change    change;
};

/* How many jobs are in each state, by its name. */
json_t *admin_job_states(const struct admin_call *);

/* -- answers: at once, -- */
void admin_answer_json(struct admin_call *, unsigned status, json_t *body /* taken over */);
void admin_answer_problem(struct admin_call *, enum problem_kind, const char *detail);
/* or piece by piece. `more` is called when the client has taken what there was, and by admin_go_on(): it writes while
 * there is room, and then ends the answer or waits for what will call admin_go_on(). What a client does not read is not
 * made; when it leaves, the call ends and nobody calls `more` again. */
void admin_start(struct admin_call *, unsigned status, const char *content_type, void (*more)(struct admin_call *));
/* A part of a walk over what is stored has come back, `ok` as it says: begins the answer, lines of JSON, or goes on. */
void admin_walked(struct admin_call *, bool ok, void (*more)(struct admin_call *));
/* After that: so many bytes it will be, and what ends before was cut short. */
void admin_promise(struct admin_call *, int64_t bytes);
void admin_write(struct admin_call *, struct slice piece);
bool admin_has_room(const struct admin_call *);
void admin_finish(struct admin_call *);
void admin_go_on(struct admin_call *);
void admin_free_stream(struct admin_stream *);

/* -- for endpoints -- */
/* There is no daemon, but its cache: alone.h. */
static inline bool admin_is_alone(const struct admin *a)
{
    return a->services->upstream == NULL;
}
/* -1: nobody counts them. Any thread. */
static inline int64_t admin_hits(const struct admin *a, const struct store_record *r)
{
    return admin_is_alone(a) ? -1 : (int64_t)store_hits(a->services->store, r->hash, r->variant);
}
/* May the caller hear of the upstream of this name? */
bool admin_may_see(const struct admin_call *, const char *upstream);
/* Asks the upstream thread; `then` runs with call->report filled. */
void admin_ask_upstream(struct admin_call *, void (*then)(struct mail *));
/* Submits call->change; `then` runs after its commit. */
void admin_submit_change(struct admin_call *, void (*then)(struct mail *));
/* The first thing `then` does: false where nobody waits for the answer any more (the call is freed). */
bool admin_resume(struct admin_call *);
/* The same after a change of the cache: false also where it failed, which is answered. */
bool admin_has_changed(struct admin_call *, enum problem_kind, const char *detail);

/* rest.c: borrowed. */
struct spool *admin_rest_spool(struct admin_rest *);
/* page.c: a file of the page, where that is what is asked for; false: it is not. */
bool admin_answer_page(struct admin_call *, const struct http_request *);
/* drop.c: submits a change that drops something, and answers how much. */
void admin_drop(struct admin_call *, enum store_change_kind);
/* report.c: answers with a list of upstreams, or of their limits. */
void admin_list_upstreams(struct admin_call *, const struct listing_kind *);

#endif
