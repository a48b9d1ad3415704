/*
 * A job as its files see it; here it is called a task, since the store's writer has jobs of another kind.
 *
 *   jobs.c     opened at the start
 *   tasks.c    all of them: found by ID and by Idempotency-Key, what becomes of each, who waits to hear of that
 *   rows.c     a task as a row of the state directory
 *   keeping.c  the thread that writes rows and bodies, and drops what has expired
 *   desk.c     a worker's share: tasks that are carried out there
 *   perform.c  one that is carried out: an exchange of the engine that nobody waits for
 *   waiting.c  what waits for one, on a worker, and what it says
 *   taking.c   a request becomes a task, and hears so (202) once that is kept
 *   telling.c  /.weir/jobs: states, results, lists, events
 *
 * A task's state is what is on the disk: what it is to become next stands in `coming` until the row is written, and
 * only then anybody hears of it.  So nobody is told of what a kill -9 could take back.
 */
#ifndef WEIR_JOBS_TASK_H
#define WEIR_JOBS_TASK_H

#include "base/list.h"
#include "base/table.h"
#include "engine/service.h"
#include "jobs/jobs.h"

#include <jansson.h>
#include <pthread.h>

enum {
    TASK_ID_LENGTH = 26, /* a ULID: milliseconds and 80 random bits, in Crockford's base32 */
    TASK_HASH_BYTES = 16,
    TASK_SLOTS = 65536,      /* of marks */
    TASK_INLINE_BYTES = 1024 /* a body up to that stands in the row; a longer one in a file */
};

enum task_state {
    TASK_QUEUED,
    TASK_RUNNING, /* it is asked of the API */
    TASK_DONE,
    TASK_FAILED,
    TASK_CANCELLED,
    TASK_EXPIRED, /* its result is gone; who asks hears so for a while */
    TASK_GONE     /* nothing is left but references */
};
#define TASK_HAS_ENDED(state) ((state) >= TASK_DONE)
const char *task_state_name(enum task_state);

struct task_hash {
    uint8_t bytes[TASK_HASH_BYTES];
};

struct task_body {
    int64_t       bytes;
    struct slice  text;  /* all of it, where it is short; ptr NULL */
    struct spool *spool; /* or here, a reference, until it is written */
    bool          is_in_file;
};

struct task_answer {
    unsigned           status; /* 0: there is none */
    struct http_fields fields;
    struct http_fields kept;     /* without the credentials of its request, where that had some */
    int64_t            length;   /* as struct reply has it */
    bool               is_empty; /* there is no content, whatever `length` says */
    struct task_body   body;
    struct arena       arena; /* holds all of it */
};

struct task_asked { /* constant once the task is known to others */
    struct http_request request;
    struct http_fields  kept;      /* its fields, without credentials */
    struct slice        shown;     /* the target, without credentials */
    struct slice        upstream;  /* its name; ptr NULL: a batch */
    struct slice        upstreams; /* a batch: the names of those it asks, a line each */
    struct slice        connected; /* as struct exchange_input has it, and so on */
    struct slice        proxy_user;
    bool                is_tls, has_body;
    char                peer_name[64];
    struct peer         peer;
};

struct performance;
TAILQ_HEAD(tasks, task);

struct task_watch {               /* in what waits; on a worker */
    LIST_ENTRY(task_watch) entry; /* under the lock */
    struct mailbox        *mailbox;
    struct mail            mail; /* .receive is the owner's; posted once each time it is armed */
    bool                   armed;
};
LIST_HEAD(task_watches, task_watch);

/* What the disk has of a task. */
struct task_row {
    /* -- under the lock -- */
    bool is_saving, again;
    bool is_there;
    bool refused; /* the disk would not take it */
    /* -- the keeping thread's -- */
    struct mail         saving; /* what asks it to write */
    struct state_change change;
    struct slice        text; /* malloc'd, while it is written */
    enum task_state     state;
};

struct task_outlook { /* of one that is queued */
    bool     is_known;
    int64_t  eta_wall_ns; /* 0: nobody can say */
    uint64_t ahead;
    int64_t  of_mono_ns; /* as of then */
    bool     is_asked;   /* somebody looks anew */
};

struct task_user;

struct task {
    struct ref   ref;
    struct jobs *jobs;
    /* -- constant -- */
    char              id[TASK_ID_LENGTH + 1];
    uint64_t          number; /* no two have the same */
    struct task_hash  owner;
    struct task_hash  key, content; /* of Idempotency-Key and of what came with it */
    bool              has_key;
    bool              is_batch;
    bool              may_repeat;     /* it does no harm to send it twice */
    bool              own_credential; /* it cannot go on without what its client brought, which is not kept */
    bool              is_loaded;      /* of an earlier run */
    int64_t           created_wall_ns;
    struct task_asked asked;
    struct peer_card *card;
    struct arena      arena;
    /* -- under the lock -- */
    unsigned            slot; /* of marks, while it has not ended */
    enum task_state     state, coming;
    bool                has_coming;
    bool                was_sent; /* what may not be sent twice */
    struct task_outlook outlook;
    uint64_t            seq; /* of its last change, greater than those of all before it */
    int64_t             ended_wall_ns;
    bool                was_read; /* its result, whole */
    int64_t             held;     /* of jobs->bytes */
    struct task_body    body;     /* of the request */
    struct task_answer *answer;   /* once it has ended; until then, what is coming */
    struct mail        *cancel;   /* to who carries it out, with his mailbox; NULL: nobody does */
    struct mail        *look;     /* at how long it will wait still; so is this */
    struct mailbox     *carried_out_at;
    struct task_user   *user; /* among whose jobs it counts; NULL: it does not */
    struct task_watches watches;
    TAILQ_ENTRY(task)   entry; /* of all, in order of number */
    struct table_node   by_id, by_key;
    struct task_row     row;
};

struct jobs {
    pthread_mutex_t     lock; /* of tasks and of the next ones */
    struct tasks        all;
    struct table        ids, keys, users;
    unsigned            count; /* but for those that have expired */
    int64_t             bytes; /* of all bodies */
    uint64_t            last_number, last_seq;
    unsigned            next_slot;
    bool                slots[TASK_SLOTS];
    struct task_watches watches; /* of the events */
    /* -- constant -- */
    int                       directory;  /* of bodies */
    _Atomic uint64_t         *marks;      /* a file that is mapped: what is written there outlives a kill -9 at once */
    bool                      marks_lost; /* rows of a copy that was put back: what was sent since is not known */
    struct state             *state;
    const struct state_owner *rows;
    struct store             *store;
    struct mailbox           *mailbox; /* of the keeping thread */
    pthread_t                 thread;
    bool                      is_running;
    _Atomic int64_t           keep_ns; /* as configured */
    void (*save)(struct mail *);       /* what `saving` does there */
    struct mail stop;
    /* -- that thread's -- */
    bool     stopping;
    unsigned writing; /* rows at the writer */
};

/* -- tasks.c -- */
/* A new one with an ID, known to nobody; one reference. */
struct task        *task_new(struct jobs *);
void                task_acquire(struct task *);
void                task_release(struct task *); /* NULL is fine */
struct task_answer *task_answer_new(void);
void                task_answer_free(struct task_answer *); /* NULL is fine */
/* One that says why there is none. */
struct task_answer *task_answer_problem(enum problem_kind, const char *detail);

void jobs_lock(struct jobs *);
void jobs_unlock(struct jobs *);
/* -- under the lock -- */
/* Among the others; takes a reference of its own.  Else why not: there are so many already. */
enum task_room { TASK_ROOM, TASK_NO_ROOM, TASK_NO_ROOM_OF_USER };
enum task_room task_add(struct task *, const struct jobs_options *);
/* Not any more, drops that reference. */
void         task_drop(struct task *);
struct task *task_find(struct jobs *, struct slice id);
/* One that has expired by then has its key no more. */
struct task *task_find_key(struct jobs *, const struct task_hash *key, int64_t now_wall_ns);
/* What it is at that time: one that has ended expires. */
enum task_state task_state_at(const struct task *, int64_t now_wall_ns);
/* The disk hears of it; then it is, and who watches is told. */
void task_become(struct task *, enum task_state, struct task_answer *);
/* Who watches is told of something else. */
void task_tell(struct task *);
void task_watch(struct task *, struct task_watch *);
void jobs_watch(struct jobs *, struct task_watch *); /* any end */
void task_unwatch(struct task_watch *);              /* it may stand in its mailbox still */
/* Is its outlook of `since` or later, or of just now, or never to be had?  Else somebody looks, and task_tell()
 * follows. */
bool task_outlook_is_fresh(struct task *, int64_t since_mono_ns);
/* So many bytes more, where there is room: results that were read go.  Less than 0: given back. */
bool task_take_bytes(struct task *, int64_t bytes, int64_t most);
void task_save(struct task *); /* a row is to be written */
/* It has ended, and what is on the disk says so. */
void task_settle(struct task *);

/* The file of a body, "ID.request" or "ID.result". */
enum { TASK_FILE_BYTES = TASK_ID_LENGTH + 16 };
void task_file_name(const struct task *, bool is_result, char out[TASK_FILE_BYTES]);
/* Reads a body that may stand in any of its places. -1: it is gone. */
ssize_t task_body_read(const struct task_body *, int fd, int64_t at, char *out, size_t count);

/* -- rows.c -- */
/* malloc'd.  Under the lock. */
struct slice row_of_task(const struct task *, enum task_state);
/* NULL: it is damaged. */
struct task *row_read(struct jobs *, struct slice id, struct slice row);

/* -- keeping.c -- */
void keeping_begin(struct jobs *); /* mail to it may be posted */
bool keeping_start(struct jobs *, struct fault *why);
void keeping_stop(struct jobs *);

/* -- owner.c -- */
/* Whose the request is. */
struct task_hash task_owner(const struct exchange *);
/* Without the credentials in it; itself where there are none. */
struct slice task_shown_target(const struct policy_options *, struct slice target, struct arena *);
bool         task_field_is_credential(const struct config_upstream *, const struct policy_options *, struct slice name);

/* -- showing.c -- */
/* Where it is told of, below Weir's own address where the client did not come by that; in the exchange's arena. */
struct slice task_url(struct exchange *, const struct task *, bool result);
/* Its state as JSON; under the lock. */
json_t *task_show(struct exchange *, const struct task *, int64_t now_wall_ns);
/* Seconds after which asking again is worth while. */
int64_t task_retry_s(const struct task *, int64_t now_wall_ns);
/* Its result is the exchange's answer; false: its file is gone.  `location`: it says where it stands. */
bool task_answer_with(struct exchange *, struct task *, bool location);

/* -- perform.c -- */
struct desk {
    struct engine  *engine;
    struct jobs    *jobs;
    struct mailbox *mailbox;
    unsigned        index; /* of the worker */
    LIST_HEAD(, performance) performances;
    LIST_HEAD(, waiting)     waiting;
    struct engine_ticker ticker; /* for those that were crowded out */
    bool                 is_stopping;
    uint64_t             begun; /* tasks of an earlier run up to this number are under way */
    struct mail          again;
};
/* Takes a reference of the task. */
void perform_start(struct desk *, struct task *);
void perform_end(struct performance *);
bool perform_is_sent(const struct performance *);
/* One that found the queue full, and whose time has come, asks again; true: it did. */
bool                perform_again(struct performance *, int64_t now_mono_ns);
struct performance *perform_next(struct performance *); /* of the same desk */

/* -- waiting.c -- */
/* A request to /.weir/jobs, or one that becomes a task: it is answered by and by, on its worker.  Its owner has it as
 * first member, from mem_alloc(). */
struct waiting {
    LIST_ENTRY(waiting)  entry; /* of the desk's */
    struct exchange     *outer;
    struct desk         *desk;
    struct task         *task; /* a reference; NULL: of none */
    struct task_watch    watch;
    struct engine_ticker ticker;
    int64_t              asked_ns, wait_ns; /* Prefer: wait */
    int64_t              looks_ns;          /* since then for an outlook; 0: it does not */
    bool                 answered, closed;
    bool                 outside; /* of what the exchange called: it is to be woken */
    struct mail          first, fence;
    void (*look)(struct waiting *); /* something has become of the task */
    void (*tick)(struct waiting *, int64_t now_mono_ns);
    void (*stop)(struct waiting *); /* the worker is to stop: no more waiting */
    void (*free)(struct waiting *); /* what is its owner's, but for himself; NULL: nothing is */
};
/* What to do is set to `look` for all three. */
void waiting_begin(struct waiting *, struct exchange *, void (*look)(struct waiting *));
/* Looks, a little later. */
void waiting_look_later(struct waiting *);
/* Its exchange ends: it is freed when nothing is on its way to it. */
void waiting_end(struct waiting *);
/* Has it waited for so long, or shall it wait no more? */
bool waiting_is_over(const struct waiting *, int64_t ns);
/* The answer is there. */
void waiting_answered(struct waiting *);
void waiting_refuse(struct waiting *, enum problem_kind, const char *detail);
/* What it is, to which fields may be added before waiting_answered().  Consumes the JSON; retry_s 0: no Retry-After. */
void waiting_say(struct waiting *, unsigned status, json_t *, int64_t retry_s);
/* Is the outlook of its task as of now?  Else somebody looks, and it is to come again; for a second at most. */
bool waiting_is_up_to_date(struct waiting *);
/* The task's state, and with 202 or while it has not ended, when to ask again. */
void waiting_say_state(struct waiting *, unsigned status);

/* -- taking.c -- */
struct task_batch { /* that was looked at */
    struct spool *body;
    struct slice  upstreams;      /* as task_asked has them */
    bool          own_credential; /* it holds one, and is not stored */
    bool          may_repeat;
};
/* What this returns is given to taking_leave_batch() at the exchange's end. */
void *taking_take_batch(struct exchange *, const struct task_batch *);
void  taking_leave_batch(void *taker);

/* -- desk.c -- */
void *desk_open(struct engine *, struct jobs *, struct mailbox *, unsigned index, unsigned count);
void  desk_begin(void *desk);
void  desk_stop(void *desk);
void  desk_end(void *desk);
bool  desk_is_busy(const void *desk);
void  desk_close(void *desk);

#endif
