/*
 * The scripted origin: one accepting thread, one thread for each connection.
 */
#include "api.h"

#include "base/arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 256, MAX_REQUESTS = 1024, BUFFER_BYTES = 8 * 1024 * 1024 };

struct connection {
    struct api *origin;
    pthread_t   thread;
    int         fd;
    unsigned    number, turn;
    char       *buffer;
    size_t      used;
};

struct api {
    api_script         script;
    const void        *context;
    int                listener;
    unsigned           port;
    bool               leave_bodies;
    pthread_t          thread;
    pthread_mutex_t    lock; /* guards all below */
    pthread_cond_t     changed;
    bool               closing, free_to_go;
    unsigned           request_count, connection_count;
    char              *texts[MAX_REQUESTS];
    struct connection *connections[MAX_CONNECTIONS];
};

struct talk {
    struct connection *connection;
    unsigned           number;
    bool               hang_up;
};

/* -- reading a request -- */

static const char *find(const char *text, const char *what, bool nocase)
{
    return nocase ? strcasestr(text, what) : strstr(text, what);
}

/* Bytes of the request that stands whole in the buffer; 0: more must come. */
static size_t request_bytes(const char *text, bool head_only)
{
    const char *end = find(text, "\r\n\r\n", false), *length, *chunked;
    size_t      head;

    if (end == NULL)
        return 0;
    head = (size_t)(end - text) + 4;
    if (head_only)
        return head;
    length = find(text, "\r\nContent-Length:", true);
    chunked = find(text, "\r\nTransfer-Encoding: chunked", true);
    if (chunked != NULL && chunked < end) {
        const char *last = find(end + 2, "\r\n0\r\n\r\n", false);

        return last != NULL ? (size_t)(last - text) + 7 : 0;
    }
    if (length != NULL && length < end) {
        size_t body = strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);

        return strlen(text) >= head + body ? head + body : 0;
    }
    return head;
}

static bool read_more(struct connection *c)
{
    ssize_t n = recv(c->fd, c->buffer + c->used, BUFFER_BYTES - c->used - 1, 0);

    if (n <= 0)
        return false;
    c->used += (size_t)n;
    c->buffer[c->used] = '\0';
    return true;
}

static unsigned keep_text(struct connection *c, size_t bytes)
{
    struct api *o = c->origin;
    unsigned    number;

    pthread_mutex_lock(&o->lock);
    number = o->request_count++;
    if (number < MAX_REQUESTS)
        o->texts[number] = mem_copy((struct slice){ c->buffer, bytes });
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
    return number;
}

static void *serve(void *context)
{
    struct connection *c = context;
    bool               open = true;

    while (open) {
        struct talk t = { .connection = c };
        size_t      bytes;

        while ((bytes = request_bytes(c->buffer, c->origin->leave_bodies)) == 0)
            if (!read_more(c))
                goto end;
        t.number = keep_text(c, bytes);
        memmove(c->buffer, c->buffer + bytes, c->used - bytes + 1);
        c->used -= bytes;
        c->origin->script(&t, c->origin->context);
        c->turn++;
        open = !t.hang_up;
    }
end:
    shutdown(c->fd, SHUT_RDWR);
    return NULL;
}

static void *accept_all(void *context)
{
    struct api *o = context;

    for (;;) {
        int                fd = accept4(o->listener, NULL, NULL, SOCK_CLOEXEC);
        struct connection *c;

        pthread_mutex_lock(&o->lock);
        if (fd < 0 || o->closing || o->connection_count == MAX_CONNECTIONS) {
            pthread_mutex_unlock(&o->lock);
            if (fd >= 0)
                close(fd);
            return NULL;
        }
        c = mem_alloc(sizeof *c);
        c->buffer = mem_alloc(BUFFER_BYTES);
        c->origin = o;
        c->fd = fd;
        c->number = o->connection_count;
        o->connections[o->connection_count++] = c;
        assert_int_equal(pthread_create(&c->thread, NULL, serve, c), 0);
        pthread_mutex_unlock(&o->lock);
    }
}

/* -- the test's side -- */

struct api *api_open(api_script script, const void *context)
{
    struct api        *o = mem_alloc(sizeof *o);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t          bytes = sizeof a;

    o->script = script;
    o->context = context;
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->changed, NULL);
    o->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(o->listener >= 0);
    assert_int_equal(bind(o->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(o->listener, 256), 0);
    assert_int_equal(getsockname(o->listener, (struct sockaddr *)&a, &bytes), 0);
    o->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&o->thread, NULL, accept_all, o), 0);
    return o;
}

void api_leave_bodies(struct api *o)
{
    o->leave_bodies = true;
}

void api_close(struct api *o)
{
    pthread_mutex_lock(&o->lock);
    o->closing = true;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
    shutdown(o->listener, SHUT_RDWR);
    pthread_join(o->thread, NULL);
    close(o->listener);
    for (unsigned i = 0; i < o->connection_count; i++) {
        struct connection *c = o->connections[i];

        shutdown(c->fd, SHUT_RDWR);
        pthread_join(c->thread, NULL);
        close(c->fd);
        free(c->buffer);
        free(c);
    }
    for (unsigned i = 0; i < o->request_count && i < MAX_REQUESTS; i++)
        free(o->texts[i]);
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->changed);
    free(o);
}

unsigned api_port(const struct api *o)
{
    return o->port;
}

unsigned api_requests(struct api *o)
{
    unsigned n;

    pthread_mutex_lock(&o->lock);
    n = o->request_count;
    pthread_mutex_unlock(&o->lock);
    return n;
}

unsigned api_connections(struct api *o)
{
    unsigned n;

    pthread_mutex_lock(&o->lock);
    n = o->connection_count;
    pthread_mutex_unlock(&o->lock);
    return n;
}

const char *api_text(struct api *o, unsigned number)
{
    const char *text;

    pthread_mutex_lock(&o->lock);
    assert_true(number < o->request_count);
    text = o->texts[number];
    pthread_mutex_unlock(&o->lock);
    return text;
}

void api_await(struct api *o, unsigned requests)
{
    struct timespec until;
    int             err = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&o->lock);
    while (o->request_count < requests && err == 0)
        err = pthread_cond_timedwait(&o->changed, &o->lock, &until);
    pthread_mutex_unlock(&o->lock);
    if (err != 0)
        fail_msg("the origin did not see %u requests", requests);
}

void api_let_go(struct api *o)
{
    pthread_mutex_lock(&o->lock);
    o->free_to_go = true;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

/* -- the script's side -- */

unsigned talk_number(const struct talk *t)
{
    return t->number;
}

unsigned talk_connection(const struct talk *t)
{
    return t->connection->number;
}

unsigned talk_turn(const struct talk *t)
{
    return t->connection->turn;
}

const char *talk_text(const struct talk *t)
{
    return api_text(t->connection->origin, t->number);
}

void talk_say_bytes(struct talk *t, const void *bytes, size_t count)
{
    const char *at = bytes;

    while (count > 0) {
        ssize_t n = send(t->connection->fd, at, count, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        at += n;
        count -= (size_t)n;
    }
}

void talk_say(struct talk *t, const char *text)
{
    talk_say_bytes(t, text, strlen(text));
}

void talk_hang_up(struct talk *t)
{
    t->hang_up = true;
}

void talk_reset(struct talk *t)
{
    struct linger   hard = { .l_onoff = 1, .l_linger = 0 };
    struct sockaddr nobody = { .sa_family = AF_UNSPEC };

    setsockopt(t->connection->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    connect(t->connection->fd, &nobody, sizeof nobody);
    t->hang_up = true;
}

void talk_wait(struct talk *t)
{
    struct api *o = t->connection->origin;

    pthread_mutex_lock(&o->lock);
    while (!o->free_to_go && !o->closing)
        pthread_cond_wait(&o->changed, &o->lock);
    pthread_mutex_unlock(&o->lock);
}

void talk_until_closed(struct talk *t)
{
    char    dropped[4096];
    ssize_t n;

    do
        n = recv(t->connection->fd, dropped, sizeof dropped, 0);
    while (n > 0 || (n < 0 && errno == EINTR));
    t->hang_up = true;
}
