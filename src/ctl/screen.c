/*
 * Alternate buffer (xterm, since then all), cursor off, no echo and no lines: ECMA-48 and termios(3), no library.
 */
#include "ctl/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static const char take_text[] = "\033[?1049h\033[?25l\033[2J", give_text[] = "\033[?25h\033[?1049l";

static const int fatal[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2 };
enum { FATAL_COUNT = sizeof fatal / sizeof fatal[0] };

static struct termios        before;
static bool                  is_taken;
static sigset_t              outside; /* the mask as it was */
static volatile sig_atomic_t caught[FATAL_COUNT], is_resized, is_to_stop;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        is_resized = 1;
    else if (number == SIGTSTP)
        is_to_stop = 1;
    for (int i = 0; i < FATAL_COUNT; i++)
        if (fatal[i] == number)
            caught[i] = 1;
}

static void say(const char *text)
{
    fflush(stdout);
    for (size_t done = 0, bytes = strlen(text); done < bytes;) {
        ssize_t n = write(STDOUT_FILENO, text + done, bytes - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        done += (size_t)n;
    }
}

static void set_terminal(void)
{
    struct termios raw = before;

    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    say(take_text);
}

void screen_take(void)
{
    struct sigaction act = { .sa_handler = on_signal };
    sigset_t         held;

    if (is_taken || tcgetattr(STDIN_FILENO, &before) != 0)
        return;
    sigemptyset(&held);
    for (int i = 0; i < FATAL_COUNT; i++)
        sigaddset(&held, fatal[i]);
    sigaddset(&held, SIGWINCH);
    sigaddset(&held, SIGTSTP);
    sigprocmask(SIG_BLOCK, &held, &outside); /* they come while it waits, and at no other time */
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&held, number) == 1)
            sigaction(number, &act, NULL);
    is_taken = true;
    set_terminal();
}

void screen_give_back(void)
{
    if (!is_taken)
        return;
    is_taken = false;
    say(give_text);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    for (int i = 0; i < FATAL_COUNT; i++)
        signal(fatal[i], SIG_DFL);
    signal(SIGWINCH, SIG_DFL);
    signal(SIGTSTP, SIG_DFL);
    sigprocmask(SIG_SETMASK, &outside, NULL);
}

void screen_die(int number)
{
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number);
}

/* ^Z: the shell gets its terminal as it was, and we ours when we go on. */
static void stop(void)
{
    screen_give_back();
    raise(SIGTSTP);
    screen_take();
}

static unsigned char typed[64];
static size_t        typed_count;

static void drop_typed(size_t count)
{
    typed_count -= count;
    memmove(typed, typed + count, typed_count);
}

/* Of what was typed the first key; arrows come as "\033[A" or "\033OA". */
static int take_key(void)
{
    int key = typed[0];

    if (typed_count >= 3 && typed[0] == '\033' && (typed[1] == '[' || typed[1] == 'O')) {
        key = typed[2] == 'A' ? SCREEN_UP : typed[2] == 'B' ? SCREEN_DOWN : 0;
        drop_typed(3);
    } else {
        drop_typed(1);
    }
    return key;
}

static int read_key(void)
{
    ssize_t n = read(STDIN_FILENO, typed, sizeof typed);

    if (n <= 0)
        return n == 0 ? 'q' : 0; /* the terminal is gone */
    typed_count = (size_t)n;
    return take_key();
}

static bool find_caught(int *number)
{
    for (int i = 0; i < FATAL_COUNT; i++)
        if (caught[i]) {
            caught[i] = 0;
            *number = fatal[i];
            return true;
        }
    return false;
}

enum screen_event screen_wait(int feed_fd, int *key, int *number)
{
    if (typed_count > 0)
        return *key = take_key(), SCREEN_KEY;
    for (;;) {
        struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = feed_fd, .events = POLLIN } };
        sigset_t      all = outside;

        if (ppoll(fds, 2, NULL, &all) < 0 && errno != EINTR)
            return *number = SIGTERM, SCREEN_END;
        if (find_caught(number))
            return SCREEN_END;
        if (is_to_stop) {
            is_to_stop = 0;
            stop();
            return SCREEN_RESIZED;
        }
        if (is_resized) {
            is_resized = 0;
            return SCREEN_RESIZED;
        }
        if (fds[0].revents != 0) {
            *key = read_key();
            return SCREEN_KEY;
        }
        if (fds[1].revents != 0)
            return SCREEN_FEED;
    }
}

unsigned screen_rows(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}
