/*
 * One HTTP request over the admin socket, or the query socket, and its JSON answer.
 */
#include "ctl/ctl.h"

#include "base/files.h"
#include "base/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX ((size_t)1 << 30)

enum { PATH_BYTES = 108 };

static int connect_to(const char *path)
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
    fd = connect_to(path);
    err = errno;
    if (fd < 0 && reads) {
        snprintf(path, sizeof path, "%s/query.sock", directory);
        fd = connect_to(path);
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

/* The socket that --socket names or, where that one is not for this user, the query socket beside it. */
static int connect_to_named(const char *socket, bool reads)
{
    char        path[PATH_BYTES];
    int         fd = connect_to(socket), err = errno;
    const char *name = strrchr(socket, '/');

    if (fd < 0 && err == EACCES && reads &&
        (size_t)snprintf(path, sizeof path, "%.*squery.sock", name != NULL ? (int)(name + 1 - socket) : 0, socket) <
            sizeof path)
        fd = connect_to(path);
    if (fd < 0 && err == EACCES)
        tell_refused(socket);
    else if (fd < 0)
        fprintf(stderr, "weirctl: no weir answers at %s: %s\n", socket, strerror(err));
    return fd;
}

/* The user's own daemon first, then the system's. */
static int connect_to_daemon(const struct ctl *c, bool reads)
{
    static const char system[] = WEIR_RUNSTATEDIR "/weir";
    char              user[PATH_BYTES - 16] = "";
    int               fd = -1, err;

    if (c->socket != NULL)
        return connect_to_named(c->socket, reads);
    if (paths_user_runtime(user, sizeof user) == 0)
        fd = connect_in(user, reads);
    else
        user[0] = '\0';
    if (fd < 0)
        fd = connect_in(system, reads);
    err = errno;
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

static int send_request(int fd, const char *method, const char *path, json_t *body)
{
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    char  head[512];
    int   n = snprintf(head, sizeof head,
                       "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                         "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                       method, path, text != NULL ? strlen(text) : 0);
    int   rc = send_all(fd, head, (size_t)n);

    if (rc == 0 && text != NULL)
        rc = send_all(fd, text, strlen(text));
    free(text);
    return rc;
}

json_t *ctl_ask(const struct ctl *c, const char *method, const char *path, json_t *body)
{
    int     fd = connect_to_daemon(c, strcmp(method, "GET") == 0), status = 0;
    char   *answer = NULL, *content = NULL;
    size_t  bytes;
    json_t *parsed = NULL;

    if (fd < 0)
        goto done;
    if (send_request(fd, method, path, body) == 0)
        answer = file_read_all(fd, ANSWER_BYTES_MAX, &bytes);
    close(fd);
    content = answer != NULL ? strstr(answer, "\r\n\r\n") : NULL;
    if (content == NULL || sscanf(answer, "HTTP/1.%*d %d", &status) != 1) {
        fprintf(stderr, "weirctl: the daemon broke off its answer\n");
        goto done;
    }
    parsed = json_loads(content + 4, 0, NULL);
    if (parsed == NULL) {
        fprintf(stderr, "weirctl: the daemon's answer (status %d) is no JSON\n", status);
    } else if (status >= 400) {
        const char *title = json_string_value(json_object_get(parsed, "title"));
        const char *detail = json_string_value(json_object_get(parsed, "detail"));

        fprintf(stderr, "weirctl: %s: %s\n", title != NULL ? title : "refused", detail != NULL ? detail : "");
        json_decref(parsed);
        parsed = NULL;
    }
done:
    free(answer);
    json_decref(body);
    return parsed;
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
