/*
 * What the files of this room share: tape.c (looking, counting), opening.c (how a tape begins), taping.c (what is
 * gathered of an exchange), taper.c (the thread that writes).  All know taper.c, and opening.c tape.c.
 */
#ifndef WEIR_TAPE_INTERNAL_H
#define WEIR_TAPE_INTERNAL_H

#include "base/arena.h"
#include "tape/tape.h"

#include <pthread.h>

struct taper_calls {               /* tape.c's, on the thread */
    void (*begin)(struct tape *);  /* NULL: the writer is there */
    void (*let_go)(struct tape *); /* a reference; the thread's own */
    void (*free_all)(struct tape *);
};

struct taper { /* the thread's; NULL in a tape that records nothing */
    struct tape              *tape;
    const struct taper_calls *calls;
    struct mailbox           *mailbox;
    struct snapshot_writer   *writer; /* NULL: closed */
    bool                      stopping;
    uint64_t                  handled;   /* of tape.begun */
    int64_t                   finish_ns; /* until then what is on its way is waited for; 0: nobody has asked */
    struct mail               stop;
    struct mail               finish;
    struct mailbox           *tell; /* who waits for `finish` */
    struct mail              *done;
    int64_t                   said_ns; /* the log was told of a failure */
};

struct tape {
    _Atomic unsigned        references;
    char                   *name;
    struct tape_options     options;
    pthread_mutex_t         lock;     /* of `snapshot` and `counts` */
    struct snapshot_reader *snapshot; /* NULL: nothing is read, or nothing is recorded yet */
    bool                    reads;
    bool                    matches_body;
    struct tape_counts      counts;
    struct taper           *taper;
    struct tape_opening    *opening;      /* until it is open: the thread's */
    bool                    is_client;    /* its files are a client's */
    bool                    is_open;      /* under the lock */
    _Atomic bool            is_over;      /* no more is kept */
    _Atomic uint64_t        begun, ended; /* exchanges in hand */
};

struct taping {
    struct mail              mail;
    struct tape             *tape; /* a reference */
    struct arena             arena;
    struct slice             method, url, secret, error;
    struct http_fields       request, response, trailers;
    struct spool            *sent, *body; /* references; NULL: none */
    int64_t                  body_bytes;  /* of the body, at its end */
    unsigned                 status;
    struct snapshot_interim *interims;
    unsigned                 interim_count;
    struct snapshot_piece   *pieces; /* malloc'd */
    unsigned                 piece_count, piece_room;
    int64_t                  time_ms, begun_ns, head_ns, took_ms;
    int                      directory_fd;
    enum snapshot_end        end;
    bool                     is_dropped;
};

/* -- tape.c -- */
void tape_free(struct tape *);

/* -- taper.c -- */
int  taper_start(struct tape *, struct snapshot_writer *, const struct taper_calls *, struct fault *why);
void taper_post(struct taper *, struct taping *);
void taper_finish(struct taper *, struct mailbox *, struct mail *done);
/* The last word of the tape: the thread frees it. */
void taper_end(struct taper *);
void taping_free(struct taping *);
/* No more is kept, and why is said. */
void taper_give_up(struct tape *, const struct fault *why);
#endif
