/*
 * See program.h.
 */
#include "ctl/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void beside(char *out, size_t bytes)
{
    ssize_t n = readlink("/proc/self/exe", out, bytes - 1);
    char   *slash;

    out[n > 0 ? n : 0] = '\0';
    slash = strrchr(out, '/');
    if (slash != NULL && (size_t)(slash - out) + sizeof "/weir" <= bytes)
        strcpy(slash, "/weir");
}

void program_become(const char *const arguments[])
{
    char *const *const own = (char *const *)(uintptr_t)arguments; /* execv() changes none of them */
    char               path[PATH_MAX];

    beside(path, sizeof path);
    execv(path, own);
    execv(WEIR_SBINDIR "/weir", own);
    execvp("weir", own);
}

/* The child reads from one pipe and writes into another. */
static pid_t start(const char *const arguments[], int *to, int *from)
{
    int   in[2], out[2];
    pid_t child;

    if (pipe2(in, O_CLOEXEC) != 0)
        return -1;
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return -1;
    }
    fflush(NULL);
    child = fork();
    if (child == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        program_become(arguments);
        fprintf(stderr, "weirctl: cannot run weir: %s\n", strerror(errno));
        _exit(1);
    }
    close(in[0]);
    close(out[1]);
    *to = in[1];
    *from = out[0];
    return child;
}

static bool has_failed(pid_t child)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        fprintf(stderr, "weirctl: weir was ended by a signal (%s)\n", strsignal(WTERMSIG(status)));
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

json_t *program_ask(const char *const arguments[], const json_t *question, bool *failed)
{
    int     to, from;
    pid_t   child = start(arguments, &to, &from);
    json_t *answer;
    FILE   *in, *out;

    *failed = true;
    if (child < 0) {
        fprintf(stderr, "weirctl: cannot run weir: %s\n", strerror(errno));
        return NULL;
    }
    signal(SIGPIPE, SIG_IGN);
    out = fdopen(to, "w");
    if (question != NULL)
        json_dumpf(question, out, JSON_COMPACT);
    fclose(out); /* one that found an error has ended by now, and said so */
    in = fdopen(from, "r");
    answer = json_loadf(in, JSON_DISABLE_EOF_CHECK, NULL);
    fclose(in);
    *failed = has_failed(child);
    return answer;
}
