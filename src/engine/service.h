/*
 * What answers a path of Weir's own with more than a fixed text, and stands in a room above this one (jobs/).
 *
 * The request is an exchange like any other: its framing and the page that sends it were looked at before open(), and
 * front/ gives it the body and takes the answer. Everything here is on the exchange's worker.
 *
 *     open()  ->  [upload()]*  ->  upload_end()  ->  service_answer() or service_refuse(), from any of them or later
 *     close(): the exchange ends, whether or not it was answered
 */
#ifndef WEIR_ENGINE_SERVICE_H
#define WEIR_ENGINE_SERVICE_H

#include "base/list.h"
#include "engine/engine.h"
#include "http/problem.h"
#include "store/spool.h"

struct engine_service {
    const char *path;          /* "/.weir/batch"; the query is its own */
    bool        below;         /* and whatever is below that path */
    bool        heeds_dry_run; /* what it asks for others is asked with the same Weir-Dry-Run */
    /* What the others get. NULL: it has refused. */
    void *(*open)(struct exchange *);
    /* Bytes taken; fewer than `count`: service_wake() says when the rest may come. */
    size_t (*upload)(void *, const void *bytes, size_t count);
    void (*upload_end)(void *);
    void (*close)(void *);
};

/* What takes requests that are answered later (groups.md 2): any request that would have to be asked for, as a service
 * takes its own; and a desk on each worker, where what was taken is carried out. */
struct engine_later {
    struct engine_service taking;
    /* Before the worker runs; number `index` of `count`. */
    void *(*open_desk)(struct engine *, struct jobs *, struct mailbox *, unsigned index, unsigned count);
    /* On the worker, as it begins; as it is to stop; ends what is under way. */
    void (*begin)(void *desk);
    void (*stop)(void *desk);
    void (*end)(void *desk);
    bool (*is_busy)(const void *desk);
    void (*close_desk)(void *desk); /* all is ended, and its mail delivered */
};

const struct exchange_input *service_input(const struct exchange *);
struct engine               *service_engine(const struct exchange *);
struct mailbox              *service_mailbox(const struct exchange *);
const struct config         *service_config(const struct exchange *);
uint64_t                     service_id(const struct exchange *); /* of the request, as the log has it */
struct arena                *service_arena(struct exchange *);    /* lives as long as the exchange */
/* A body in the cache's directory. */
struct spool            *service_spool(const struct exchange *);
struct jobs             *service_jobs(const struct exchange *);
void                    *service_desk(const struct exchange *);
const struct key_secret *service_secret(const struct exchange *);
/* The request as it came, of one that engine_later takes. */
const struct http_request *service_asked(const struct exchange *);
/* What it goes to and by which rule; NULL: it is for Weir itself. */
const struct config_upstream *service_upstream(const struct exchange *);
const struct policy_options  *service_policy(const struct exchange *);
/* "" where the client came by Weir's own address, else that address, as "http://127.0.0.1:8080". */
struct slice service_base_url(const struct exchange *);
/* May its client use that upstream?  Refused: it is answered. */
bool service_admits(struct exchange *, const struct config_upstream *);
/* Another exchange's reply as it may be stored: credentials of its request that the API says again read "***". */
struct http_fields service_fields_to_keep(const struct exchange *, struct arena *);
/* A whole text. */
void service_text(struct exchange *, unsigned status, const char *content_type, struct slice text);
/* One more field of the answer, which is set. */
void service_add_field(struct exchange *, const char *name, struct slice value);
/* Or a reply that another exchange has finished: nothing is added to it.  Copied but for its descriptor, which is the
 * exchange's from now on. */
void service_reply(struct exchange *, const struct reply *);
/* Or there is none, and this is why. */
void service_refuse_until(struct exchange *, enum problem_kind, struct slice detail, int64_t retry_after_ns);
/* The answer's head is there; its body is what is written to `body` until that ends.  Takes a reference of its own. */
void service_answer(struct exchange *, unsigned status, const char *content_type, struct spool *body);
/* Or there is none. `detail` is copied. */
void service_refuse(struct exchange *, enum problem_kind, struct slice detail);
/* Something that upload(), or the answer, waited for is there. Never from within a call of the exchange's. */
void service_wake(struct exchange *);

/* Once a second, for what is told from time to time. Zeroed but for `tick`: not set. */
struct engine_ticker {
    LIST_ENTRY(engine_ticker) entry;
    void (*tick)(struct engine_ticker *, int64_t now_mono_ns);
};
void engine_add_ticker(struct engine *, struct engine_ticker *);
void engine_drop_ticker(struct engine_ticker *);

const struct config *engine_config(const struct engine *); /* the one in effect */
/* Whoever waits for mail of his own keeps the engine from being closed. */
void engine_hold(struct engine *);
void engine_let_go(struct engine *);

/* Of the exchanges that have it (exchange_input.race) only so many acceptable answers are wanted. */
struct race *service_race(uint64_t wanted, const struct race_accept *);
void         service_race_fewer(struct race *); /* one of those came from the cache */
void         service_race_release(struct race *);

/* Asks how long more like this one will take: `reply_to`, `done` and `more` are set.  False: it does not wait for an
 * API, and nobody answers. */
bool exchange_look_out(const struct exchange *, struct upstream_outlook *);

/* Did Weir itself make that reply, for want of an answer? */
bool exchange_is_own_reply(const struct exchange *);

#endif
