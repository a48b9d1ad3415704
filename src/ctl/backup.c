/*
 * weirctl backup and restore: cache and state into a folder, while the daemon runs, and back, while it does not.
 *
 * weir itself does it, with the rights of who asks: its directories are readable for its user and for root alone.
 */
#include "ctl/ctl.h"

#include "ctl/program.h"

#include <stdio.h>

static double bytes_of(const json_t *part)
{
    return (double)json_integer_value(json_object_get(part, "bytes"));
}

static const char *text_of(const json_t *part, const char *name)
{
    const char *text = json_string_value(json_object_get(part, name));

    return text != NULL ? text : "";
}

/* NULL: it was said why. */
static json_t *ask(const struct ctl *c, const char *what)
{
    const char *with[] = { "weir", "-c", c->config, what, c->arguments[0], NULL };
    const char *without[] = { "weir", what, c->arguments[0], NULL };
    bool        failed;
    json_t     *answer = program_ask(c->config != NULL ? with : without, NULL, &failed);

    if (!failed)
        return answer;
    json_decref(answer);
    return NULL;
}

static int run_backup(const struct ctl *c)
{
    json_t *said = ask(c, "--backup"), *cache = json_object_get(said, "cache"), *state = json_object_get(said, "state");

    if (said == NULL)
        return 1;
    if (!ctl_print_json(c, said))
        printf("%s: cache %s, state %s. It holds the key of the CA: keep it to yourself.\n", c->arguments[0],
               ctl_size(bytes_of(cache)), ctl_size(bytes_of(state)));
    json_decref(said);
    return 0;
}

static void print_restored(const char *name, const json_t *part)
{
    const char *directory = text_of(part, "directory"), *aside = text_of(part, "aside");

    printf("%s: %s in %s", name, ctl_size(bytes_of(part)), directory);
    if (aside[0] != '\0')
        printf("; what was there is in %s/%s, delete it when you do not need it", directory, aside);
    fputs(".\n", stdout);
}

static int run_restore(const struct ctl *c)
{
    json_t *said = ask(c, "--restore");

    if (said == NULL)
        return 1;
    if (!ctl_print_json(c, said)) {
        print_restored("cache", json_object_get(said, "cache"));
        print_restored("state", json_object_get(said, "state"));
    }
    json_decref(said);
    return 0;
}

static const struct command_option options[] = {
    { "config", 'c', "FILE", "of the weir with that configuration" },
    { NULL, 0, NULL, NULL },
};

const struct command command_backup = { "backup", "DIR",  "copy cache and state into a new folder, while weir runs",
                                        1,        1,      run_backup,
                                        0,        options };
const struct command command_restore = { "restore", "DIR",  "put such a copy back, while weir does not run",
                                         1,         1,      run_restore,
                                         0,         options };
