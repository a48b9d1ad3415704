/*
 * One request on its connection, as the files of this room share it: call.c has its life and libmicrohttpd's
 * callbacks, waiting.c its sleep, who.c its client, head.c what is read of its head, answer.c and admin_answer.c what
 * is said.  Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_CALL_H
#define WEIR_FRONT_MHD_CALL_H

#include "front/mhd/connection.h"
#include "front/mhd/kept.h"
#include "front/mhd/rawhead.h"

enum { CALL_ANSWER_ROOM = 24 * 1024 }; /* of the pool, for the head of an answer */

enum { MANY_CALLS = 64 }; /* of a worker: then those that come take no more memory than they need */

enum call_stage {
    CALL_HEAD,   /* nothing but the target is known */
    CALL_EXPECT, /* the client waits for a 100 before it sends the body */
    CALL_BODY,   /* taking the body, if any */
    CALL_ANSWER  /* the request is whole */
};

struct call {
    struct worker         *worker;
    struct connection     *connection;
    struct MHD_Connection *mhd;
    struct arena           arena;
    enum call_stage        stage;
    struct slice           target;
    const char            *raw_target; /* in MHD's buffer */
    struct rawhead         raw;
    size_t                 head_bytes; /* 0: it is not whole */
    struct http_request    request;
    bool                   has_body, is_restless;
    int64_t                body_bytes;
    struct exchange       *exchange;
    struct kept_head       head; /* rest.ptr NULL: one whose reply is not kept */
    struct kept           *kept; /* its reply, instead of an exchange */
    struct repetition      repetition;
    bool                   asked_who; /* the answer may depend on it */
    struct admin_call     *admin;
    struct slice           admin_body;
    struct admin_rest     *admin_rest; /* of a content whose first line alone is `admin_body` */
    size_t                 admin_room; /* what there is for it */
    const struct refusal  *refusal;    /* of a call on an admin's address; NULL: it may be made */
    bool                   suspended;
    unsigned               sweep;       /* when that was */
    TAILQ_ENTRY(call)      suspension;  /* of the worker's suspended ones */
    bool                   is_stranger; /* asks an admin's address over TCP, and shows no token */
    bool                   gone;        /* broken off: the next callback closes the connection */
    int64_t                sent_bytes;
    int64_t                reply_bytes;
    bool                   streaming;
    bool                   answering; /* MHD has the response */
    struct MHD_Response   *response;  /* MHD's, alive while it is being sent */
    LIST_ENTRY(call)       entry;     /* of the worker's calls, or of those unused */
};

/* -- call.c: libmicrohttpd's callbacks, and what the worker does with all calls -- */
void           *call_on_target(void *worker, const char *uri, struct MHD_Connection *);
enum MHD_Result call_on_request(void *worker, struct MHD_Connection *, const char *url, const char *method,
                                const char *version, const char *upload_data, size_t *upload_data_size, void **context);
void call_on_completed(void *worker, struct MHD_Connection *, void **context, enum MHD_RequestTerminationCode);
/* MHD has closed the connection, and may have forgotten to say so of its request. */
void call_on_closed(struct connection *);
/* The client has closed its side. */
void call_on_peer_closed(struct connection *);
/* True while a request whose head is whole is being answered. */
bool call_any(const struct worker *);
/* Breaks off those that have no end of their own; libmicrohttpd does not stop while one is suspended. */
void call_break_endless(struct worker *);
/* Breaks off every call of the worker. */
void call_break_all(struct worker *);
void call_free_unused(struct worker *);

/* -- waiting.c: until call_resume() MHD does not call for it -- */
void call_suspend(struct call *);
/* The same, for somebody: whose client has left is broken off. */
void call_wait(struct call *);
void call_break_off(struct call *);
/* A call that is not suspended stays as it is. */
void call_resume(struct call *);
/* The same, for what only knows the owner. */
void call_wake(void *call);
/* Gives back memory that calls do not need while they wait; true where there is more of it to be given. */
bool call_park_some(struct worker *);

/* -- who.c -- */
/* Looks up who is at the other end, as far as the log tells, once for a connection. */
void call_label(struct connection *);
/* The newest, when more is known by now: struct exchange_input's `label`. */
void call_label_record(void *call, struct request_record *);
/* See struct exchange_input. The answer depends on who it is from then on. */
const struct peer *call_known(void *call);
const struct peer *call_who(void *call);
struct peer_card  *call_card(void *call);

/* -- head.c -- */
/* The same head as one that was answered within the second?  Then nothing of it has to be read again. */
bool call_find_kept(struct call *, const char *method, const char *version, size_t head_bytes);
void call_read_head(struct call *, const char *method, const char *version);
/* Has MHD room left for a body's lines and the head of an answer?  Else nobody could hear one. */
bool call_head_fits(const struct call *, size_t head_bytes);
/* About how long the head is. */
size_t call_head_bytes(const struct call *);

/* -- answer.c: MHD_NO closes the connection -- */
enum MHD_Result call_queue(struct call *, unsigned status, struct MHD_Response *);
enum MHD_Result call_queue_problem(struct call *, const struct refusal *);
enum MHD_Result call_queue_kept(struct call *);
enum MHD_Result call_queue_reply(struct call *, const struct reply *);

/* -- admin_answer.c: the same of a call on the admin socket -- */
void            call_judge_admin_head(struct call *, size_t head_bytes);
enum MHD_Result call_take_admin_body(struct call *, const char *bytes, size_t *count);
enum MHD_Result call_answer_admin(struct call *);

#endif
