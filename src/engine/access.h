/*
 * The access log: one line a request, with its cache outcome, upstream
 * attempts, waits and times.
 *
 * Every worker formats into its own buffer (access_log) and writes whole lines
 * with one write(2) when the buffer is full, when the worker goes idle, or
 * when a second has passed, so that a hit costs no system call.  The
 * destination is shared and swapped on reload.
 */
#ifndef WEIR_ENGINE_ACCESS_H
#define WEIR_ENGINE_ACCESS_H

#include "base/slice.h"
#include "config/config.h"
#include "upstream/fetch.h"

struct access_log;

/* One per worker.  Never NULL.  A file that cannot be opened is an error in the event log, and the lines are dropped.
 */
struct access_log *access_log_open(const struct config *);
void               access_log_close(struct access_log *); /* NULL is fine; flushes */
/* Opens the destination anew (reload, log rotation). */
void access_log_configure(struct access_log *, const struct config *);
void access_log_flush(struct access_log *);
/* Nanoseconds (monotonic) at which it wants to be flushed; INT64_MAX: nothing waits. */
int64_t access_log_due_ns(const struct access_log *);

struct access_record {
    int64_t               started_wall_ns;
    int64_t               took_ns; /* from the head to the answer's last byte */
    uint64_t              id;
    const char           *peer;
    struct slice          client; /* see client.h; ptr NULL: nobody asked */
    struct slice          method;
    const char           *upstream; /* NULL: none was found */
    struct slice          target;   /* credentials redacted */
    const char           *rule;     /* label; NULL: none */
    unsigned              status;
    int64_t               sent_bytes, received_bytes; /* bodies: to the client, from the client */
    const char           *cache;                      /* "hit" "stale" "revalidated" "miss" "bypass" "error" ... */
    const char           *forward;                    /* fwd= token; NULL: nothing went upstream */
    const char           *detail;                     /* Cache-Status detail; NULL or "": none */
    bool                  whole;
    const struct outcome *outcome; /* of what went upstream; NULL: nothing did */
};
/* The file was renamed: opens the one of that name, a new one where there is none.  Where it cannot be opened the old
 * one is written on, and the log says why. */
void access_log_reopen(struct access_log *);
/* False: what is written goes nowhere. */
bool access_log_is_on(const struct access_log *);
void access_log_write(struct access_log *, const struct access_record *);

#endif
