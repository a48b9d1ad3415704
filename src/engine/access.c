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
#include "http/json.h"

#include <systemd/sd-journal.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 * 1024, LINE_BYTES = 16 * 1024, TARGET_BYTES = 4096 };

static const int64_t flush_after_ns = NS_PER_SEC;

struct access_log {
    enum access_log_kind kind;
    bool                 json;
    int                  fd;       /* -1: nowhere */
    char                *file;     /* its path, for ACCESS_FILE */
    bool                 is_torn;  /* a line in the file broke off */
    int64_t              tried_ns; /* when it failed last; 0: it did not */
    size_t               used;
    int64_t              due_ns;    /* INT64_MAX: empty */
    int64_t              second;    /* `stamp` is of this second */
    char                 stamp[24]; /* "2026-11-20T21:45:00" */
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
    log->kind = c->access_log;
    log->json = c->access_json;
    log->fd = -1;
    log->tried_ns = 0;
    if (c->access_log == ACCESS_STDERR)
        log->fd = STDERR_FILENO;
    else if (c->access_log == ACCESS_FILE) {
        log->file = mem_copy(slice_of(c->access_file));
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
    log->second = -1;
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

static void flush_to_journal(struct access_log *log)
{
    char *line = log->buffer, *end = log->buffer + log->used;

    while (line < end) {
        char *stop = memchr(line, '\n', (size_t)(end - line));

        if (stop == NULL)
            break;
        if (sd_journal_send("MESSAGE=%.*s", (int)(stop - line), line, "PRIORITY=6", "SYSLOG_IDENTIFIER=weir-access",
                            (char *)NULL) < 0)
            lose(1);
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

static const char *stamp(struct access_log *log, int64_t wall_ns)
{
    int64_t   second = wall_ns / NS_PER_SEC;
    struct tm tm;
    time_t    t = (time_t)second;

    if (second != log->second && gmtime_r(&t, &tm) != NULL) {
        strftime(log->stamp, sizeof log->stamp, "%Y-%m-%dT%H:%M:%S", &tm);
        log->second = second;
    }
    return log->stamp;
}

static void write_ms(struct json_out *o, const char *name, int64_t ns)
{
    char text[32];

    snprintf(text, sizeof text, "%.3f", (double)ns / NS_PER_MS);
    json_key(o, name);
    json_raw(o, slice_of(text));
}

static const struct outcome *outcome_of(const struct access_record *r)
{
    static const struct outcome nothing;

    return r->outcome != NULL ? r->outcome : &nothing;
}

/* Why each attempt was made (the first one's reason is Cache-Status' fwd, every other one's the
 * outcome before it), how long it waited, and what it came to. */
static void write_attempts(struct json_out *o, const struct access_record *r)
{
    char text[ATTEMPT_TEXT_BYTES];

    json_key(o, "tries");
    json_raw(o, SLICE("["));
    for (unsigned i = 0; i < outcome_of(r)->attempt_count && i < ATTEMPTS_KEPT; i++) {
        const struct attempt *a = &outcome_of(r)->attempts[i];

        json_raw(o, i > 0 ? SLICE(",{") : SLICE("{"));
        json_key(o, "cause");
        if (i > 0)
            attempt_text(a - 1, text);
        json_text(o, slice_of(i > 0 ? text : r->forward != NULL ? r->forward : "none"));
        write_ms(o, "waited_ms", a->waited_ns);
        attempt_text(a, text);
        json_key(o, "outcome");
        json_text(o, slice_of(text));
        write_ms(o, "took_ms", a->took_ns);
        json_raw(o, SLICE("}"));
    }
    json_raw(o, SLICE("]"));
}

static void write_text(struct json_out *o, const char *name, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    json_key(o, name);
    json_text(o, slice_of(text));
}

static void write_flag(struct json_out *o, const char *name, bool set)
{
    json_key(o, name);
    json_raw(o, set ? SLICE("true") : SLICE("false"));
}

static void format_json(struct json_out *o, const struct access_record *r, const char *second)
{
    char time[40];

    snprintf(time, sizeof time, "%s.%03dZ", second, (int)(r->started_wall_ns / NS_PER_MS % 1000));
    json_raw(o, SLICE("{"));
    write_text(o, "time", time);
    json_key(o, "id");
    json_int(o, (int64_t)r->id);
    write_text(o, "peer", r->peer);
    if (r->client.ptr != NULL) {
        json_key(o, "client");
        json_text(o, slice_sub(r->client, 0, 128));
    }
    json_key(o, "method");
    json_text(o, slice_sub(r->method, 0, 64));
    write_text(o, "upstream", r->upstream);
    json_key(o, "target");
    json_text(o, slice_sub(r->target, 0, TARGET_BYTES / 2));
    write_text(o, "rule", r->rule);
    json_key(o, "status");
    json_int(o, r->status);
    json_key(o, "bytes");
    json_int(o, r->sent_bytes);
    json_key(o, "received_bytes");
    json_int(o, r->received_bytes);
    write_text(o, "cache", r->cache);
    write_text(o, "fwd", r->forward);
    write_text(o, "detail", r->detail);
    write_flag(o, "collapsed", outcome_of(r)->collapsed);
    write_flag(o, "stored", outcome_of(r)->stored);
    write_flag(o, "whole", r->whole);
    json_key(o, "attempts");
    json_int(o, outcome_of(r)->attempt_count);
    if (outcome_of(r)->attempt_count > 0)
        write_attempts(o, r);
    if (r->forward != NULL)
        write_ms(o, "predicted_ms", outcome_of(r)->predicted_ns);
    write_ms(o, "queue_ms", outcome_of(r)->queued_ns);
    write_ms(o, "upstream_ms", outcome_of(r)->upstream_ns);
    write_ms(o, "took_ms", r->took_ns);
    json_raw(o, SLICE("}\n"));
}

/* Printable ASCII but no quote: the plain line's fields stay apart. */
static void plain(struct json_out *o, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i] > ' ' && text.ptr[i] < 0x7f && text.ptr[i] != '"' ? text.ptr[i] : '?';

        json_raw(o, (struct slice){ &c, 1 });
    }
}

/* "tries=503/0.1ms,200/500.0ms": outcomes, and the waits before them. */
static void plain_attempts(struct json_out *o, const struct access_record *r)
{
    char outcome[ATTEMPT_TEXT_BYTES], text[64];

    for (unsigned i = 0; i < outcome_of(r)->attempt_count && i < ATTEMPTS_KEPT; i++) {
        int n;

        attempt_text(&outcome_of(r)->attempts[i], outcome);
        n = snprintf(text, sizeof text, "%s%s/%.1fms", i > 0 ? "," : " tries=", outcome,
                     (double)outcome_of(r)->attempts[i].waited_ns / NS_PER_MS);
        json_raw(o, (struct slice){ text, (size_t)n });
    }
}

static void format_plain(struct json_out *o, const struct access_record *r, const char *second)
{
    char text[256];
    int  n = snprintf(text, sizeof text, "%s.%03dZ %s ", second, (int)(r->started_wall_ns / NS_PER_MS % 1000), r->peer);

    json_raw(o, (struct slice){ text, (size_t)n });
    plain(o, slice_sub(r->method, 0, 64));
    json_raw(o, SLICE(" "));
    plain(o, slice_sub(r->target, 0, TARGET_BYTES));
    n = snprintf(text, sizeof text, " %u %lld %s fwd=%s attempts=%u queue=%.1fms upstream=%.1fms took=%.1fms",
                 r->status, (long long)r->sent_bytes, r->cache, r->forward != NULL ? r->forward : "-",
                 outcome_of(r)->attempt_count, (double)outcome_of(r)->queued_ns / NS_PER_MS,
                 (double)outcome_of(r)->upstream_ns / NS_PER_MS, (double)r->took_ns / NS_PER_MS);
    json_raw(o, (struct slice){ text, (size_t)n });
    plain_attempts(o, r);
    json_raw(o, r->whole ? SLICE("\n") : SLICE(" broken\n"));
}

bool access_log_is_on(const struct access_log *log)
{
    return log->kind != ACCESS_OFF;
}

void access_log_write(struct access_log *log, const struct access_record *r)
{
    struct json_out out;

    if (!access_log_is_on(log))
        return;
    if (!has_room(log)) {
        lose(1);
        return;
    }
    out = (struct json_out){ log->buffer + log->used, BUFFER_BYTES - log->used, 0, false };
    if (log->json)
        format_json(&out, r, stamp(log, r->started_wall_ns));
    else
        format_plain(&out, r, stamp(log, r->started_wall_ns));
    if (out.overflow)
        return;
    if (log->used == 0)
        log->due_ns = clock_mono_ns() + flush_after_ns;
    log->used += out.used;
}
