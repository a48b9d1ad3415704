/*
 * weirctl dashboard: the page in a browser.
 *
 * The daemon makes a link that works once.  Where there is a display it is given to xdg-open, whose arguments every
 * user of the machine can read: so it is made for this user's connections alone.  One that is printed goes where its
 * reader takes it, perhaps through a forwarder, and works for anybody.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);

    return value != NULL && value[0] != '\0';
}

/* A browser does not start as root, and whose the display is then nobody knows. */
static bool has_display(void)
{
    return geteuid() != 0 && (is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"));
}

/* Neither waited for, since it may be the browser itself, nor tied to this terminal. The error. */
static int open_browser(const char *url)
{
    char *const                arguments[] = { (char *)(uintptr_t) "xdg-open", (char *)(uintptr_t)url, NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t          how;
    pid_t                      pid;
    int                        err;

    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    err = posix_spawnp(&pid, arguments[0], &files, &how, arguments, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return err;
}

static json_t *ask_link(const struct ctl *c, bool only_my_user)
{
    return ctl_ask(c, "POST", "/dashboard", json_pack("{s:b}", "only_my_user", only_my_user));
}

/* True: the browser has it. */
static bool show(const json_t *link)
{
    const char *url = json_string_value(json_object_get(link, "url"));
    int         err = url != NULL ? open_browser(url) : EINVAL;

    if (err == 0)
        printf("opened %.*s in the browser (weirctl dashboard --print shows a link for another one)\n",
               (int)strcspn(url, "#"), url);
    else
        fprintf(stderr, "weirctl: no browser could be opened (xdg-open: %s); the link:\n", strerror(err));
    return err == 0;
}

static int print_link(const struct ctl *c)
{
    json_t *link = ask_link(c, false);

    if (link == NULL)
        return 1;
    if (!ctl_print_json(c, link))
        printf("%s\n", json_string_value(json_object_get(link, "url")));
    if (!c->json && isatty(STDOUT_FILENO))
        printf("It works once, within %lld minutes.\n",
               (long long)json_integer_value(json_object_get(link, "expires_in_s")) / 60);
    json_decref(link);
    return 0;
}

static int run(const struct ctl *c)
{
    json_t *link;
    bool    shown;

    if (c->json || ctl_option(c, "print", 0) != NULL || !has_display())
        return print_link(c);
    link = ask_link(c, true);
    if (link == NULL)
        return 1;
    shown = show(link);
    json_decref(link);
    return shown ? 0 : print_link(c);
}

static const struct command_option options[] = {
    { "print", 'p', NULL, "print the address, and open nothing" },
    { NULL, 0, NULL, NULL },
};

const struct command command_dashboard = { "dashboard", "",     "open the page in the browser, or print its address",
                                           0,           0,      run,
                                           0,           options };
