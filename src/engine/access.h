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

#include "config/config.h"
#include "engine/record.h"

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

/* The file was renamed: opens the one of that name, a new one where there is none.  Where it cannot be opened the old
 * one is written on, and the log says why. */
void access_log_reopen(struct access_log *);
/* False: what is written goes nowhere. */
bool access_log_is_on(const struct access_log *);
void access_log_write(struct access_log *, const struct request_record *);

#endif
