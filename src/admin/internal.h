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
    unsigned                     open_count;      /* calls whose memory is not yet free */
};

struct purge;

struct admin_call {
    struct admin           *admin;
    const struct config    *config;
    struct admin_rights     rights;
    void                  (*wake)(void *owner);
    void                   *owner;
    bool                    beginning;   /* still inside admin_begin(): no wake */
    bool                    done, ended;
    bool                    awaits_mail;
    unsigned                status;
    char                   *json;        /* malloc'd */
    struct slice            body;        /* that, or in the arena */
    struct slice            argument;    /* the request's body; in the arena */
    struct purge           *purge;       /* of /purge */
    struct reload_order     reload;
    struct mail             reopened;
    struct arena            arena;
    struct slice            query;    /* of the target; in the arena */
    struct upstream_report  report;
    struct upstream_forget  forget;      /* of /limits/forget */
    struct store_change     change;
};

/* -- for endpoints -- */
void admin_answer_json(struct admin_call *, unsigned status, json_t *body /* taken over */);
void admin_answer_problem(struct admin_call *, enum problem_kind, const char *detail);
/* May the caller hear of the upstream of this name? */
bool admin_may_see(const struct admin_call *, const char *upstream);
/* Asks the upstream thread; `then` runs with call->report filled. */
void admin_ask_upstream(struct admin_call *, void (*then)(struct mail *));
/* Submits call->change; `then` runs after its commit. */
void admin_submit_change(struct admin_call *, void (*then)(struct mail *));
/* The first thing `then` does: false where nobody waits for the answer any more (the call is freed). */
bool admin_resume(struct admin_call *);

/* -- endpoints: one file each where they are more than a few lines -- */
void admin_status(struct admin_call *);
void admin_limits(struct admin_call *);
void admin_limits_forget(struct admin_call *);
void admin_upstreams(struct admin_call *);
void admin_ca(struct admin_call *);
void admin_ca_rotate(struct admin_call *);
void admin_flush(struct admin_call *);
void admin_compact(struct admin_call *);
void admin_purge(struct admin_call *);
void admin_reload(struct admin_call *);
void admin_reopen(struct admin_call *);

#endif
