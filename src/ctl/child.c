/*
 * See child.h.
 *
 * A terminal sends SIGINT and SIGQUIT to all in the foreground, so the program has them already: weirctl only stays to
 * say what there is to be said.  What is sent to weirctl alone is handed on.
 */
#include "ctl/child.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const int handed_on[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

int child_become(char *const arguments[])
{
    execvp(arguments[0], arguments);
    fprintf(stderr, "weirctl: cannot run %s: %s\n", arguments[0], strerror(errno));
    return errno == ENOENT ? CHILD_NOT_FOUND : CHILD_NOT_EXECUTABLE;
}

static bool has_ended(pid_t child, int *waited)
{
    pid_t ended;

    do
        ended = waitpid(child, waited, WNOHANG);
    while (ended < 0 && errno == EINTR);
    return ended != 0;
}

static void hand_on(pid_t child, const siginfo_t *came)
{
    const bool of_terminal = came->si_code == SI_KERNEL;

    if (!of_terminal || (came->si_signo != SIGINT && came->si_signo != SIGQUIT))
        kill(child, came->si_signo);
}

int child_run(char *const arguments[])
{
    sigset_t  watched, before;
    siginfo_t came;
    pid_t     child;
    int       waited = -1;

    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    for (size_t i = 0; i < sizeof handed_on / sizeof handed_on[0]; i++)
        sigaddset(&watched, handed_on[i]);
    signal(SIGCHLD, SIG_DFL); /* ignored, it would leave nothing to wait for */
    sigprocmask(SIG_BLOCK, &watched, &before);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        _exit(child_become(arguments));
    }
    if (child < 0)
        fprintf(stderr, "weirctl: cannot run %s: %s\n", arguments[0], strerror(errno));
    while (child > 0 && !has_ended(child, &waited))
        if (sigwaitinfo(&watched, &came) > 0 && came.si_signo != SIGCHLD)
            hand_on(child, &came);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return waited;
}

int child_status(int waited)
{
    const struct rlimit none = { 0, 0 };

    if (waited < 0)
        return CHILD_OWN_FAILURE;
    if (!WIFSIGNALED(waited))
        return WEXITSTATUS(waited);
    setrlimit(RLIMIT_CORE, &none); /* one is enough, and is not weirctl's */
    fflush(NULL);
    signal(WTERMSIG(waited), SIG_DFL);
    raise(WTERMSIG(waited));
    return 128 + WTERMSIG(waited);
}
