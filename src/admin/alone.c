/*
 * weir --offline: a desk without a front, in the place of the daemon that weirctl did not find.
 *
 * The endpoints are the same, and so is what they say; those that need more than the store refuse (admin.c).  Who asks
 * has the rights that the directory gives him: he could as well read the files.
 */
#include "admin/alone.h"

#include "admin/admin.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/wait.h"
#include "http/problem.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_MOST = 128 * 1024, BODY_MOST = 1024 * 1024, PIECE_BYTES = 16 * 1024 };

struct lone_request {
    struct http_request request;
    struct slice        body;
    char               *bytes;
};

/* -- in and out -- */

static bool send_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = slice_sub(bytes, (size_t)n, bytes.len);
    }
    return true;
}

/* Up to the end of `*used` bytes that are wanted, or to the head's end where `wanted` is 0. */
static bool receive(int fd, char *bytes, size_t *used, size_t wanted, size_t most)
{
    while (wanted > 0 ? *used < wanted : memmem(bytes, *used, "\r\n\r\n", 4) == NULL) {
        ssize_t n = *used < most ? recv(fd, bytes + *used, most - *used, 0) : 0;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        *used += (size_t)n;
    }
    return true;
}

static size_t content_length(struct slice head)
{
    static const struct slice name = { "\r\nContent-Length:", sizeof "\r\nContent-Length:" - 1 };
    const char               *at = memmem(head.ptr, head.len, name.ptr, name.len);
    struct slice              value;
    int64_t                   length;

    if (at == NULL)
        return 0;
    value = slice_sub(head, (size_t)(at - head.ptr) + name.len, head.len);
    value = slice_trim(slice_sub(value, 0, slice_find(value, '\r', 0)));
    return slice_to_int64(value, &length) && length <= BODY_MOST ? (size_t)length : BODY_MOST + 1;
}

/* weirctl's own requests, and as much of HTTP as they need. */
static bool read_request(int fd, struct lone_request *a)
{
    size_t       used = 0, head_bytes, body_bytes, space;
    struct slice line;

    a->bytes = mem_alloc_raw(HEAD_MOST + BODY_MOST);
    if (!receive(fd, a->bytes, &used, 0, HEAD_MOST))
        return false;
    head_bytes = (size_t)((char *)memmem(a->bytes, used, "\r\n\r\n", 4) - a->bytes) + 4;
    body_bytes = content_length((struct slice){ a->bytes, head_bytes });
    if (body_bytes > BODY_MOST || !receive(fd, a->bytes, &used, head_bytes + body_bytes, HEAD_MOST + BODY_MOST))
        return false;
    line = slice_sub((struct slice){ a->bytes, head_bytes }, 0,
                     slice_find((struct slice){ a->bytes, head_bytes }, '\r', 0));
    space = slice_find(line, ' ', 0);
    a->request.method_name = slice_sub(line, 0, space);
    a->request.method = http_method_parse(a->request.method_name);
    line = slice_sub(line, space + 1, line.len);
    a->request.target = slice_sub(line, 0, slice_find(line, ' ', 0));
    a->body = (struct slice){ a->bytes + head_bytes, body_bytes };
    return true;
}

static bool send_head(int fd, const struct reply *r)
{
    struct arena a = { 0 };
    struct slice head = arena_printf(&a, "HTTP/1.0 %u %s\r\n", r->status, http_status_reason(r->status));
    bool         sent;

    for (unsigned i = 0; i < r->fields.count; i++)
        head = arena_printf(&a, SLICE_FMT SLICE_FMT ": " SLICE_FMT "\r\n", SLICE_ARG(head),
                            SLICE_ARG(r->fields.items[i].name), SLICE_ARG(r->fields.items[i].value));
    if (r->length >= 0)
        head = arena_printf(&a, SLICE_FMT "Content-Length: %lld\r\n", SLICE_ARG(head), (long long)r->length);
    head = arena_printf(&a, SLICE_FMT "Connection: close\r\n\r\n", SLICE_ARG(head));
    sent = send_all(fd, head);
    arena_free(&a);
    return sent;
}

/* -- a call -- */

static void wake(void *owner)
{
    *(bool *)owner = true;
}

static bool wait_for_mail(struct mailbox *box, bool *woken)
{
    struct pollfd watch = { .fd = mailbox_fd(box), .events = POLLIN };

    *woken = false;
    while (!*woken && wait_poll(&watch, 1, WAIT_FOR_EVER) >= 0)
        mailbox_deliver(box);
    return *woken;
}

static bool send_stream(int fd, struct admin_call *call, struct mailbox *box, bool *woken)
{
    for (;;) {
        char            piece[PIECE_BYTES];
        size_t          n = 0;
        enum spool_read state = admin_read(call, piece, sizeof piece, &n);

        if (state == SPOOL_READ_BYTES && !send_all(fd, (struct slice){ piece, n }))
            return false;
        if (state == SPOOL_READ_WAIT && !wait_for_mail(box, woken))
            return false;
        if (state == SPOOL_READ_END)
            return true;
        if (state == SPOOL_READ_CUT)
            return false;
    }
}

static bool answer(int fd, const struct lone_request *a, struct store *store, struct config *config)
{
    const struct admin_services services = { .store = store, .started_wall_ns = clock_wall_ns() };
    struct mailbox             *box = mailbox_open();
    bool                        woken = true, sent;
    struct admin               *desk;
    struct admin_call          *call;
    const struct reply         *r;

    if (box == NULL)
        return false;
    desk = admin_open(&services, box, NULL);
    call = admin_begin(desk, config, &a->request, a->body, (struct admin_rights){ .may_change = true }, wake, &woken);
    while (!admin_is_done(call) && wait_for_mail(box, &woken))
        ;
    r = admin_reply(call);
    sent = send_head(fd, r) && (r->kind == REPLY_BYTES ? send_all(fd, r->bytes) : send_stream(fd, call, box, &woken));
    admin_end(call);
    while (!admin_is_idle(desk)) { /* what it waits for comes to it */
        struct pollfd watch = { .fd = mailbox_fd(box), .events = POLLIN };

        wait_poll(&watch, 1, WAIT_FOR_EVER);
        mailbox_deliver(box);
    }
    admin_close(desk);
    mailbox_close(box);
    return sent;
}

/* -- the directory -- */

/* Root would leave files there that the daemon's user cannot use. */
static bool become_owner(const char *path, struct fault *why)
{
    struct stat st;

    if (geteuid() != 0 || stat(path, &st) != 0 || st.st_uid == 0)
        return true;
    if (setgroups(0, NULL) == 0 && setgid(st.st_gid) == 0 && setuid(st.st_uid) == 0)
        return true;
    fault_set_errno(why, errno, "cannot become user %ld, who owns %s", (long)st.st_uid, path);
    return false;
}

/* With the socket of the daemon that has it, so that weirctl can ask there. */
static void refuse(int fd, const struct config *config, enum problem_kind kind, const char *reason)
{
    struct arena        a = { 0 };
    struct reply        r = { .status = problem_status(kind) };
    struct problem_text text = { .kind = kind, .form = PROBLEM_INDENTED };
    char               *body;
    size_t              room;

    text.detail = kind == PROBLEM_CACHE_IN_USE
                      ? arena_printf(&a, "%s: ask it at %s.", reason, config->admin_socket.address + strlen("unix:"))
                      : arena_printf(&a, "%s.", reason);
    room = problem_room(text.detail.len);
    body = arena_alloc_raw(&a, room);
    r.length = (int64_t)problem_write(body, room, &text);
    http_fields_add_id(&r.fields, &a, HTTP_CONTENT_TYPE, slice_of(PROBLEM_MEDIA_TYPE));
    if (kind == PROBLEM_CACHE_IN_USE)
        http_fields_add(&r.fields, &a, SLICE("Weir-Socket"), slice_of(config->admin_socket.address + strlen("unix:")));
    if (send_head(fd, &r))
        send_all(fd, (struct slice){ body, (size_t)r.length });
    arena_free(&a);
}

int alone_serve(struct config *config, int fd)
{
    struct lone_request a = { .bytes = NULL };
    struct fault        why = { "" };
    struct store       *store = NULL;
    bool                is_held = false, sent = false;

    log_set_level(LOG_LEVEL_ERROR);
    if (!read_request(fd, &a)) {
        fprintf(stderr, "weir: --offline speaks with weirctl on its standard input, and there is no request\n");
        free(a.bytes);
        return 2;
    }
    if (become_owner(config->cache.path, &why))
        store = store_open_offline(&config->cache, http_method_is_safe(a.request.method), &is_held, &why);
    if (store != NULL)
        sent = answer(fd, &a, store, config);
    else
        refuse(fd, config, is_held ? PROBLEM_CACHE_IN_USE : PROBLEM_CACHE_UNUSABLE, why.text);
    store_close(store);
    free(a.bytes);
    return sent ? 0 : 1;
}
