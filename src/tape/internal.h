/*
 * What the files of this room share: tape.c (opening, looking, counting), taping.c (what is gathered of an exchange),
 * taper.c (the thread that writes).  taping.c and tape.c know taper.c.
 */
#ifndef WEIR_TAPE_INTERNAL_H
#define WEIR_TAPE_INTERNAL_H

#include "base/arena.h"
#include "tape/tape.h"

#include <pthread.h>

struct taper { /* the thread's; NULL in a tape that records nothing */
    struct tape *tape;
    void (*let_go)(struct tape *); /* tape.c's: a reference; the thread's own */
    void (*free_all)(struct tape *);
    struct mailbox         *mailbox;
    struct snapshot_writer *writer; /* NULL: closed */
    bool                    stopping, ends;
    struct mail             stop;
    struct mail             finish;
    struct mailbox         *tell; /* who waits for `finish` */
    struct mail            *done;
    int64_t                 said_ns; /* the log was told of a failure */
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
};

/* -- taper.c -- */
/* `let_go` of a reference, `free_all` when the thread ends: tape.c's. */
int taper_start(struct tape *, struct snapshot_writer *, void (*let_go)(struct tape *), void (*free_all)(struct tape *),
                struct fault *why);
void taper_post(struct taper *, struct taping *);
void taper_finish(struct taper *, struct mailbox *, struct mail *done);
/* The last word of the tape: the thread frees it. */
void taper_end(struct taper *);
void taping_free(struct taping *);
#endif
