/*
 * The origin of `make bench`: one thread, keep-alive, answers as many bytes as the path's last part says.
 *
 *   origin [FILE]          prints the port it listens on (127.0.0.1); ends with its standard input, and then
 *                          writes when the last 65536 requests came to FILE (ns as int64, the kernel's time)
 *
 *   /.../1024              1024 bytes that may be cached for an hour
 *   /.../slow/1024         the same, a third of a second later (and all others wait as well)
 *   /.../counts            {"requests": N, "most_in_a_second": M} since it was last asked for
 *
 * It must cost less than any cache in front of it, and count what reaches it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_BYTES = 16384, ANSWER_BYTES = 512, EVENTS = 256, BODY_BYTES = 1 << 20, ARRIVALS = 1 << 16 };

struct connection {
    int      fd;
    unsigned have; /* bytes of a head */
    char     head[HEAD_BYTES + 1];
    char     answer[ANSWER_BYTES];
    unsigned answer_sent, answer_bytes;
    uint64_t body_left;
};

static const struct timespec slow = { .tv_nsec = 300000000 };
static char                  body[BODY_BYTES];
static int64_t               arrivals[ARRIVALS]; /* when the last ones came */
static uint64_t              requests, most, first_in_second;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void count_request(int64_t now)
{
    arrivals[requests++ % ARRIVALS] = now;
    while (first_in_second + ARRIVALS < requests || arrivals[first_in_second % ARRIVALS] <= now - 1000000000)
        first_in_second++;
    if (requests - first_in_second > most)
        most = requests - first_in_second;
}

static void answer_counts(struct connection *c)
{
    char text[128];
    int  n = snprintf(text, sizeof text, "{\"requests\": %llu, \"most_in_a_second\": %llu}\n",
                      (unsigned long long)requests, (unsigned long long)most);

    c->answer_bytes = (unsigned)snprintf(c->answer, sizeof c->answer,
                                         "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n"
                                         "Cache-Control: no-store\r\n\r\n%s",
                                         n, text);
    c->body_left = 0;
    requests = most = first_in_second = 0;
}

static void answer_body(struct connection *c, const char *target, int64_t came_ns)
{
    const char *slash = strrchr(target, '/');
    char        date[64];
    time_t      now = time(NULL);
    struct tm   tm;

    count_request(came_ns);
    if (strstr(target, "/slow/") != NULL)
        nanosleep(&slow, NULL);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    c->body_left = slash != NULL ? strtoull(slash + 1, NULL, 10) : 0;
    c->answer_bytes = (unsigned)
        snprintf(c->answer, sizeof c->answer,
                 "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: application/octet-stream\r\n"
                 "Cache-Control: max-age=3600\r\nETag: \"bench\"\r\nContent-Length: %llu\r\n\r\n",
                 date, (unsigned long long)c->body_left);
}

/* False: the connection has ended. */
static bool send_rest(struct connection *c)
{
    while (c->answer_sent < c->answer_bytes || c->body_left > 0) {
        const uint64_t piece = c->body_left < BODY_BYTES ? c->body_left : BODY_BYTES;
        const unsigned head = c->answer_bytes - c->answer_sent;
        struct iovec   out[2] = { { c->answer + c->answer_sent, head }, { body, piece } };
        ssize_t        n = writev(c->fd, out, 2);

        if (n < 0)
            return errno == EAGAIN;
        if ((size_t)n < head) {
            c->answer_sent += (unsigned)n;
        } else {
            c->answer_sent = c->answer_bytes;
            c->body_left -= (uint64_t)n - head;
        }
    }
    return true;
}

/* Requests have no body, and one that comes before the answer to the last is out waits in the buffer. */
static bool take_requests(struct connection *c, int64_t came_ns)
{
    char *end;

    while (c->answer_sent == c->answer_bytes && c->body_left == 0 && (end = strstr(c->head, "\r\n\r\n")) != NULL) {
        char *target = strchr(c->head, ' '), *behind = target != NULL ? strchr(target + 1, ' ') : NULL;

        if (behind == NULL || behind > end)
            return false;
        *behind = '\0';
        c->answer_sent = 0;
        if (strstr(target, "/counts") != NULL)
            answer_counts(c);
        else
            answer_body(c, target, came_ns);
        c->have -= (unsigned)(end + 4 - c->head);
        memmove(c->head, end + 4, c->have + 1);
        if (!send_rest(c))
            return false;
    }
    return true;
}

/* This thread may be late, the kernel was not: *came_ns is when the bytes came, on the monotonic clock. */
static ssize_t receive(int fd, void *to, size_t bytes, int64_t *came_ns)
{
    union {
        struct cmsghdr align;
        char           bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec  into = { to, bytes };
    struct msghdr m = { .msg_iov = &into, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
    ssize_t       n = recvmsg(fd, &m, MSG_DONTWAIT);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    struct timespec stamp, real;

    *came_ns = now_ns();
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
        memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
        clock_gettime(CLOCK_REALTIME, &real);
        *came_ns -= (int64_t)(real.tv_sec - stamp.tv_sec) * 1000000000 + real.tv_nsec - stamp.tv_nsec;
    }
    return n;
}

static bool serve(struct connection *c)
{
    ssize_t n;
    int64_t came_ns;

    if (!send_rest(c))
        return false;
    n = receive(c->fd, c->head + c->have, HEAD_BYTES - c->have, &came_ns);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        return false;
    c->have += n > 0 ? (unsigned)n : 0;
    c->head[c->have] = '\0';
    return c->have < HEAD_BYTES && take_requests(c, came_ns);
}

static void accept_all(int listener, int epoll_fd)
{
    int fd, one = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };

        if (c == NULL)
            die("calloc");
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
            die("epoll_ctl");
    }
}

static int open_listener(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t          bytes = sizeof at;
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one); /* for what is accepted, too */
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &bytes) != 0)
        die("listen");
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

static void watch(int epoll_fd, int fd, void *what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

static int write_arrivals(const char *path)
{
    FILE    *out = fopen(path, "w");
    uint64_t from = requests > ARRIVALS ? requests - ARRIVALS : 0;

    for (uint64_t i = from; out != NULL && i < requests; i++)
        fwrite(&arrivals[i % ARRIVALS], sizeof arrivals[0], 1, out);
    return out != NULL && fclose(out) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static char listening, ending;
    int         epoll_fd = epoll_create1(EPOLL_CLOEXEC), listener = open_listener();

    signal(SIGPIPE, SIG_IGN); /* who asks may leave in mid-body */
    memset(body, 'x', sizeof body);
    watch(epoll_fd, listener, &listening);
    watch(epoll_fd, STDIN_FILENO, &ending);
    for (;;) {
        struct epoll_event events[EVENTS];
        int                n = epoll_wait(epoll_fd, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;

            if (events[i].data.ptr == &ending)
                return argc > 1 ? write_arrivals(argv[1]) : 0;
            if (events[i].data.ptr == &listening) {
                accept_all(listener, epoll_fd);
            } else if (!serve(c)) {
                close(c->fd);
                free(c);
            }
        }
    }
}
