/*
 * A load generator for `make bench`: keep-alive clients on one thread.
 *
 *   load [-n | -r RATE] PORT PATH CLIENTS SECONDS|COUNTx [FIELD]...
 *
 * Every client sends a GET, reads the answer to its end (Content-Length
 * only) and sends the next one, for that time or until there were that many.
 * With -n each request has a connection of its own, whose time counts; it does not
 * set TCP_NODELAY, as few simple clients do.  With -r so many requests a second are offered, and no more.
 * A '#' in the path stands for the number of the request, from 0.  Prints
 * requests a second and how long they took.  Anything but a complete 200 or a
 * 304 ends it with status 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_BYTES = 16384, BATCH = 256, BUCKETS = 50000, BUCKET_NS = 10000 };

struct client {
    int      fd;
    bool     rests; /* until its next request is due */
    int64_t  sent_ns;
    uint64_t body_left;
    unsigned head_length;
    char     head[HEAD_BYTES + 1];
};

/* Counts per 10 microseconds, the last one for all that is over half a second. */
static uint64_t took[BUCKETS + 1];
static uint64_t done, sent, at_most = UINT64_MAX, worst_ns;
static char     request[8192]; /* with a '#' where the number of the request is to stand */
static char    *number;        /* that '#'; NULL: all are alike */
static bool     anew;          /* a connection for each request */
static double   rate;          /* requests a second; 0: as many as there may be */
static int64_t  begin_ns;
static int      epoll_fd;
static uint16_t port;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, errno != 0 ? strerror(errno) : "not as it should be");
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void open_client(struct client *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    int                one = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("connect");
    if (!anew)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void send_request(struct client *c)
{
    char    numbered[sizeof request + 32];
    ssize_t length;

    if (sent == at_most)
        return;
    c->sent_ns = now_ns();
    c->rests = rate > 0 && (double)sent >= rate * ((double)(c->sent_ns - begin_ns) / 1e9);
    if (c->rests)
        return;
    if (anew)
        open_client(c);
    if (number != NULL)
        length = snprintf(numbered, sizeof numbered, "%.*s%llu%s", (int)(number - request), request,
                          (unsigned long long)sent, number + 1);
    else
        length = snprintf(numbered, sizeof numbered, "%s", request);
    sent++;
    c->head_length = 0;
    c->body_left = 0;
    if (send(c->fd, numbered, (size_t)length, MSG_NOSIGNAL) != length)
        die("send");
}

static void finish(struct client *c)
{
    uint64_t ns = (uint64_t)(now_ns() - c->sent_ns);
    uint64_t bucket = ns / BUCKET_NS;

    took[bucket < BUCKETS ? bucket : BUCKETS]++;
    worst_ns = ns > worst_ns ? ns : worst_ns;
    done++;
    if (anew) {
        close(c->fd);
        c->fd = -1;
    }
    send_request(c);
}

/* The head is there when its empty line is; what follows is the beginning of the body. */
static void read_head(struct client *c)
{
    ssize_t  n = recv(c->fd, c->head + c->head_length, HEAD_BYTES - c->head_length, MSG_DONTWAIT);
    char    *end, *length;
    uint64_t body, have;

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("the connection ended");
    c->head_length += (unsigned)n;
    c->head[c->head_length] = '\0';
    end = strstr(c->head, "\r\n\r\n");
    if (end == NULL)
        return;
    errno = 0;
    length = strcasestr(c->head, "\r\nContent-Length:");
    if (strncmp(c->head, "HTTP/1.1 304", 12) == 0)
        body = 0;
    else if (strncmp(c->head, "HTTP/1.1 200", 12) == 0 && length != NULL && length < end)
        body = strtoull(length + 17, NULL, 10);
    else
        die(strtok(c->head, "\r"));
    have = c->head_length - (uint64_t)(end + 4 - c->head);
    c->body_left = body - have;
    c->head_length = HEAD_BYTES; /* marks that the head is done */
    if (c->body_left == 0)
        finish(c);
}

static void read_some(struct client *c)
{
    static char sink[262144];
    ssize_t     n;

    if (c->head_length < HEAD_BYTES) {
        read_head(c);
        return;
    }
    n = recv(c->fd, sink, c->body_left < sizeof sink ? c->body_left : sizeof sink, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("the connection ended in a body");
    c->body_left -= (uint64_t)n;
    if (c->body_left == 0)
        finish(c);
}

static double percentile_us(double share)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i <= BUCKETS; i++) {
        seen += took[i];
        if ((double)seen >= share * (double)done)
            return (i + 1) * (BUCKET_NS / 1000.0);
    }
    return 0;
}

static void prepare_request(char **arguments, const char *path)
{
    FILE *out = fmemopen(request, sizeof request, "w");

    if (out == NULL)
        die("request");
    fprintf(out, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", path);
    for (; *arguments != NULL; arguments++)
        fprintf(out, "%s\r\n", *arguments);
    fprintf(out, "\r\n");
    fclose(out);
    number = strchr(request, '#');
}

int main(int argc, char **argv)
{
    unsigned       clients;
    struct client *client;
    int64_t        end_ns;

    anew = argc > 1 && strcmp(argv[1], "-n") == 0;
    argc -= anew;
    argv += anew;
    if (argc > 2 && strcmp(argv[1], "-r") == 0) {
        rate = atof(argv[2]);
        argc -= 2;
        argv += 2;
    }
    if (argc < 5) {
        fprintf(stderr, "usage: load [-n | -r RATE] PORT PATH CLIENTS SECONDS|COUNTx [FIELD]...\n");
        return 2;
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    port = (uint16_t)atoi(argv[1]);
    clients = (unsigned)atoi(argv[3]);
    client = calloc(clients, sizeof *client);
    if (client == NULL || clients == 0 || epoll_fd < 0)
        die("clients");
    prepare_request(argv + 5, argv[2]);
    for (unsigned i = 0; i < clients && !anew; i++)
        open_client(&client[i]);

    if (argv[4][strspn(argv[4], "0123456789")] == 'x')
        at_most = strtoull(argv[4], NULL, 10);
    begin_ns = now_ns();
    end_ns = at_most != UINT64_MAX ? INT64_MAX : begin_ns + (int64_t)(atof(argv[4]) * 1e9);
    for (unsigned i = 0; i < clients; i++)
        send_request(&client[i]);
    while (done < at_most && now_ns() < end_ns) {
        struct epoll_event event[BATCH];
        int                n = epoll_wait(epoll_fd, event, BATCH, rate > 0 ? 1 : 100);

        for (int i = 0; i < n; i++)
            read_some(event[i].data.ptr);
        for (unsigned i = 0; i < clients; i++)
            if (client[i].rests)
                send_request(&client[i]);
    }
    printf("%llu requests, %.0f requests/s, p50 %.0f us, p99 %.0f us, worst %.0f us\n", (unsigned long long)done,
           (double)done / ((double)(now_ns() - begin_ns) / 1e9), percentile_us(0.5), percentile_us(0.99),
           (double)worst_ns / 1e3);
    for (unsigned i = 0; i < clients; i++)
        if (client[i].fd > 0)
            close(client[i].fd);
    free(client);
    close(epoll_fd);
    return done > 0 ? 0 : 1;
}
