/*
 * The stages, one handler each; and MHD's own word where it refuses.
 */
#include "front/mhd/intake.h"

#include "front/mhd/call.h"
#include "front/mhd/recv.h"
#include "front/mhd/refuse.h"
#include "front/mhd/sockopt.h"
#include "base/socket.h"
#include "front/mhd/startline.h"
#include "front/mhd/tricks.h"

#include <errno.h>
#include <stdlib.h>

enum { RECORD_BYTES = 16384 }; /* of TLS, which is read a record at a time (RFC 8446 5.1) */

static _Thread_local struct worker *here;

/* -- bodies -- */

static struct refusal chunk_refusal(enum chunked_verdict v)
{
    switch (v) {
    case CHUNKED_HUGE:
        return (struct refusal){ PROBLEM_CONTENT_TOO_LARGE, "A chunk of 2^63 bytes or more will never come." };
    case CHUNKED_LONG_LINE:
        return (struct refusal){ PROBLEM_CHUNK_LINE_TOO_LONG,
                                 "A chunk's size and extensions together may have 4 KiB." };
    case CHUNKED_LONG_TRAILERS:
        return (struct refusal){ PROBLEM_TRAILERS_TOO_LARGE, "The trailers of a request may have 16 KiB." };
    case CHUNKED_BAD_SIZE:
        return (struct refusal){ PROBLEM_MALFORMED_CHUNK, "A chunk begins with its size in hexadecimal digits." };
    case CHUNKED_BAD_DATA:
        return (struct refusal){ PROBLEM_MALFORMED_CHUNK, "A chunk is longer than the size that it began with." };
    case CHUNKED_BAD_TRAILER:
        return (struct refusal){ PROBLEM_MALFORMED_TRAILER, "A trailer is a name, a colon and a value on one line." };
    default:
        return (struct refusal){ PROBLEM_MALFORMED_CHUNK,
                                 "A line ends with CRLF, and no other control character stands in it." };
    }
}

/* MHD must not see that there is a line before the answer to what comes first is out: else it would close, and nobody
 * could say whether that was meant. */
static void hide_lines(char *at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (at[i] == '\n')
            at[i] = ' ';
}

static enum startline_verdict judge(const char *from, const char *end, const char **line, struct refusal *no)
{
    while (from < end && (*from == '\r' || *from == '\n')) /* RFC 9112 2.2 */
        from++;
    *line = from < end ? from : NULL;
    return startline_judge((struct slice){ from, (size_t)(end - from) }, no);
}

/* The request is whole; `count` bytes after it have come already. */
static void end_request(struct intake *in, char *at, size_t count)
{
    enum startline_verdict v = STARTLINE_MORE;
    const char            *line;

    in->stage = INTAKE_WHOLE;
    in->held = count;
    in->doom.kind = PROBLEM_NONE;
    if (count > 0)
        v = judge(at, at + count, &line, &in->doom);
    in->next = v == STARTLINE_FINE ? INTAKE_HEAD : INTAKE_LINE;
    if (v == STARTLINE_BAD)
        hide_lines(at, count);
}

/* Status 0: it may go on. */
static struct refusal take_body(struct intake *in, char *at, size_t count)
{
    static const struct refusal fine = { PROBLEM_NONE, NULL };
    enum chunked_verdict        v;
    size_t                      taken;

    if (in->stage == INTAKE_LENGTH) {
        taken = (int64_t)count < in->left ? count : (size_t)in->left;
        in->left -= (int64_t)taken;
        if (in->left == 0)
            end_request(in, at + taken, count - taken);
        return fine;
    }
    v = chunked_feed(&in->chunked, at, count, &taken);
    if (v == CHUNKED_END)
        end_request(in, at + taken, count - taken);
    return v == CHUNKED_MORE || v == CHUNKED_END ? fine : chunk_refusal(v);
}

/* -- what comes -- */

/* The line, or the fields: MHD tells when they are whole. */
static struct refusal take_head(struct intake *in, char *at, size_t count)
{
    struct refusal         no = { PROBLEM_NONE, NULL };
    enum startline_verdict v;
    size_t                 before = in->held;

    if (in->base == NULL)
        in->base = at;
    if (at != in->base + before) {
        in->stage = INTAKE_PASS;
        return no;
    }
    in->held += count;
    if (in->stage == INTAKE_HEAD)
        return before > GUARD_HEAD_BYTES ? startline_refusal(431) : no;
    v = in->line != NULL ? startline_judge((struct slice){ in->line, (size_t)(at + count - in->line) }, &no)
                         : judge(at, at + count, &in->line, &no);
    if (v == STARTLINE_FINE)
        in->stage = INTAKE_HEAD;
    else if (v == STARTLINE_MORE && before > GUARD_HEAD_BYTES)
        no = startline_refusal(414);
    return no;
}

/* On the way of a hit: a head that is whole and begins like most.  MHD reads it at once, and if the line is none it
 * says so, since there is a target. */
static bool take_plain_get(struct intake *in, const char *at, size_t count)
{
    enum { LEAST_BYTES = sizeof "GET / HTTP/1.1\r\n\r\n" - 1 };

    if (in->stage != INTAKE_LINE || in->held != 0 || at != in->base || count < LEAST_BYTES ||
        memcmp(at, "GET /", 5) != 0 || memcmp(at + count - 4, "\r\n\r\n", 4) != 0)
        return false;
    in->line = at;
    in->held = count;
    in->stage = INTAKE_HEAD;
    return true;
}

/* After `count` bytes at `at`: must more of a request come before it can be answered? */
static bool is_amid(const struct intake *in, const char *at, size_t count)
{
    switch (in->stage) {
    case INTAKE_LINE:
    case INTAKE_HEAD:
        return memmem(at, count, "\r\n\r\n", 4) == NULL;
    case INTAKE_LENGTH:
    case INTAKE_CHUNKS:
        return true;
    case INTAKE_WHOLE:
    case INTAKE_PASS:
        break;
    }
    return false;
}

static bool take_any(struct connection *c, char *at, ssize_t count, size_t room)
{
    struct intake *in = &c->intake;
    struct refusal no = { PROBLEM_NONE, NULL };

    pool_read(&c->pool, at);
    if (count <= 0)
        return true;
    switch (in->stage) {
    case INTAKE_LINE:
    case INTAKE_HEAD:
        no = take_head(in, at, (size_t)count);
        break;
    case INTAKE_LENGTH:
    case INTAKE_CHUNKS:
        no = take_body(in, at, (size_t)count);
        break;
    case INTAKE_WHOLE:
        in->held += (size_t)count;
        break;
    case INTAKE_PASS:
        break;
    }
    if (no.kind != PROBLEM_NONE)
        refuse_connection(c, &no);
    else if ((size_t)count < room && is_amid(in, at, (size_t)count))
        socket_acknowledge(c->fd);
    return !c->refused;
}

/* Less than `room`: that was all there is for now. */
static bool take(struct connection *c, char *at, ssize_t count, size_t room)
{
    c->worker->intake.current = c;
    return (count > 0 && take_plain_get(&c->intake, at, (size_t)count)) || take_any(c, at, count, room);
}

static bool is_connection(int fd)
{
    return fd >= 0 && (size_t)fd < here->intake.count && here->intake.by_fd[fd] != NULL;
}

static ssize_t heard(int fd, char *at, ssize_t count, size_t room)
{
    struct connection *c = is_connection(fd) ? here->intake.by_fd[fd] : NULL;

    if (c == NULL || c->is_tls || take(c, at, count, room)) /* what comes out of TLS is told apart */
        return count;
    errno = ECONNRESET;
    return -1;
}

void intake_start(struct worker *w)
{
    here = w;
    recv_watch(w != NULL && trick(TRICK_INTAKE) ? heard : NULL);
    sockopt_keep(w != NULL && trick(TRICK_SOCKOPT) ? is_connection : NULL);
}

bool intake_heard_tls(void *connection, char *at, ssize_t count)
{
    return take(connection, at, count, RECORD_BYTES);
}

/* -- what MHD tells -- */

bool intake_head(struct connection *c, const char *head, size_t bytes, int64_t body_bytes)
{
    struct intake *in = &c->intake;
    struct refusal no;
    char          *end, *to = in->base + in->held;

    if (in->stage != INTAKE_HEAD || head < in->base || head + bytes > to || body_bytes < -1) {
        in->stage = INTAKE_PASS;
        return true;
    }
    end = in->base + (head + bytes - in->base);
    if (body_bytes == 0) {
        end_request(in, end, (size_t)(to - end));
        return true;
    }
    in->stage = body_bytes < 0 ? INTAKE_CHUNKS : INTAKE_LENGTH;
    in->left = body_bytes;
    in->chunked = (struct chunked){ 0 };
    in->doom.kind = PROBLEM_NONE;
    no = take_body(in, end, (size_t)(to - end));
    if (no.kind != PROBLEM_NONE)
        refuse_connection(c, &no);
    else if (in->stage != INTAKE_WHOLE)
        socket_acknowledge(c->fd);
    return no.kind == PROBLEM_NONE;
}

void intake_next(struct connection *c)
{
    struct intake *in = &c->intake;

    if (in->stage != INTAKE_WHOLE) {
        in->stage = INTAKE_PASS;
        return;
    }
    in->line = NULL;
    in->is_timed = false;
    in->stage = in->next;
    if (in->held == 0)
        return;
    in->line = in->base;
    if (in->doom.kind != PROBLEM_NONE) {
        c->is_doomed = true;
        c->worker->intake.has_doomed = true;
    }
}

void intake_pass(struct connection *c)
{
    c->intake.stage = INTAKE_PASS;
}

/* A second request begins in the time for idling, and may end in its own. */
static bool has_time_left(struct connection *c, int64_t now)
{
    struct intake *in = &c->intake;

    if (in->is_timed || in->held == 0 || in->stage > INTAKE_HEAD || c->refused)
        return false;
    in->is_timed = true;
    c->deadline_ns = now + c->worker->config->timeout.head_ns;
    return true;
}

/* RFC 9110 15.5.9. Between requests there is nothing to say. */
static void say_timeout(struct connection *c)
{
    static const struct refusal too_slow = {
        PROBLEM_REQUEST_TIMEOUT, "The rest of the request did not come in time (head_timeout, body_timeout)."
    };
    const struct intake *in = &c->intake;

    if ((in->stage == INTAKE_LINE && in->line != NULL) || in->stage == INTAKE_HEAD || in->stage == INTAKE_LENGTH ||
        in->stage == INTAKE_CHUNKS)
        refuse_connection(c, &too_slow);
}

bool intake_is_late(struct connection *c, int64_t now)
{
    if (has_time_left(c, now))
        return false;
    if (!c->peer_closed)
        say_timeout(c);
    return true;
}

void intake_refuse_doomed(struct worker *w)
{
    struct connection *c;

    if (!w->intake.has_doomed)
        return;
    w->intake.has_doomed = false;
    LIST_FOREACH (c, &w->open, entry)
        if (c->is_doomed)
            refuse_connection(c, &c->intake.doom);
}

/* Nothing has come of it but a line that was not looked at. */
static void judge_again(const struct intake *in, struct refusal *no)
{
    struct refusal better;

    if (startline_judge_again((struct slice){ in->line, (size_t)(in->base + in->held - in->line) }, &better))
        *no = better;
}

void intake_log(struct worker *w, const char *text)
{
    static const char refused[] = "Error processing request (HTTP response code is ";
    static const char unfit[] = "Closing connection (failed to create response header";
    struct refusal    no = { PROBLEM_NONE, NULL };

    if (!trick(TRICK_INTAKE))
        return;
    if (strncmp(text, refused, sizeof refused - 1) == 0)
        no = startline_refusal((unsigned)strtoul(text + sizeof refused - 1, NULL, 10));
    else if (strncmp(text, unfit, sizeof unfit - 1) == 0)
        no = startline_refusal(502);
    if (no.kind == PROBLEM_NONE || w->intake.current == NULL)
        return;
    if (w->intake.current->begun == NULL && w->intake.current->intake.stage == INTAKE_HEAD &&
        w->intake.current->intake.line != NULL)
        judge_again(&w->intake.current->intake, &no);
    if (problem_status(no.kind) >= 500 && w->intake.current->begun != NULL)
        w->intake.current->begun->answering = false; /* not a byte of it has gone out */
    refuse_connection(w->intake.current, &no);
}
