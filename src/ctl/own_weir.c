/*
 * See own_weir.h.
 */
#include "ctl/own_weir.h"

#include "base/arena.h"
#include "base/files.h"
#include "ctl/ctl.h"
#include "ctl/program.h"
#include "http/url.h"
#include "snapshot/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_MS = 10, LOOKS_MOST = 6000, HOSTS_MOST = 10000 };

/* -- its configuration -- */

struct host_list {
    struct arena  arena;
    struct slice *all; /* "https://api.example.org" */
    size_t        count, room;
};

/* What a snapshot says is not to be believed: nothing of it may end a string. */
static bool is_plain(struct slice origin)
{
    for (size_t i = 0; i < origin.len; i++)
        if ((unsigned char)origin.ptr[i] <= ' ' || strchr("\"\\@#?%", origin.ptr[i]) != NULL ||
            (unsigned char)origin.ptr[i] >= 0x7f)
            return false;
    return true;
}

static struct slice authority_of(struct slice origin)
{
    return slice_sub(origin, slice_find(origin, '/', 0) + 2, origin.len);
}

static void add_host(struct host_list *l, struct slice url)
{
    size_t       scheme = slice_find(url, ':', 0);
    size_t       end = scheme + 3 < url.len ? slice_find(url, '/', scheme + 3) : url.len;
    struct slice origin = slice_sub(url, 0, end), host;
    unsigned     port;

    if (!(slice_starts_with(url, SLICE("http://")) || slice_starts_with(url, SLICE("https://"))) || !is_plain(origin) ||
        !http_authority_parse(authority_of(origin), &host, &port) || l->count >= HOSTS_MOST)
        return;
    for (size_t i = l->count; i > 0; i--) /* they are sorted by URL: the newest is the likeliest */
        if (slice_eq_nocase(authority_of(l->all[i - 1]), authority_of(origin)))
            return;
    ARENA_ROOM(&l->arena, l->all, l->room, l->count);
    l->all[l->count++] = arena_copy(&l->arena, origin);
}

static bool read_hosts(struct host_list *l, const char *path)
{
    struct fault            why = { "" };
    int                     fd = open(path, O_RDONLY | O_CLOEXEC);
    struct snapshot_reader *s = fd >= 0 ? snapshot_open(fd, NULL, &why) : NULL;
    bool                    ok = s != NULL;

    if (fd < 0)
        snprintf(why.text, sizeof why.text, "%s", strerror(errno));
    for (size_t i = 0; ok && i < snapshot_count(s); i++) {
        struct snapshot_exchange e;
        struct arena             a = { 0 };

        ok = snapshot_get(s, i, &e, &a, &why);
        if (ok)
            add_host(l, e.url);
        arena_free(&a);
    }
    if (ok && l->count == 0) {
        ok = false;
        snprintf(why.text, sizeof why.text, "nothing is recorded in it");
    }
    if (!ok)
        fprintf(stderr, "weirctl: %s: %s\n", path, why.text);
    snapshot_close(s);
    if (fd >= 0)
        close(fd);
    return ok;
}

static void put_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static bool write_config(const struct own_weir *w, const struct host_list *l, const char *snapshot)
{
    FILE *out = fopen(w->config, "we");

    if (out == NULL)
        return false;
    fprintf(out,
            "listen = [\"unix:%s/data.sock\"];\nworkers = 1;\nproxy = { listen = \"127.0.0.1:0\"; };\n"
            "admin = { socket = \"%s\"; query = \"\"; };\ncache = { path = \"%s/cache\"; };\n"
            "state = { path = \"%s/state\"; };\n"
            "log = { level = \"warning\"; access = \"%s\"; format = \"json\"; };\nupstreams = (\n",
            w->directory, w->socket, w->directory, w->directory, w->access);
    for (size_t i = 0; i < l->count; i++) {
        fprintf(out, "{ name = \"h%zu\"; url = \"" SLICE_FMT "\"; mode = \"replay\"; snapshot = { path = ", i,
                SLICE_ARG(l->all[i]));
        put_text(out, snapshot);
        fprintf(out, "; }; }%s\n", i + 1 < l->count ? "," : "");
    }
    fputs(");\n", out);
    return fclose(out) == 0;
}

/* -- its life -- */

static bool make_directory(struct own_weir *w)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *temporary = getenv("TMPDIR");
    const char *places[] = { runtime, temporary, "/tmp" };

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (places[i] == NULL || places[i][0] != '/' || strlen(places[i]) > 64 || strpbrk(places[i], "\"\\") != NULL)
            continue;
        snprintf(w->directory, sizeof w->directory, "%s/weir-run-XXXXXX", places[i]);
        if (mkdtemp(w->directory) != NULL) {
            snprintf(w->config, sizeof w->config, "%s/weir.conf", w->directory);
            snprintf(w->socket, sizeof w->socket, "%s/admin.sock", w->directory);
            snprintf(w->log, sizeof w->log, "%s/weir.log", w->directory);
            snprintf(w->access, sizeof w->access, "%s/access.log", w->directory);
            return true;
        }
    }
    w->directory[0] = '\0';
    fprintf(stderr, "weirctl: no directory of its own can be made in /tmp: %s\n", strerror(errno));
    return false;
}

/* In a process group of its own: what the terminal sends is for the program. It does not outlive weirctl. */
static void become_weir(const struct own_weir *w, pid_t parent)
{
    int log = open(w->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), nothing = open("/dev/null", O_RDWR);

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("LISTEN_FDS");
    unsetenv("WATCHDOG_USEC");
    dup2(nothing, STDIN_FILENO);
    dup2(nothing, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    program_become((const char *[]){ "weir", "-c", w->config, NULL });
    fprintf(stderr, "cannot run weir: %s\n", strerror(errno));
    _exit(1);
}

/* What it had to say. */
static void tell_log(const struct own_weir *w)
{
    FILE *in = fopen(w->log, "re");
    char  line[1000];

    fprintf(stderr, "weirctl: the weir that is to replay did not start:\n");
    while (in != NULL && fgets(line, sizeof line, in) != NULL)
        fputs(line, stderr);
    if (in != NULL)
        fclose(in);
}

static bool await_socket(struct own_weir *w)
{
    for (unsigned i = 0; i < LOOKS_MOST; i++) {
        int fd = ctl_connect(w->socket), status;

        if (fd >= 0) {
            close(fd);
            return true;
        }
        if (waitpid(w->process, &status, WNOHANG) != 0) {
            w->process = 0;
            break;
        }
        poll(NULL, 0, LOOK_MS);
    }
    tell_log(w);
    return false;
}

bool own_weir_start(struct own_weir *w, const char *snapshot)
{
    const pid_t      self = getpid();
    struct host_list hosts = { .count = 0 };
    char            *path = realpath(snapshot, NULL);
    bool             ok = false;

    *w = (struct own_weir){ .process = 0 };
    if (path == NULL)
        fprintf(stderr, "weirctl: %s: %s\n", snapshot, strerror(errno));
    else
        ok = read_hosts(&hosts, path) && make_directory(w);
    if (ok && !write_config(w, &hosts, path)) {
        fprintf(stderr, "weirctl: %s: %s\n", w->config, strerror(errno));
        ok = false;
    }
    arena_free(&hosts.arena);
    free(path);
    if (!ok)
        return false;
    fflush(NULL);
    w->process = fork();
    if (w->process == 0)
        become_weir(w, self);
    if (w->process < 0) {
        w->process = 0;
        fprintf(stderr, "weirctl: cannot run weir: %s\n", strerror(errno));
        return false;
    }
    return await_socket(w);
}

void own_weir_stop(struct own_weir *w)
{
    int status;

    if (w->process <= 0)
        return;
    kill(w->process, SIGTERM);
    while (waitpid(w->process, &status, 0) < 0 && errno == EINTR)
        ;
    w->process = 0;
}

void own_weir_end(struct own_weir *w)
{
    own_weir_stop(w);
    if (w->directory[0] != '\0')
        file_remove_tree(w->directory);
    w->directory[0] = '\0';
}
