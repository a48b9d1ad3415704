/*
 * The answer, the half close, and the sockets that are read to their end.
 */
#include "front/mhd/refuse.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "engine/runs.h"
#include "front/mhd/call.h"
#include "front/mhd/heads.h"
#include "front/mhd/startline.h"
#include "http/date.h"
#include "tls/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { LINGERING_MOST = 256, READ_BYTES = 64 * 1024, READS_MOST = 16 };

static const int64_t linger_ns = 2 * NS_PER_SEC, answered_ns = 3 * NS_PER_SEC;

struct lingering {
    struct watch          watch;
    struct worker        *worker;
    int                   fd;
    int64_t               deadline_ns;
    LIST_ENTRY(lingering) entry;
};

/* -- the answer -- */

size_t refuse_text(char *out, size_t room, const struct refusal *no, const char *proxy_error, bool is_head)
{
    const struct problem_type *type = &problem_types[no->kind];
    const struct problem_text  text = { .kind = no->kind, .detail = slice_of(no->detail) };
    char                       body[1024], date[HTTP_DATE_BYTES];
    size_t                     bytes = problem_write(body, sizeof body, &text);
    int                        n;

    http_date_format(clock_wall_ns() / NS_PER_SEC, date);
    n = snprintf(out, room,
                 "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n"
                 "Content-Type: " PROBLEM_MEDIA_TYPE "\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
                 "Proxy-Status: weir; error=%s\r\nVia: 1.1 weir\r\nCache-Status: weir\r\n\r\n" SLICE_FMT,
                 type->status, type->title, date, bytes, proxy_error,
                 SLICE_ARG(((struct slice){ body, is_head ? 0 : bytes })));
    return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

static bool is_head(const struct connection *c)
{
    const struct intake *in = &c->intake;

    if (c->is_doomed && c->call == NULL)
        return startline_is_head((struct slice){ in->base, in->held });
    if (c->begun != NULL && c->begun->request.method_name.ptr != NULL)
        return c->begun->request.method == HTTP_HEAD;
    return in->line != NULL && in->stage != INTAKE_WHOLE &&
           startline_is_head((struct slice){ in->line, (size_t)(in->base + in->held - in->line) });
}

static void send_it(struct connection *c, const char *text, size_t bytes)
{
    void *session;

    heads_forget(c->fd);
    if (!c->is_tls) {
        if (send(c->fd, text, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < (ssize_t)bytes)
            log_debug("refusal_unsent", "peer=%s", c->peer);
        return;
    }
    session = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;
    if (handshake_send(session, text, bytes))
        record_end(session);
}

static struct slice method_of(const struct connection *c)
{
    return c->begun != NULL && c->begun->request.method_name.len > 0 ? c->begun->request.method_name : SLICE("-");
}

/* An exchange that has begun has its line as it ends. */
static void log_it(struct connection *c, const struct refusal *no)
{
    struct exchange      *x = c->begun != NULL ? c->begun->exchange : NULL;
    struct request_record record = {
        .started_wall_ns = clock_wall_ns(),
        .id = (int64_t)engine_take_id(c->worker->engine),
        .peer = slice_of(c->peer),
        .client = runs_name(slice_of(c->proxy_user)),
        .method = method_of(c),
        .target = SLICE("-"),
        .version_minor = 1,
        .status = problem_status(no->kind),
        .cache = SLICE("error"),
        .detail = slice_of(problem_types[no->kind].title),
        .error = slice_of(problem_types[no->kind].name),
        .whole = true,
    };

    if (listener_is_admin(c->kind))
        return;
    if (x != NULL) {
        exchange_refuse(x, no->kind);
        return;
    }
    engine_count_refused(c->worker->engine, record.method, (unsigned)record.status);
    record_name_client(&record, &c->who, c->label);
    if (recorder_is_on(c->worker->recorder))
        recorder_take(c->worker->recorder, &record);
}

void refuse_connection(struct connection *c, const struct refusal *no)
{
    char   text[REFUSE_BYTES];
    size_t bytes;

    if (c->refused)
        return;
    call_label(c);
    c->refused = true;
    c->is_doomed = false;
    if (c->begun == NULL || !c->begun->answering) {
        bytes = refuse_text(text, sizeof text, no,
                            problem_status(no->kind) == 502 ? "http_response_header_section_size"
                                                            : "http_request_error",
                            is_head(c));
        send_it(c, text, bytes);
        log_it(c, no);
    }
    shutdown(c->fd, SHUT_WR);
    c->intake.stage = INTAKE_PASS;
    c->deadline_ns = clock_real_ns() + answered_ns;
}

/* -- the end of it -- */

static void forget(struct lingering *l)
{
    struct worker *w = l->worker;

    epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
    close(l->fd);
    LIST_REMOVE(l, entry);
    w->lingering.count--;
    free(l);
}

static void on_more(struct watch *watch, uint32_t events)
{
    static _Thread_local char nowhere[READ_BYTES];
    struct lingering         *l = CONTAINER_OF(watch, struct lingering, watch);

    (void)events;
    for (unsigned i = 0; i < READS_MOST; i++) {
        ssize_t n = recv(l->fd, nowhere, sizeof nowhere, MSG_DONTWAIT);

        if (n > 0)
            continue;
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            forget(l);
        return;
    }
}

void refuse_linger(struct worker *w, int fd)
{
    struct lingering  *l;
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };
    int own = w->stop.is_asked || w->lingering.count >= LINGERING_MOST ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (own < 0)
        return;
    l = mem_alloc(sizeof *l);
    *l = (struct lingering){ .watch = { on_more }, .worker = w, .fd = own, .deadline_ns = clock_real_ns() + linger_ns };
    LIST_INSERT_HEAD(&w->lingering.list, l, entry);
    w->lingering.count++;
    event.data.ptr = &l->watch;
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, own, &event) != 0)
        forget(l);
}

void refuse_sweep(struct worker *w, int64_t now)
{
    struct lingering *l, *next;

    LIST_FOREACH_SAFE (l, &w->lingering.list, entry, next)
        if (l->deadline_ns <= now)
            forget(l);
}

void refuse_close_all(struct worker *w)
{
    while (!LIST_EMPTY(&w->lingering.list))
        forget(LIST_FIRST(&w->lingering.list));
}
