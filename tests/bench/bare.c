/*
 * The floor of what passes: libmicrohttpd and libcurl in one loop of one thread, and nothing between them.
 *
 *   bare PORT ORIGIN_PORT      both on 127.0.0.1; ends with a signal
 *
 * It asks for what stands after the first part of the path ("/pass/1024" asks for "/1024"), hands fields on in both
 * directions as a proxy must, keeps connections and handles, and answers when the whole body is there.  It knows no
 * errors but 502, no budget, no cache, no log: what Weir takes more than this is what Weir does.
 */
#include <curl/curl.h>
#include <microhttpd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, LINE_BYTES = 4096, CONNECTIONS = 64, POOL_BYTES = 65536, LISTENER = -1, MHD = -2 };

struct exchange {
    struct exchange       *next_idle;
    struct MHD_Connection *mhd;
    struct MHD_Response   *response;
    CURL                  *easy;
    struct curl_slist     *fields;
    char                  *body, *head; /* the head's lines as they came, without their ends */
    size_t                 body_bytes, body_room, head_bytes, head_room;
    long                   status;
    bool                   asked, answered;
};

static CURLM           *multi;
static struct exchange *idle;
static int              epoll_fd;
static int64_t          curl_due_ms = -1;
static char             origin[64];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void *grow(void *old, size_t *room, size_t wanted)
{
    if (wanted <= *room)
        return old;
    *room = wanted * 2;
    old = realloc(old, *room);
    if (old == NULL)
        die("realloc");
    return old;
}

/* -- libcurl's side -- */

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct exchange *x = context;
    size_t           bytes = size * count, text = bytes;

    while (text > 0 && (line[text - 1] == '\n' || line[text - 1] == '\r'))
        text--;
    x->head = grow(x->head, &x->head_room, x->head_bytes + text + 1);
    memcpy(x->head + x->head_bytes, line, text);
    x->head[x->head_bytes + text] = '\0';
    x->head_bytes += text + 1;
    return bytes;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct exchange *x = context;

    x->body = grow(x->body, &x->body_room, x->body_bytes + size * count);
    memcpy(x->body + x->body_bytes, bytes, size * count);
    x->body_bytes += size * count;
    return size * count;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    struct epoll_event event = { .data.fd = fd };

    (void)easy, (void)context;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u);
    epoll_ctl(epoll_fd, known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
    curl_multi_assign(multi, fd, &multi);
    return 0;
}

static int on_timer(CURLM *m, long timeout_ms, void *context)
{
    (void)m, (void)context;
    curl_due_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    return 0;
}

/* True: somebody was resumed, of which MHD_get_timeout() knows nothing. */
static bool take_finished(void)
{
    CURLMsg *message;
    bool     any = false;
    int      left, running;

    if (curl_due_ms >= 0 && curl_due_ms <= now_ms()) {
        curl_due_ms = -1;
        curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    while ((message = curl_multi_info_read(multi, &left)) != NULL) {
        struct exchange *x = NULL;
        CURLcode         code = message->data.result;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x);
        curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &x->status);
        curl_multi_remove_handle(multi, x->easy);
        if (code != CURLE_OK)
            x->status = 502;
        x->answered = any = true;
        MHD_resume_connection(x->mhd);
    }
    return any;
}

/* -- an exchange -- */

static struct exchange *exchange_begin(struct MHD_Connection *mhd)
{
    struct exchange *x = idle;

    if (x != NULL) {
        idle = x->next_idle;
    } else {
        x = calloc(1, sizeof *x);
        if (x == NULL || (x->easy = curl_easy_init()) == NULL)
            die("curl_easy_init");
        curl_easy_setopt(x->easy, CURLOPT_URL, origin);
        curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
        curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(x->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(x->easy, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(x->easy, CURLOPT_HEADERDATA, x);
        curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
    }
    x->mhd = mhd;
    x->body_bytes = x->head_bytes = 0;
    x->asked = x->answered = false;
    return x;
}

static bool is_of_connection(const char *name)
{
    return strcasecmp(name, "Connection") == 0 || strcasecmp(name, "Transfer-Encoding") == 0 ||
           strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Keep-Alive") == 0;
}

static enum MHD_Result copy_field(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct exchange *x = context;
    char             line[LINE_BYTES];

    (void)kind;
    if (!is_of_connection(name)) {
        snprintf(line, sizeof line, "%s: %s", name, value);
        x->fields = curl_slist_append(x->fields, line);
    }
    return MHD_YES;
}

static void ask(struct exchange *x, const char *url)
{
    const char *target = strchr(url + 1, '/');

    x->asked = true;
    MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, copy_field, x);
    x->fields = curl_slist_append(x->fields, "Via: 1.1 bare");
    curl_easy_setopt(x->easy, CURLOPT_REQUEST_TARGET, target != NULL ? target : "/");
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->fields);
    MHD_suspend_connection(x->mhd);
    curl_multi_add_handle(multi, x->easy);
}

static enum MHD_Result answer(struct exchange *x)
{
    size_t          at = x->head_bytes > 0 ? strlen(x->head) + 1 : 0; /* after the status line */
    enum MHD_Result queued;

    x->response = MHD_create_response_from_buffer(x->body_bytes, x->body, MHD_RESPMEM_PERSISTENT);
    for (; at < x->head_bytes; at += strlen(x->head + at) + 1) {
        char *name = x->head + at, *colon = strchr(name, ':');

        if (colon == NULL)
            continue;
        *colon = '\0';
        if (!is_of_connection(name))
            MHD_add_response_header(x->response, name, colon + 1 + strspn(colon + 1, " "));
        *colon = ':';
    }
    MHD_add_response_header(x->response, "Via", "1.1 bare");
    queued = MHD_queue_response(x->mhd, (unsigned)x->status, x->response);
    MHD_destroy_response(x->response);
    return queued;
}

/* -- libmicrohttpd's side -- */

static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_bytes, void **own)
{
    struct exchange *x = *own;

    (void)context, (void)method, (void)version, (void)upload, (void)upload_bytes;
    if (x == NULL) {
        *own = exchange_begin(mhd);
        return MHD_YES;
    }
    if (x->answered)
        return answer(x);
    if (!x->asked)
        ask(x, url);
    return MHD_YES;
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **own, enum MHD_RequestTerminationCode why)
{
    struct exchange *x = *own;

    (void)context, (void)mhd, (void)why;
    if (x == NULL)
        return;
    if (x->asked && !x->answered)
        curl_multi_remove_handle(multi, x->easy);
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(x->fields);
    x->fields = NULL;
    x->next_idle = idle;
    idle = x;
}

static struct MHD_Daemon *start_daemon(void)
{
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                            on_request, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_SIGPIPE_HANDLED_BY_APP,
                            1, MHD_OPTION_END);
}

static int open_listener(const char *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0)
        die("listen");
    return fd;
}

static void accept_all(int listener, struct MHD_Daemon *daemon)
{
    struct sockaddr_in from;
    socklen_t          bytes = sizeof from;
    int                fd, one = 1;

    while ((fd = accept4(listener, (struct sockaddr *)&from, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        MHD_add_connection(daemon, fd, (struct sockaddr *)&from, bytes);
        bytes = sizeof from;
    }
}

static void watch(int fd, int as)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = as };

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

static int wait_ms(struct MHD_Daemon *daemon)
{
    MHD_UNSIGNED_LONG_LONG ms;
    int64_t                most = 1000;

    if (MHD_get_timeout(daemon, &ms) == MHD_YES && (int64_t)ms < most)
        most = (int64_t)ms;
    if (curl_due_ms >= 0 && curl_due_ms - now_ms() < most)
        most = curl_due_ms - now_ms();
    return most > 0 ? (int)most : 0;
}

static void serve(struct MHD_Daemon *daemon, int listener)
{
    for (;;) {
        struct epoll_event events[EVENTS];
        int                n = epoll_wait(epoll_fd, events, EVENTS, wait_ms(daemon)), running;

        for (int i = 0; i < n; i++) {
            const int fd = events[i].data.fd;

            if (fd == LISTENER)
                accept_all(listener, daemon);
            else if (fd >= 0)
                curl_multi_socket_action(multi, fd,
                                         ((events[i].events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                                             ((events[i].events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                                             ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0),
                                         &running);
        }
        take_finished();
        do
            MHD_run(daemon);
        while (take_finished()); /* what has just been asked goes out at once */
    }
}

int main(int argc, char **argv)
{
    struct MHD_Daemon *daemon;
    int                listener;

    if (argc != 3) {
        fputs("usage: bare PORT ORIGIN_PORT\n", stderr);
        return 2;
    }
    snprintf(origin, sizeof origin, "http://127.0.0.1:%s/", argv[2]);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    daemon = start_daemon();
    if (multi == NULL || daemon == NULL || epoll_fd < 0)
        die("start");
    listener = open_listener(argv[1]);
    watch(listener, LISTENER);
    watch(MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, MHD);
    serve(daemon, listener);
    return 0;
}
