/*
 * One HTTP request over the admin socket, or the query socket, and its JSON answer.
 */
#include "ctl/ctl.h"

#include "base/paths.h"
#include "ctl/program.h"
#include "ctl/text.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 108 };

int ctl_connect(const char *path)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int                fd;

    if (strlen(path) >= sizeof sa.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(sa.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
        return fd;
    if (fd >= 0) {
        int err = errno;

        close(fd);
        errno = err;
    }
    return -1;
}

/* Tries DIRECTORY/admin.sock and, for what only reads, DIRECTORY/query.sock. -1: errno of the admin socket. */
static int connect_in(const char *directory, bool reads)
{
    char path[PATH_BYTES];
    int  fd, err;

    if ((size_t)snprintf(path, sizeof path, "%s/admin.sock", directory) >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = ctl_connect(path);
    err = errno;
    if (fd < 0 && reads) {
        snprintf(path, sizeof path, "%s/query.sock", directory);
        fd = ctl_connect(path);
    }
    if (fd < 0)
        errno = err;
    return fd;
}

static void tell_refused(const char *socket)
{
    fprintf(stderr,
            "weirctl: %s is not for you: %s; who may change something there has the rights of "
            "the admin socket (admin.mode and admin.group, or its systemd unit)\n",
            socket, strerror(EACCES));
}

/* Nobody listens there, which is what a daemon that does not run looks like. */
static bool is_nobody(int err)
{
    return err == ENOENT || err == ECONNREFUSED || err == ENOTDIR;
}

enum { NO_DAEMON = -2 };

/* The socket that --socket names or, where that one is not for this user, the query socket beside it. */
static int connect_to_named(const char *socket, bool reads, bool has_config)
{
    char        path[PATH_BYTES];
    int         fd = ctl_connect(socket), err = errno;
    const char *name = strrchr(socket, '/');

    if (fd < 0 && err == EACCES && reads &&
        (size_t)snprintf(path, sizeof path, "%.*squery.sock", name != NULL ? (int)(name + 1 - socket) : 0, socket) <
            sizeof path)
        fd = ctl_connect(path);
    if (fd < 0 && has_config && is_nobody(err))
        return NO_DAEMON;
    if (fd < 0 && err == EACCES)
        tell_refused(socket);
    else if (fd < 0)
        fprintf(stderr, "weirctl: no weir answers at %s: %s\n", socket, strerror(err));
    return fd;
}

/* The user's own daemon first, then the system's.  NO_DAEMON: none runs, and `may_lack` says that this will do. */
static int connect_to_daemon(const struct ctl *c, bool reads, bool may_lack)
{
    static const char system[] = WEIR_RUNSTATEDIR "/weir";
    char              user[PATH_BYTES - 16] = "";
    int               fd = -1, err;

    if (c->socket != NULL)
        return connect_to_named(c->socket, reads, may_lack && c->config != NULL);
    if (may_lack && c->config != NULL)
        return NO_DAEMON; /* whose socket that is the configuration says */
    if (paths_user_runtime(user, sizeof user) == 0)
        fd = connect_in(user, reads);
    else
        user[0] = '\0';
    if (fd < 0)
        fd = connect_in(system, reads);
    err = errno;
    if (fd < 0 && may_lack && is_nobody(err))
        return NO_DAEMON;
    if (fd < 0 && err == EACCES)
        tell_refused(WEIR_RUNSTATEDIR "/weir/admin.sock");
    else if (fd < 0)
        fprintf(stderr,
                "weirctl: no weir answers at %s%s%s/admin.sock: %s; is it running? (--socket PATH names "
                "another)\n",
                user, user[0] != '\0' ? "/admin.sock or " : "", system, strerror(err));
    return fd;
}

static int send_all(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = send(fd, text, bytes, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        text += n;
        bytes -= (size_t)n;
    }
    return 0;
}

struct ctl_question {
    const char   *method, *path;
    const json_t *body;  /* NULL: none */
    struct slice  after; /* ptr NULL: nothing comes after it */
    const int    *handed;
    unsigned      handed_count;
};

enum { HANDED_MOST = 2 };

/* Its first byte takes descriptors along.  All in one: the kernel lets a read end where they were, and Weir would wait
 * for the rest, which is there already. */
static int send_handing(int fd, const struct ctl_question *q, struct iovec parts[2])
{
    union {
        struct cmsghdr aligned;
        char           bytes[CMSG_SPACE(HANDED_MOST * sizeof(int))];
    } control = { .bytes = "" };
    const size_t  room = q->handed_count * sizeof(int);
    struct msghdr m = { .msg_iov = parts,
                        .msg_iovlen = 2,
                        .msg_control = &control,
                        .msg_controllen = CMSG_SPACE(room) };
    ssize_t       n;

    control.aligned = (struct cmsghdr){ .cmsg_len = CMSG_LEN(room), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(&control.aligned), q->handed, room);
    do
        n = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)(parts[0].iov_len + parts[1].iov_len) ? 0 : -1;
}

static int send_request(int fd, const struct ctl_question *q)
{
    char  *text = q->body != NULL ? json_dumps(q->body, JSON_COMPACT) : NULL, *head = NULL;
    size_t bytes = text != NULL ? strlen(text) : 0;
    int    n = asprintf(&head,
                        "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                        q->method, q->path, bytes + (q->after.ptr != NULL ? 1 + q->after.len : 0));
    int    rc = n < 0                 ? -1
                : q->handed_count > 0 ? send_handing(fd, q, (struct iovec[]){ { head, (size_t)n }, { text, bytes } })
                                      : send_all(fd, head, (size_t)n);

    if (rc == 0 && text != NULL && q->handed_count == 0)
        rc = send_all(fd, text, bytes);
    if (rc == 0 && q->after.ptr != NULL)
        rc = send_all(fd, "\n", 1) == 0 ? send_all(fd, q->after.ptr, q->after.len) : -1;
    free(head);
    free(text);
    return rc;
}

/* -- answers, as they come -- */

static void take_field(struct ctl_answer *a, const char *line)
{
    static const char length[] = "Content-Length:", socket[] = "Weir-Socket:";

    if (strncasecmp(line, length, sizeof length - 1) == 0)
        a->length = atoll(line + sizeof length - 1);
    if (strncasecmp(line, socket, sizeof socket - 1) == 0 && sscanf(line + sizeof socket - 1, "%107s", a->socket) != 1)
        a->socket[0] = '\0';
}

/* False: nothing came, or no head. */
static bool read_head(struct ctl_answer *a)
{
    char  *line = NULL;
    size_t room = 0;
    bool   ok = getline(&line, &room, a->in) > 0 && sscanf(line, "HTTP/1.%*d %u", &a->status) == 1;

    while (ok && (ok = getline(&line, &room, a->in) > 0) && strcmp(line, "\r\n") != 0)
        take_field(a, line);
    free(line);
    return ok;
}

/* Long work shows that it goes on, to a person. */
static void wait_for_answer(int fd)
{
    struct pollfd watch = { .fd = fd, .events = POLLIN };
    unsigned      seconds = 0;
    const bool    is_seen = isatty(STDERR_FILENO) == 1;
    int           n;

    while ((n = poll(&watch, 1, 1000)) == 0 || (n < 0 && errno == EINTR))
        if (is_seen && n == 0)
            fprintf(stderr, "\rweirctl: working, %u s", ++seconds);
    if (seconds > 0)
        fputs("\r\033[K", stderr);
}

static bool ask_at(int fd, const struct ctl_question *q, struct ctl_answer *a)
{
    a->length = -1;
    a->status = 0;
    a->socket[0] = '\0';
    a->in = fdopen(fd, "r");
    if (a->in == NULL)
        close(fd);
    if (a->in == NULL || send_request(fd, q) != 0)
        return false;
    wait_for_answer(fd);
    return read_head(a);
}

/* weir --offline answers one call, and ends. */
static int start_offline(const struct ctl *c, pid_t *child)
{
    int sockets[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        return -1;
    fflush(NULL);
    *child = fork();
    if (*child == 0) {
        dup2(sockets[1], STDIN_FILENO);
        program_become(c->config != NULL ? (const char *[]){ "weir", "-c", c->config, "--offline", NULL }
                                         : (const char *[]){ "weir", "--offline", NULL });
        fprintf(stderr, "weirctl: no weir is running, and weir --offline cannot be run: %s\n", strerror(errno));
        _exit(1);
    }
    close(sockets[1]);
    if (*child < 0)
        close(sockets[0]);
    return *child < 0 ? -1 : sockets[0];
}

static void end_child(struct ctl_answer *a)
{
    int status = 0;

    if (a->child > 0)
        while (waitpid(a->child, &status, 0) < 0 && errno == EINTR)
            ;
    if (a->child > 0 && WIFSIGNALED(status) && WTERMSIG(status) != SIGPIPE)
        fprintf(stderr,
                "weirctl: weir --offline was ended by a signal (%s): the database may be damaged, and the next start "
                "of "
                "weir looks at it\n",
                strsignal(WTERMSIG(status)));
    a->child = 0;
}

/* The cache without its daemon; where one has it after all, that one is asked. */
static bool ask_offline(const struct ctl *c, const struct ctl_question *q, struct ctl_answer *a)
{
    char socket[sizeof a->socket];
    int  fd = start_offline(c, &a->child);

    if (fd < 0) {
        fprintf(stderr, "weirctl: cannot run weir --offline: %s\n", strerror(errno));
        return false;
    }
    if (!ask_at(fd, q, a))
        return false; /* it has said why */
    if (a->status != 409 || a->socket[0] == '\0')
        return true;
    strcpy(socket, a->socket);
    fd = ctl_connect(socket);
    if (fd < 0)
        return true; /* whose it is, then, and where */
    fclose(a->in);
    end_child(a);
    if (ask_at(fd, q, a))
        return true;
    fprintf(stderr, "weirctl: the daemon broke off its answer\n");
    return false;
}

static void print_said(const json_t *problem, const char *member, const char *otherwise)
{
    const char *said = json_string_value(json_object_get(problem, member));

    said = said != NULL ? said : otherwise;
    text_print(stderr, said, strlen(said), TEXT_LINES);
}

static void tell_problem(struct ctl_answer *a)
{
    json_t *problem = json_loadf(a->in, 0, NULL);

    fputs("weirctl: ", stderr);
    print_said(problem, "title", "refused");
    fputs(": ", stderr);
    print_said(problem, "detail", "");
    fputs("\n", stderr);
    json_decref(problem);
}

/* A question that is too long for a target changes nothing either, nor what concerns the caller's own alone. */
static bool only_reads(const char *method, const char *path)
{
    return strcmp(method, "GET") == 0 || strcmp(path, "/explain") == 0 || strcmp(path, "/run") == 0 ||
           strcmp(path, "/run/end") == 0;
}

/* False: said why. */
static bool open_answer(const struct ctl *c, const struct ctl_question *q, bool may_lack, struct ctl_answer *a)
{
    int fd = connect_to_daemon(c, only_reads(q->method, q->path), may_lack);

    *a = (struct ctl_answer){ .in = NULL };
    if (fd == NO_DAEMON)
        return ask_offline(c, q, a);
    if (fd < 0)
        return false;
    if (ask_at(fd, q, a))
        return true;
    fprintf(stderr, "weirctl: the daemon broke off its answer\n");
    return false;
}

static bool open_whole(const struct ctl *c, const struct ctl_question *q, bool may_lack, struct ctl_answer *a)
{
    bool ok = open_answer(c, q, may_lack, a);

    if (ok && a->status >= 400) {
        tell_problem(a);
        ok = false;
    }
    if (!ok)
        ctl_close(a);
    return ok;
}

bool ctl_open(const struct ctl *c, const char *method, const char *path, json_t *body, bool may_lack,
              struct ctl_answer *a)
{
    bool ok = open_whole(c, &(struct ctl_question){ method, path, body, SLICE_NONE, c->handed, c->handed_count },
                         may_lack, a);

    json_decref(body);
    return ok;
}

void ctl_close(struct ctl_answer *a)
{
    if (a->in != NULL)
        fclose(a->in);
    a->in = NULL;
    end_child(a);
}

static json_t *ask(const struct ctl *c, const struct ctl_question *q, bool may_lack)
{
    struct ctl_answer a;
    json_t           *parsed;

    if (!open_whole(c, q, may_lack, &a))
        return NULL;
    parsed = json_loadf(a.in, 0, NULL);
    if (parsed == NULL)
        fprintf(stderr, "weirctl: the daemon broke off its answer, or it is no JSON\n");
    ctl_close(&a);
    return parsed;
}

json_t *ctl_ask_stored(const struct ctl *c, const char *method, const char *path, json_t *body, bool may_lack)
{
    json_t *answer = ask(c, &(struct ctl_question){ .method = method, .path = path, .body = body }, may_lack);

    json_decref(body);
    return answer;
}

json_t *ctl_ask_with(const struct ctl *c, const char *method, const char *path, json_t *body, struct slice after)
{
    json_t *answer = ask(c, &(struct ctl_question){ .method = method, .path = path, .body = body, .after = after },
                         false);

    json_decref(body);
    return answer;
}

json_t *ctl_ask(const struct ctl *c, const char *method, const char *path, json_t *body)
{
    return ctl_ask_stored(c, method, path, body, false);
}

bool ctl_print_json(const struct ctl *c, const json_t *answer)
{
    if (!c->json)
        return false;
    json_dumpf(answer, stdout, JSON_INDENT(2));
    putchar('\n');
    return true;
}

int ctl_print_dropped(const struct ctl *c, json_t *answer)
{
    if (answer == NULL)
        return 1;
    if (!ctl_print_json(c, answer))
        printf("dropped %lld responses\n", (long long)json_integer_value(json_object_get(answer, "dropped")));
    json_decref(answer);
    return 0;
}

static char *turn(size_t *bytes)
{
    static char     buffers[4][32];
    static unsigned next;

    *bytes = sizeof buffers[0];
    return buffers[next++ % 4];
}

long long ctl_number(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

const char *ctl_size(double bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    unsigned                 u = 0;
    size_t                   room;
    char                    *out = turn(&room);

    while (bytes >= 1024 && u < 4) {
        bytes /= 1024;
        u++;
    }
    snprintf(out, room, u == 0 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
    return out;
}

const char *ctl_duration(double s)
{
    size_t room;
    char  *out = turn(&room);

    if (s < 60)
        snprintf(out, room, "%.1fs", s);
    else if (s < 3600)
        snprintf(out, room, "%dm %ds", (int)s / 60, (int)s % 60);
    else if (s < 86400)
        snprintf(out, room, "%dh %dm", (int)s / 3600, (int)s / 60 % 60);
    else
        snprintf(out, room, "%.0fd %dh", (double)(int64_t)(s / 86400), (int)((int64_t)s / 3600 % 24));
    return out;
}
