/*
 * The access log's formatting and its per-worker buffer.
 *
 * A line is formatted into a buffer of the worker's and reaches the
 * descriptor whole: lines of several workers may interleave, bytes may not
 * (O_APPEND, one write(2) of whole lines).
 *
 * A file that cannot be written or opened is tried again each second; the lines wait as far as the buffer
 * goes, then they are lost, and counted.  That it fails, and that it goes again, is said once for all workers.
 */
#include "engine/access.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "engine/access_format.h"

#define SD_JOURNAL_SUPPRESS_LOCATION /* which would be this file's */
#include <systemd/sd-journal.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 * 1024, LINE_BYTES = 20 * 1024, NATIVE_FIELDS = 40 };

static const int64_t flush_after_ns = NS_PER_SEC;

struct access_log {
    enum access_log_kind kind;
    enum access_format   format;
    int                  fd;       /* -1: nowhere */
    char                *file;     /* its path, for ACCESS_FILE */
    bool                 is_torn;  /* a line in the file broke off */
    int64_t              tried_ns; /* when it failed last; 0: it did not */
    size_t               used;
    int64_t              due_ns; /* INT64_MAX: empty */
    struct access_stamp  stamp;
    char                 buffer[BUFFER_BYTES];
};

/* All workers write to one place. */
static _Atomic bool     is_failing;
static _Atomic uint64_t lost_unsaid;

static void lose(uint64_t lines)
{
    atomic_fetch_add_explicit(&lost_unsaid, lines, memory_order_relaxed);
    counter_add(COUNTER_ACCESS_LINES_LOST, lines);
}

static void note_failure(struct access_log *log, int error)
{
    log->tried_ns = clock_mono_ns();
    if (!atomic_exchange_explicit(&is_failing, true, memory_order_relaxed))
        log_error("access_log_failed", "file=%s reason=%s", log_quote(log->file != NULL ? log->file : "-"),
                  log_quote(strerror(error)));
}

static void note_success(struct access_log *log)
{
    log->tried_ns = 0;
    if (atomic_load_explicit(&is_failing, memory_order_relaxed) &&
        atomic_exchange_explicit(&is_failing, false, memory_order_relaxed))
        log_warning("access_log_resumed", "lost=%" PRIu64,
                    atomic_exchange_explicit(&lost_unsaid, 0, memory_order_relaxed));
}

/* A FIFO that nobody reads holds no worker up: it is as a full disk. */
static int open_file(const char *file)
{
    return open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

static void open_destination(struct access_log *log, const struct config *c)
{
    log->kind = c->access_log.kind;
    log->format = c->access_log.format;
    log->fd = -1;
    log->tried_ns = 0;
    if (c->access_log.kind == ACCESS_STDERR)
        log->fd = STDERR_FILENO;
    else if (c->access_log.kind == ACCESS_FILE) {
        log->file = mem_copy(slice_of(c->access_log.file));
        log->fd = open_file(log->file);
        if (log->fd < 0)
            note_failure(log, errno);
    }
}

static void close_destination(struct access_log *log)
{
    if (log->kind == ACCESS_FILE && log->fd >= 0)
        close(log->fd);
    log->fd = -1;
    log->is_torn = false;
    free(log->file);
    log->file = NULL;
}

static uint64_t lines_in(const char *text, size_t bytes)
{
    const char *end = text + bytes;
    uint64_t    lines = 0;

    for (; (text = memchr(text, '\n', (size_t)(end - text))) != NULL; text++)
        lines++;
    return lines;
}

/* What could not be written by now is lost. */
static void give_up_rest(struct access_log *log)
{
    if (log->used > 0)
        lose(lines_in(log->buffer, log->used));
    log->used = 0;
    log->due_ns = INT64_MAX;
}

struct access_log *access_log_open(const struct config *c)
{
    struct access_log *log = mem_alloc(sizeof *log);

    log->due_ns = INT64_MAX;
    open_destination(log, c);
    return log;
}

void access_log_configure(struct access_log *log, const struct config *c)
{
    access_log_flush(log);
    give_up_rest(log);
    close_destination(log);
    open_destination(log, c);
}

void access_log_reopen(struct access_log *log)
{
    int fd;

    access_log_flush(log);
    if (log->kind != ACCESS_FILE)
        return;
    fd = open_file(log->file);
    if (fd < 0) { /* better the old file than none */
        log_error("access_log_not_reopened", "file=%s reason=%s", log_quote(log->file), log_quote(strerror(errno)));
        return;
    }
    if (log->fd >= 0)
        close(log->fd);
    log->fd = fd;
    log->is_torn = false;
    access_log_flush(log);
}

void access_log_close(struct access_log *log)
{
    if (log == NULL)
        return;
    access_log_flush(log);
    give_up_rest(log);
    close_destination(log);
    free(log);
}

int64_t access_log_due_ns(const struct access_log *log)
{
    return log->due_ns;
}

/* What access_format_native() has written: an entry ends with an empty line. */
static void flush_to_journal(struct access_log *log)
{
    char        *line = log->buffer, *end = log->buffer + log->used;
    struct iovec fields[NATIVE_FIELDS];
    int          count = 0;

    while (line < end) {
        char *stop = memchr(line, '\n', (size_t)(end - line));

        if (stop == NULL)
            break;
        if (stop > line && count < NATIVE_FIELDS) {
            fields[count++] = (struct iovec){ line, (size_t)(stop - line) };
        } else if (stop == line) {
            if (sd_journal_sendv(fields, count) < 0)
                lose(1);
            count = 0;
        }
        line = stop + 1;
    }
    log->used = 0;
}

/* How much of the buffer was taken; errno says why it is not all. */
static size_t write_buffer(struct access_log *log)
{
    size_t done = 0;

    if (log->fd < 0 && log->kind == ACCESS_FILE && (log->fd = open_file(log->file)) < 0)
        return 0;
    if (log->is_torn && write(log->fd, "\n", 1) != 1)
        return 0;
    log->is_torn = false;
    while (log->fd >= 0 && done < log->used) {
        ssize_t n = write(log->fd, log->buffer + done, log->used - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

/* Keeps what was not taken, from the beginning of a line on: half a line goes again as a whole. */
static void keep_rest(struct access_log *log, size_t done)
{
    const char *broken = done > 0 ? memrchr(log->buffer, '\n', done) : NULL;
    size_t      from = broken != NULL ? (size_t)(broken - log->buffer) + 1 : 0;

    log->is_torn = log->is_torn || done > from;
    memmove(log->buffer, log->buffer + from, log->used - from);
    log->used -= from;
    log->due_ns = clock_mono_ns() + flush_after_ns;
}

void access_log_flush(struct access_log *log)
{
    size_t done;

    log->due_ns = INT64_MAX;
    if (log->used == 0)
        return;
    if (log->kind == ACCESS_JOURNAL) {
        flush_to_journal(log);
        return;
    }
    done = write_buffer(log);
    if (done < log->used) {
        note_failure(log, errno);
        keep_rest(log, done);
    } else {
        log->used = 0;
        note_success(log);
    }
}

/* Room for one more line; where the disk takes nothing it is tried once in a while, not for each line. */
static bool has_room(struct access_log *log)
{
    if (BUFFER_BYTES - log->used >= LINE_BYTES)
        return true;
    if (log->tried_ns == 0 || clock_mono_ns() - log->tried_ns >= flush_after_ns)
        access_log_flush(log);
    return BUFFER_BYTES - log->used >= LINE_BYTES;
}

bool access_log_is_on(const struct access_log *log)
{
    return log->kind != ACCESS_OFF;
}

void access_log_write(struct access_log *log, const struct request_record *r)
{
    struct json_out out;

    if (!access_log_is_on(log))
        return;
    if (!has_room(log)) {
        lose(1);
        return;
    }
    out = (struct json_out){ log->buffer + log->used, BUFFER_BYTES - log->used, 0, false };
    if (log->kind == ACCESS_JOURNAL)
        access_format_native(&out, log->format, r, &log->stamp);
    else
        access_format(&out, log->format, r, &log->stamp);
    if (out.overflow) {
        lose(1);
        return;
    }
    if (log->used == 0)
        log->due_ns = clock_mono_ns() + flush_after_ns;
    log->used += out.used;
}
