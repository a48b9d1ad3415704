/*
 * The event log.
 *
 * A line is made whole on the stack and leaves with one write(2), so that
 * lines of several threads do not mix and nothing waits for a lock.  Control
 * bytes that slipped into a value become spaces: one event is one line.  Lines that
 * a full disk did not take are counted, and the first one that it takes again is preceded by how many.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/counters.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 4096, QUOTE_BUFFERS = 8, QUOTE_BYTES = 512 };

static const struct {
    const char *name;
    char        syslog_digit;
} levels[] = {
    [LOG_LEVEL_ERROR] = { "error", '3' },
    [LOG_LEVEL_WARNING] = { "warning", '4' },
    [LOG_LEVEL_INFO] = { "info", '6' },
    [LOG_LEVEL_DEBUG] = { "debug", '7' },
};

static _Atomic int      threshold = LOG_LEVEL_INFO;
static pthread_once_t   journal_once = PTHREAD_ONCE_INIT;
static bool             to_journal; /* written once, under journal_once */
static _Atomic uint64_t lost_lines; /* that nobody has been told of */
static _Atomic bool     is_torn;    /* the last line broke off in the middle */

/* JOURNAL_STREAM is "device:inode" of the stream systemd gave us (systemd.exec(5)); a
 * standard error that was sent elsewhere since then gets no prefixes. */
static void look_for_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    char        ours[64];

    if (stream == NULL || fstat(STDERR_FILENO, &st) != 0)
        return;
    snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    to_journal = strcmp(stream, ours) == 0;
}

int log_level_parse(const char *name)
{
    for (int i = 0; i < (int)(sizeof levels / sizeof levels[0]); i++)
        if (strcmp(name, levels[i].name) == 0)
            return i;
    return -1;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

/* Time, level and event; returns the bytes used. */
static size_t put_head(char *line, size_t size, enum log_level level, const char *event)
{
    int64_t   now_ns = clock_wall_ns();
    time_t    seconds = (time_t)(now_ns / NS_PER_SEC);
    struct tm t;
    int       used;

    gmtime_r(&seconds, &t);
    used = snprintf(line, size, "%.*s%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s %s", to_journal ? 3 : 0,
                    (char[]){ '<', levels[level].syslog_digit, '>' }, t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                    t.tm_hour, t.tm_min, t.tm_sec, (int)(now_ns % NS_PER_SEC / NS_PER_MS), levels[level].name, event);
    return used < 0 ? 0 : (size_t)used < size ? (size_t)used : size - 1;
}

/* False where not all of it was written.  A line that broke off is ended before the next one begins. */
static bool write_whole(const char *line, size_t length)
{
    size_t done = 0;

    if (atomic_load_explicit(&is_torn, memory_order_relaxed) && write(STDERR_FILENO, "\n", 1) == 1)
        atomic_store_explicit(&is_torn, false, memory_order_relaxed);
    while (done < length) {
        ssize_t n = write(STDERR_FILENO, line + done, length - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done > 0 && done < length)
        atomic_store_explicit(&is_torn, true, memory_order_relaxed);
    return done == length;
}

static void lose(uint64_t lines)
{
    atomic_fetch_add_explicit(&lost_lines, lines, memory_order_relaxed);
}

/* Once, as soon as it goes again. */
static bool say_lost(void)
{
    char     line[256];
    uint64_t lines = atomic_exchange_explicit(&lost_lines, 0, memory_order_relaxed);
    size_t   used;

    if (lines == 0)
        return true;
    used = put_head(line, sizeof line / 2, LOG_LEVEL_WARNING, "log_lines_lost");
    used += (size_t)snprintf(line + used, sizeof line - used, " lines=%" PRIu64 "\n", lines);
    if (write_whole(line, used))
        return true;
    lose(lines);
    return false;
}

static void write_line(const char *line, size_t length)
{
    if (atomic_load_explicit(&lost_lines, memory_order_relaxed) == 0 || say_lost()) {
        if (write_whole(line, length))
            return;
    }
    lose(1);
    counter_add(COUNTER_LOG_LINES_LOST, 1);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    static const char cut[] = "...\n";
    const int         saved_errno = errno;
    char              line[LINE_BYTES];
    size_t            used, begin, room;
    va_list           args;
    int               length;

    if ((int)level > atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    pthread_once(&journal_once, look_for_journal);
    used = begin = put_head(line, sizeof line / 2, level, event);
    if (format[0] != '\0' && format[0] != ' ') /* the pairs may bring their own space */
        line[used++] = ' ';
    room = sizeof line - sizeof cut - used;
    errno = saved_errno; /* for %m */
    va_start(args, format);
    length = vsnprintf(line + used, room, format, args);
    va_end(args);
    if (length <= 0)
        used = begin;
    else
        used += (size_t)length < room ? (size_t)length : room - 1;
    for (char *p = line + begin; p < line + used; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    if (length > 0 && (size_t)length >= room) {
        memcpy(line + used, cut, sizeof cut - 1);
        used += sizeof cut - 1;
    } else {
        line[used++] = '\n';
    }
    write_line(line, used);
    errno = saved_errno;
}

/* Puts `c` as it may stand between quotes; returns the bytes written, up to 4. */
static size_t escape(char *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    if (c < 0x20 || c == 0x7f) {
        out[0] = '\\';
        out[1] = 'x';
        out[2] = hex[c >> 4];
        out[3] = hex[c & 15];
        return 4;
    }
    out[0] = (char)c;
    return 1;
}

const char *log_quote(const char *text)
{
    static _Thread_local char     buffers[QUOTE_BUFFERS][QUOTE_BYTES];
    static _Thread_local unsigned turn;
    char                         *out = buffers[turn++ % QUOTE_BUFFERS];
    size_t                        used = 0;
    const size_t                  last = QUOTE_BYTES - sizeof "\\xff...\"";

    out[used++] = '"';
    for (; text != NULL && *text != '\0' && used <= last; text++)
        used += escape(out + used, (unsigned char)*text);
    if (text != NULL && *text != '\0') {
        memcpy(out + used, "...", 3);
        used += 3;
    }
    out[used++] = '"';
    out[used] = '\0';
    return out;
}
