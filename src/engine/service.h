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
    const char *path; /* "/.weir/batch"; the query is its own */
    /* What the others get. NULL: it has refused. */
    void *(*open)(struct exchange *);
    /* Bytes taken; fewer than `count`: service_wake() says when the rest may come. */
    size_t (*upload)(void *, const void *bytes, size_t count);
    void (*upload_end)(void *);
    void (*close)(void *);
};

const struct exchange_input *service_input(const struct exchange *);
struct engine               *service_engine(const struct exchange *);
struct mailbox              *service_mailbox(const struct exchange *);
const struct config         *service_config(const struct exchange *);
uint64_t                     service_id(const struct exchange *); /* of the request, as the log has it */
struct arena                *service_arena(struct exchange *);    /* lives as long as the exchange */
/* A body in the cache's directory. */
struct spool *service_spool(const struct exchange *);
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

/* Whoever waits for mail of his own keeps the engine from being closed. */
void engine_hold(struct engine *);
void engine_let_go(struct engine *);

/* Asks how long more like this one will take: `reply_to`, `done` and `more` are set.  False: it does not wait for an
 * API, and nobody answers. */
bool exchange_look_out(const struct exchange *, struct upstream_outlook *);

/* Did Weir itself make that reply, for want of an answer? */
bool exchange_is_own_reply(const struct exchange *);

#endif
