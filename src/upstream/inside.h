/*
 * What the files of this room share: the upstream thread's own structures.  No other room includes this; all of it
 * belongs to the upstream thread, but for what fetch.h and upload.h say of their mails.
 *
 *   struct site      one upstream at work: its connections (a curl multi handle each, for pools apart), its breaker
 *   struct budget    a ledger and the queue before it; sites may share one
 *   struct flight    one wish, of one or of many equal fetches, until it is
 *                    answered and what came is committed
 *   struct transfer  one attempt at the API: an easy handle and what it reads
 *   struct fetch_links   a fetch's place in all this ("waiter")
 *
 * A flight's life (enum flight_at): WAITING in the queue -> SENDING -> STREAMING once the head is given out ->
 * COMMITTING until the writer has it -> freed.  A retry goes from SENDING through PAUSING back to WAITING.
 *
 * Files: fetch.c (in and out of the thread), flight.c (table, joining, leaving), overtake.c (writes, purges),
 * dispatch.c (queue and budget), request.c, via.c, connection.c, http2.c, tls_end.c, transfer.c,
 * response.c, gather.c (one attempt), stall.c (uploads that pause), expect.c (100-continue), attempt.c (what became of
 * it, retries), hearing.c (what it tells of limits), share.c (who gets the head), commit.c (to the store), site.c,
 * keep.c (the ledger's rows), upstream.c (thread).
 *
 * Events logged here: upstream_breaker_open, upstream_breaker_closed, upstream_attempt_failed (debug),
 * upstream_sent_again (debug), upstream_limit_cut (once for each), upstream_hold_lifted, upstream_limits_forgotten,
 * upstream_body_cut, upstream_disk_refused, upstream_set, upstream_tls_files, ledger_not_kept.
 * Never a target's query, a credential or a body.
 */
#ifndef WEIR_UPSTREAM_INSIDE_H
#define WEIR_UPSTREAM_INSIDE_H

#include "budget/breaker.h"
#include "budget/ledger.h"
#include "budget/queue.h"
#include "upstream/auth.h"
#include "upstream/body_check.h"
#include "upstream/connection.h"
#include "upstream/timer.h"
#include "upstream/upstream.h"

#include <curl/curl.h>
#include <pthread.h>

struct site;
struct transfer;
struct flight;
struct connection;

/* -- limits of our own -- */
enum {
    FLIGHT_BUCKETS        = 1024,     /* a power of two */
    BUST_BUCKETS          = 256,
    BUST_MARK             = 1,        /* no budget's name begins so */
    UNSHAREABLE_SLOTS     = 1024,
    UNSHAREABLE_SECONDS   = 300,
    SPARE_BODY_BYTES      = 64 * 1024,        /* of a failure that is tried again */
    JSON_HELD_BYTES       = 1024 * 1024,      /* of a body that is checked before its head goes out */
    TELLING_BYTES         = 1024,     /* of a refusal's body: where it may tell of a limit */
    HEAD_MAX_BYTES        = 256 * 1024,
    HEAD_MAX_FIELDS       = 1000,
    STREAMS_PER_CONNECTION = 100,
    IDLE_TRANSFERS        = 64,
    IDLE_FLIGHTS          = 64,
    KEEP_ALIVE_MAX_SECONDS = 86400,
    DEAD_CONNECTIONS      = 2,        /* found by one request: from then on it asks for a new one */
    LARGE_NEXT            = 16,       /* bodies after a large one of the same API may be large */
    UNDONE_AT_ONCE        = 3,        /* sends of what the API says it has not done; then it is a failure */
    RETRY_FLOOR           = 10        /* retries that `retry.share` always leaves, renewed one a second */
};

/* -- the ledger and its queue -- */
struct budget {
    struct budget        *next;
    struct upstream      *up;
    char                 *name;       /* "upstream NAME" or "budget NAME": also the rows' name in the state */
    struct ref           *config;     /* what `limits` borrows from */
    struct limit_options *limits;     /* of all its sites, equal ones once */
    unsigned              limit_count;
    struct ledger        *ledger;
    struct queue         *queue;
    struct timer          wake;       /* the queue may be asked again */
    struct timer          save;       /* rows are due */
    bool                  dirty;      /* to be dispatched before the loop sleeps */
};

/* -- one upstream at work -- */
struct site {
    struct site                   *next;
    struct upstream               *up;
    char                          *name;
    struct ref                    *config;    /* what `options` is part of */
    const struct upstream_options *options;
    uint64_t                       options_number;    /* no two sets of options have the same; from 1 */
    bool                           configured;        /* in the configuration in effect */
    struct budget                 *budget;
    CURLM                         *multi;
    CURLSH                        *sessions;  /* of TLS: curl would keep them with a handle */
    struct timer                   curl_timer;
    struct timer                   stall;     /* an upload has paused for long enough */
    unsigned                       paused_uploads;    /* of `transfers`: their clients have sent nothing more */
    bool                           reap;      /* curl may have finished something */
    struct breaker                 breaker;
    struct hold                    hold;      /* a 5xx asked for a pause */
    bool                           cut_was_logged;    /* what it says of its limits cannot be meant: said once */
    bool                           http2;     /* the last answer came over it */
    struct flight                 *flights;   /* all of this site */
    struct transfer               *transfers; /* under way */
    unsigned                       in_flight, waiting, connections;
    struct connection             *sockets;   /* curl's, open */
    unsigned                       dead;      /* of them: curl will find that out */
    unsigned                       streams, streams_told;     /* of a connection, as the API allows; 0: not known */
    bool                           http1;     /* it wants no HTTP/2 */
    unsigned                       large_next;        /* so many of its next bodies are expected to be large */
    bool                           name_doubtful;     /* no new connection since one could not be made */
    bool                           stops;     /* a transfer is to be stopped: transfer->stops */
    bool                           early_ends;        /* streams ended before all of their requests was sent */
    unsigned                       handed_back, closing;      /* in flight, and their connections will stay, or not */
    uint64_t                       requests, attempts, retries, failures, unsent;
    double                         retry_balance;
    int64_t                        retry_balance_ns;  /* when it was last renewed */
};

/* -- who waits -- */
enum waiter_at { WAITER_NOWHERE, WAITER_WAITING, WAITER_RECEIVING /* has the head, the body is coming */ };

struct fetch_links {
    struct mail         submit, leave, gone, cut;     /* worker -> here, here -> worker */
    void              (*receive)(struct mail *);      /* the engine's, of fetch->mail */
    enum fetch_event    event;                /* what fetch->event becomes when that mail arrives */
    struct upstream    *up;
    struct fetch       *fetch;
    struct flight      *flight;
    struct fetch_links *next, *previous;      /* in the flight, in order of arrival */
    struct fetch_links *next_held;            /* of those that curl's work keeps waiting: upstream->held */
    enum waiter_at      at;
    bool                submitted, left;
    bool                told;                 /* the worker's: fetch->mail has come */
    bool                last;                 /* set before that: nothing here knows of the fetch any more */
    uint8_t             variant[VARIANT_HASH_BYTES];  /* the fetch's, or what the split taught */
    int64_t             wait_left_ns;         /* of max_wait, before the wait under way */
    int64_t             wait_from_ns;         /* when that began */
    char               *words;                /* hold fetch->limit and fetch->blocked_by; NULL: it was not refused */
};

/* -- one wish -- */
enum flight_at { FLIGHT_WAITING, FLIGHT_PAUSING, FLIGHT_SENDING, FLIGHT_STREAMING, FLIGHT_COMMITTING };

struct failure {                      /* of one attempt */
    enum attempt_outcome outcome;
    const char          *token;       /* RFC 9209 error type */
    char                 text[320];
    bool                 final;       /* trying again cannot help */
    bool                 stalled;     /* the client paused within the body */
};

struct flight {
    struct upstream    *up;
    struct site        *site;
    struct flight      *next_of_site, *previous_of_site;
    struct flight      *next_in_bucket;
    bool                in_table;     /* others may join */
    bool                dead;         /* to be freed; nothing may be done with it */
    enum flight_at      at;
    struct fetch       *leader;       /* whose request is sent: a reference */
    uint8_t             variant[VARIANT_HASH_BYTES];
    uint64_t            bucket_hash;
    struct fetch_links *first, *last;
    unsigned            waiting, receiving;   /* of the waiters */
    bool                keep;         /* goes on without anybody: on_abort = "finish", refresh_behind */
    int64_t             keep_until_ns;        /* as long as that one would have waited */

    struct queue_entry  entry;
    struct charge       charge;
    struct timer        pause;        /* back-off */
    struct timer        deadline;     /* the next waiter whose wait is over */
    int64_t             unsent_from_ns;       /* when the wait under way began */
    bool                again;        /* was sent before: queue_put_again() */
    bool                plain;        /* without Weir's own conditions: the 304 was about something else */
    int64_t             stalled_at;   /* failure.stalled: not sent again before the client has sent more than so much */
    bool                continued;    /* the client has been told to send its body */
    bool                unexpecting;  /* sent without Expect: the body is here, or the API answered 417 to that */
    unsigned            dead_connections;     /* it would have gone out on */
    unsigned            undone;       /* times that the API said so */

    struct transfer    *transfer;     /* under way */
    struct attempt      attempts[ATTEMPTS_KEPT];
    unsigned            attempt_count;
    int64_t             waited_ns, first_sent_ns, head_ns;
    struct failure     *failure;      /* the last one, flight_failure(); NULL: there was none */
    struct answer      *spare;        /* the last listed status, for when it is not tried again after all */

    /* from the head on */
    struct answer      *answer;
    struct answer      *others;       /* for all but the first: see share.c; NULL: it is the same */
    struct slice        selection;    /* in answer's arena */
    bool                joined_part;  /* to a stored one: stored only where that still stands */
    bool                live;         /* a stream of events: for those who were there when it began */
    bool                storing;      /* the body goes to the store when it is whole */
    bool                overtaken;    /* by a write or a purge: it does not */
    struct commit      *commit;       /* what goes to the store; NULL: nothing yet */
    bool                committing;   /* its change is the writer's */
};

struct commit {
    struct flight      *flight;
    struct store_change change;
    struct arena        arena;
};

/* -- one attempt -- */
enum stop {                           /* why we ended a transfer that curl would have gone on with */
    STOP_NONE,
    STOP_ABANDONED,                   /* nobody wants it any more */
    STOP_LOOP,                        /* the API's address is Weir's own */
    STOP_DEAD_CONNECTION,             /* found before anything was sent on it: it goes on on another one */
    STOP_SPOKE_FIRST,                 /* a new connection, on which it said something, or left, unasked */
    STOP_UNASKED,                     /* the answer was on its way before the request */
    STOP_VIA_REFUSED,                 /* the answer is the proxy's: it wants other credentials */
    STOP_SECOND_SENDING,              /* a reused connection died and curl would send again */
    STOP_OVER_BUDGET,                 /* while it connected the budget was tightened */
    STOP_HEAD_TOO_LARGE,
    STOP_HEAD_MALFORMED,
    STOP_FRAMING,                     /* nobody can say where its body ends */
    STOP_DISK,
    STOP_UPLOAD_BROKEN,
    STOP_UPLOAD_STALLED,              /* the client pauses, and others wait for its place */
    STOP_CONNECT_TIMEOUT, STOP_READ_TIMEOUT, STOP_WRITE_TIMEOUT, STOP_TOTAL_TIMEOUT,
    STOP_ANSWERED,                    /* it has answered, and takes no more of the request */
    STOP_ENOUGH                       /* the body of a failure that is tried again is too long to read out */
};

struct head {                         /* being read */
    struct arena       arena;
    struct http_fields fields;
    unsigned           status;
    bool               http2;
    size_t             bytes;
    unsigned           version_minor; /* of HTTP/1 */
    int64_t            content_length;        /* -1: none; of the final head, like the next two */
    bool               chunked;
    bool               doubtful;      /* see http_framing */
    bool               interim_length;        /* a 1xx head said one */
    bool               open;          /* between status line and blank line */
    bool               final;         /* the final head has been read: what follows are trailers */
};

struct transfer {
    struct upstream    *up;
    struct transfer    *next_idle;
    struct transfer    *next_of_site, *previous_of_site;
    struct site        *site;
    struct flight      *flight;       /* NULL: nobody's any more, it is only read out */
    struct fetch       *fetch;        /* whose request it sends: a reference */
    CURL               *easy;
    CURLU              *url;          /* what `easy` was told of */
    uint64_t            set_for;      /* the site's options_number whose options `easy` still has; 0: none */
    bool                set_large;    /* it reads in large pieces */
    const char         *set_to;       /* ... and the text of the authority that was asked with them */
    struct curl_slist  *fields;
    char                error[CURL_ERROR_SIZE];

    struct receipt      receipt;      /* reserved from dispatch, stamped anew when it is sent */
    int64_t             reserved_ns;
    struct charge       charge;
    unsigned            prereqs;
    int64_t             begun_ns, sent_ns, sent_wall_ns, head_wall_ns;
    int64_t             paused_ns;    /* for the clients' sake, in all: not the API's fault */
    int64_t             pause_from_ns;
    int64_t             uploaded_bytes;
    int64_t             paced_bytes, paced_ns;       /* of these at that time: see stall.c */
    enum stop           stop;

    struct head         head;
    struct answer      *answer;       /* made of the final head: a reference */
    bool                given;        /* waiters have the head */
    bool                held;         /* the head waits for its body to be checked */
    bool                retrying;     /* a listed status: the flight has gone on without it */
    struct body_check  *check;        /* of the body, as `validate` asks; NULL: none */
    int64_t             body_bytes;
    int64_t             part_bytes;   /* a stored part is being completed by so many; 0: none is */
    struct slice        part_tail;    /* of the stored part, behind them; the fetch's */
    char               *telling;      /* the beginning of a body that may tell of a limit; malloc'd, NULL: may not */
    size_t              telling_bytes;
    const void         *tls;          /* the library's handle of the connection; NULL: plain, or not known */
    bool                tls_closed;   /* the API closed it in order (close_notify) */
    struct connection  *connection;   /* that it was sent on; NULL: not yet, or closed */
    int64_t             acknowledged; /* of what was sent on it before this request; 0: not known */
    bool                stream;       /* of HTTP/2, as http2.c sees it */
    bool                stream_sent;  /* its head at least */
    bool                stream_ended; /* by the API's last frame */
    bool                stream_closed;
    int64_t             stream_bytes; /* of the body, in frames without padding */
    uint32_t            stream_error; /* it was closed with */
    bool                looked_up;    /* its API's name, anew */
    bool                stops;        /* found in a callback of curl's: as soon as it returns. What comes is nobody's */

    struct upload      *upload;       /* the fetch's */
    bool                expecting;    /* nothing of the body is sent before the API's 100, or a second: expect.c */
    bool                heard_100, held_back;
    struct timer        expect;
    bool                sent_all;     /* nothing of the request is left to send */
    bool                hands_back, closes;       /* its connection stays or not; both false: not known yet */
    bool                receive_paused, send_paused;
    int64_t             progress_ns;  /* of what the read or write time-out measures */
    struct timer        timer;
    struct mail         ready, drained, farewell;
    bool                drained_wanted, mailed, ended;
};

/* -- the thread -- */
struct watch {                        /* by descriptor */
    struct site *site;                /* NULL: curl does not want to hear of it */
    uint32_t     events;              /* that epoll watches for; 0: not, or not known */
    struct site *connection_of;       /* opened and closed by the callbacks in request.c; NULL: is none */
};

struct kept_row { struct kept_row *next; char *budget; uint8_t key[LEDGER_KEY_BYTES]; char *value; size_t bytes; };

struct unshareable { uint64_t hash; int64_t until_ns; };

struct upstream {
    pthread_t            thread;
    struct mailbox      *mailbox;
    int                  epoll_fd;
    bool                 fake_clock;          /* WEIR_CLOCK_FILE: time may jump while the loop sleeps */
    struct store        *store;
    struct state        *state;
    upstream_match       match;
    struct store_reader *reader;
    struct timers        timers;
    struct arena         scratch;             /* reset by whoever used it */
    struct watch        *watches;
    unsigned             watch_count;
    struct site         *sites;
    struct budget       *budgets;
    struct flight       *buckets[FLIGHT_BUCKETS];
    struct flight       *dead_flights;
    struct flight       *idle_flights;        /* by next_in_bucket: memory for the next ones */
    unsigned             idle_flight_count;
    unsigned             flight_count;
    struct unshareable   unshareable[UNSHAREABLE_SLOTS];
    uint64_t             options_numbers;     /* given out */
    struct transfer     *idle_transfers;
    unsigned             idle_count, farewells;
    unsigned             commits;             /* changes at the writer */
    unsigned             saves, bust_count;   /* rows at the writer; in `busts` */
    struct kept_row     *rows;                /* as they were at the start, until their budget is made */
    struct heard        *heard;               /* locks itself: heard.c */
    struct bust_row     *busts[BUST_BUCKETS];         /* by the URL's hash: bust.c */
    uint8_t              boot[LEDGER_BOOT_BYTES];
    bool                 keep_failed;         /* said in the log */
    uint64_t             random;
    struct mail          stop;
    bool                 stopping;
    int64_t              acted_ns;            /* when curl was last let work: the time of what it brings */
    struct transfer     *gathers;             /* whose body has come and is not in its spool yet: gather.c */
    char                *gathered;
    size_t               gathered_bytes;
    bool                 holds;               /* curl is at work: what waiters are told waits for its end */
    struct fetch_links  *held, **held_end;    /* in their order; the end is set where there is one */
    bool                 tls_tells;           /* how TLS connections end: see tls_end.c */
    int64_t              disk_refused_ns;     /* said in the log at this time */
};

static inline struct budget_now budget_time(void);

/* answer.c */
struct answer *answer_new(void);

/* fetch.c */
void fetch_acquire(struct fetch *);
void fetch_set_error(struct fetch *, struct slice text);
void fetch_release(struct fetch *);
/* Posts the final event; what it says stands in the fetch. Unlinks the waiter from its flight unless it receives. */
void waiter_post(struct fetch_links *, enum fetch_event);
void waiter_post_held(struct upstream *);
void waiter_fail(struct fetch_links *, const struct failure *, int64_t wait_ns);
void waiter_cut(struct fetch_links *);               /* no more of the body, which goes on for others */
void waiter_post_interim(struct fetch_links *, unsigned status, const struct http_fields *);

/* flight.c */
void flight_enter(struct site *, struct fetch_links *);
void flight_link(struct flight *, struct fetch_links *);
void flight_unlink(struct fetch_links *);
void flight_leave(struct fetch_links *);
void flight_hide(struct flight *);                   /* nobody joins any more */
/* Frees it at the end of the loop's round where nothing holds it. */
void flight_settle(struct flight *);
/* commit.c: for another one; NULL is fine for commit_free() only. */
void commit_recycle(struct commit *);
void commit_free(struct commit *);
struct failure *flight_failure(struct flight *);     /* to be written */
void flight_fail(struct flight *, int64_t wait_ns);  /* everybody hears of flight->failure */
void flight_sweep(struct upstream *);
void flight_free_idle(struct upstream *);
void flight_remember_unshareable(struct flight *);
bool flight_goes_on(const struct flight *);          /* somebody waits, or it finishes by itself */
/* Somebody has left, or it will not be stored: ended where it does not go on. Not from within curl's callbacks. */
void flight_look_who_waits(struct flight *);

/* patience.c: of those who listen to a silent API, while the request is sent and nothing is paused */
int64_t patience_ns(const struct transfer *);        /* how long the attempt may be silent; 0: for ever */
int64_t patience_next_ns(const struct transfer *);   /* when the next of them gives up before that; INT64_MAX: none */
void patience_end(struct transfer *, int64_t now_ns);        /* tells those; the transfer may be ended then */

/* overtake.c */
/* A write has changed this path: what was asked before is for those who asked, and not stored. */
void overtake_by_write(struct site *, const struct fetch *write);

/* dispatch.c */
void dispatch_put(struct flight *);                  /* into the queue */
/* May this one go before the flight as it stands? */
bool dispatch_stands_higher(const struct fetch *, const struct flight *);
/* A waiting one has another waiter: it may have to stand in another place for that. */
void dispatch_joined(struct flight *, const struct fetch *by);
void dispatch_withdraw(struct flight *);             /* out of queue, pause and deadline */
/* Until it is tried again. Those who may not wait so long get what there is, at once: true where there are any. */
bool dispatch_pause(struct flight *, int64_t after_ns);
void dispatch_crowd_out(struct flight *);            /* for want of room: all who wait for it are refused */
void dispatch_run(struct upstream *);                /* all dirty budgets */
void dispatch_kick(struct budget *);
void dispatch_set_deadline(struct flight *);
struct wait_cause {                   /* whose doing a wait is */
    const char   *limit;              /* "queue" where there is no limit in the way */
    enum told_by  by;                 /* of the API's; NOBODY: the limit's own */
    int64_t       heard_wall_ns;
};
/* Nanoseconds that a fetch joining (flight) or entering (NULL) would wait. */
int64_t dispatch_predict(struct site *, const struct flight *, const struct charge *, enum queue_priority,
                         const struct queue_who *, struct wait_cause *);
void dispatch_charge(struct charge *, const struct fetch *);
struct queue_class dispatch_class(const struct site *, const struct charge *);
int64_t waiter_wait_left(const struct fetch_links *, int64_t now_ns);
/* PREREQ: may it go now? */
bool dispatch_sends(struct transfer *);
/* Has the store got an answer to this since it was looked up? */
bool dispatch_is_stored(struct upstream *, const struct fetch *);
void waiter_refuse(struct fetch_links *, int64_t wait_ns, const struct wait_cause *);

/* complete.c */
/* A 206 to a request for what a stored part lacks: becomes the whole's head.  False where the two do not combine. */
bool complete_head(struct transfer *);
/* The body has ended: false where it is not as long as it said. */
bool complete_end(struct transfer *);

/* request.c */
bool request_prepare(struct transfer *);
/* Is it sent with "Expect: 100-continue"? */
bool request_expects(const struct transfer *);
/* Lets go of the request. After an unsound end the handle may remember what the next must not know: it is reset. */
void request_forget(struct transfer *, bool sound);

/* tls_end.c */
void tls_end_watch(struct transfer *);               /* while the easy handle is prepared */
void tls_end_know(struct transfer *);                /* at the final head: which connection it is */
/* The connection's end delimits the body, and it did not come in order (RFC 9112 9.8). */
bool tls_end_is_cut(const struct transfer *);

/* via.c */
void via_set(struct transfer *);                     /* the handle is told of the proxy, or of none */
struct slice via_target(const struct transfer *, struct slice target, struct arena *);        /* as it is sent to it */
/* The final head is the proxy's own word, not the API's. */
bool via_refuses(const struct transfer *);
/* False: not the proxy's failure. */
bool via_failure(struct failure *, const struct transfer *, CURLcode);

/* transfer.c */
void transfer_start(struct flight *, const struct receipt *, struct budget_now);
/* Ends it now (not from within a curl callback); `attempt_ended` hears of it. */
void transfer_stop(struct transfer *, enum stop);
/* The flight wants no more of it: ended, without a word to the flight. */
void transfer_abandon(struct transfer *);
void transfer_reap(struct site *);
void transfer_resume(struct transfer *);             /* what is not paused any more goes on */
/* From curl's callback: it is not wanted any more, t->stop says why.  False: curl is to be told so by an error. */
bool transfer_stops(struct transfer *);
/* From curl's callback, at the final head: does the connection stay? */
void transfer_plan_reuse(struct transfer *);
void transfer_free_all(struct upstream *);
void transfer_joined(struct transfer *);             /* somebody listens to it from now on */
/* From curl's callbacks: is it sent now; the request's body. */
bool transfer_sends(struct transfer *);
size_t transfer_read_upload(struct transfer *, char *buffer, size_t count);
/* The spool's readers are to catch up first: `drained` will resume it. */
void transfer_await_readers(struct transfer *);

/* expect.c */
/* curl asks for the body: true where the API has not said that it wants it. Else the client is told to send it. */
bool expect_holds(struct transfer *);
void expect_heard(struct transfer *);                /* from curl's callback: 100 */

/* stall.c */
/* Others wait for a place, and none is free: the upload that has paused longest may have to give up its own. */
void stall_watch(struct site *);
void stall_close(struct site *);
/* It was sent for long enough, without its client: true while that one still sends nothing. */
bool stall_goes_on(const struct flight *);
/* So much of the body has gone. */
void stall_sent(struct transfer *, int64_t now_ns);
void stall_paused(struct transfer *);
void stall_resumed(struct transfer *);

/* response.c */
/* One header line of curl's. False: the transfer is to end (t->stop says why). */
bool response_line(struct transfer *, const char *line, size_t bytes);

/* attempt.c: called from curl callbacks (head, body) and from the loop (ended) */
bool attempt_head(struct transfer *);
/* False: so far ahead of who reads it that curl is to wait; the readers will let it go on. */
bool attempt_takes(struct transfer *);
/* False: the transfer is to end, t->stop says why. */
bool attempt_body(struct transfer *, const char *bytes, size_t count);
void attempt_ended(struct transfer *, CURLcode);
void attempt_trailer(struct transfer *, struct slice name, struct slice value);

/* gather.c: from curl's callback, and when it has returned to the loop */
enum body_result { BODY_TAKEN, BODY_PAUSE, BODY_STOP };
enum body_result gather_body(struct transfer *, const char *bytes, size_t count);
void gather_end(struct upstream *);

/*: what an attempt tells of the API's limits and health */
void hearing_head(struct transfer *);                /* t->answer is there */
void hearing_body(struct transfer *, const char *bytes, size_t count);
void hearing_end(struct transfer *);
void hearing_nothing(struct transfer *);             /* no head will come */
void hearing_forget(struct upstream *, struct upstream_forget *);
extern const char hearing_hold_name[];               /* under which a 5xx's pause is told and forgotten */

/* failure.c */
void failure_of_transfer(struct failure *, const struct transfer *, CURLcode);
void failure_set(struct failure *, enum attempt_outcome, const char *token, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* share.c */
/* The flight's final head: decides whether it is stored, and who gets it. */
void share_head(struct flight *, struct transfer *, struct answer *);
void share_not_modified(struct flight *, struct transfer *, struct answer *);
/* One that came later and may have what is coming; false: not this answer. */
bool share_late(struct flight *, struct fetch_links *);
/* What was kept of the last attempt goes to everybody. */
bool share_spare(struct flight *);
/* The same to one of them, for whom it is over. */
bool share_spare_with(struct flight *, struct fetch_links *);

/* commit.c */
/* The answer with so many bytes of body is seen by look-ups, as soon as these are there. */
void commit_announce(struct flight *, int64_t body_bytes);
void commit_put(struct flight *);
void commit_withdraw(struct flight *);               /* it is not stored after all */
/* What the 200 to a HEAD says of the stored response (RFC 9111 4.3.5): it is freshened, or stale from now on. */
void commit_head(struct flight *);
void commit_freshen(struct flight *);

/* site.c */
struct site *site_of(struct upstream *, const struct fetch *);
void site_configure(struct upstream *, struct ref *config, const struct upstream_options *const *, unsigned count);
void site_free_all(struct upstream *);
/* Requests that may be under way at once. */
unsigned site_slots(const struct site *);
bool site_may_retry(struct site *, int64_t now_ns);
void site_count_request(struct site *, int64_t now_ns);
void site_spend_retry(struct site *);               /* out of retry.share, whether it was sent or not */
void site_report_breaker(struct site *, bool ok, int64_t now_ns);

/* keep.c */
void keep_load(struct upstream *);
void keep_start(struct budget *);
void keep_look(struct budget *);                     /* something was spent: rows may be due */
void keep_stop(struct budget *);
void keep_free(struct upstream *);

/* heard.c */
struct heard *heard_open(void);
void          heard_close(struct heard *);           /* NULL is fine */
void          heard_forget(struct heard *, const char *upstream);
void          heard_note(struct heard *, const struct fetch *, const struct http_response *);

/* bust.c */
bool bust_load(struct upstream *, struct slice name, struct slice value);      /* false: no row of this kind */
void bust_free(struct upstream *);
/* The target as it is sent: for a refresh with the bust parameter, whose number is taken by that. */
struct slice bust_target(struct transfer *, struct slice target, struct arena *);

/* report.c */
void report_fill(struct upstream *, struct upstream_report *);

/* upstream.c */
int  upstream_socket(CURL *, curl_socket_t, int what, void *site, void *socketp);
int  upstream_timer(CURLM *, long timeout_ms, void *site);
/* Lets curl work, ends what it has finished, and then tells those who wait. */
void upstream_act(struct site *, curl_socket_t, int what);
/* A connection's descriptor: it stays in epoll between two requests, so that its end is seen. */
void upstream_socket_opened(struct site *, curl_socket_t fd);
void upstream_socket_closed(struct upstream *, curl_socket_t fd);

#include "base/clock.h"

static inline struct budget_now budget_time(void)
{
    return (struct budget_now){ .mono_ns = clock_mono_ns(), .wall_ns = clock_wall_ns() };
}

#endif
