/*
 * weirctl run: a program that is pointed at Weir, and may have a mode of its own.
 */
#include "ctl/child.h"
#include "ctl/held.h"
#include "ctl/pointing.h"
#include "ctl/replayed.h"

#include "base/arena.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const struct command_option options[] = {
    { "offline", 0, NULL, "it hears what is stored, and nothing is asked" },
    { "dry-run", 0, "=writes", "nothing is sent (writes: nothing that may change something)" },
    { "replay", 0, "FILE",
      "a snapshot answers it, a folder or a zip, and nothing else: without a daemon or a network" },
    { NULL, 0, NULL, NULL },
};

extern const struct command command_run;

/* Returns only where it could not run the command. */
static int run_free(const struct ctl *c)
{
    struct pointing p = { 0 };
    int             status;

    if (!pointing_prepare(c, &p))
        return CHILD_OWN_FAILURE;
    for (unsigned i = 0; i < p.count; i++)
        setenv(p.variables[i].name, p.variables[i].value, 1);
    status = child_become(c->arguments);
    arena_free(&p.arena);
    return status;
}

static int run(const struct ctl *c)
{
    const char *offline = ctl_option(c, "offline", 0), *dry = ctl_option(c, "dry-run", 0);
    const char *snapshot = ctl_option(c, "replay", 0);

    if ((offline != NULL) + (dry != NULL) + (snapshot != NULL) > 1) {
        fprintf(stderr, "weirctl: --offline, --dry-run or --replay: a program has one mode\n");
        return ctl_use_wrongly(&command_run);
    }
    if (dry != NULL && dry[0] != '\0' && strcmp(dry, "writes") != 0) {
        fprintf(stderr, "weirctl: --dry-run is of everything, and --dry-run=writes of what may change something\n");
        return ctl_use_wrongly(&command_run);
    }
    if (snapshot != NULL && strcmp(snapshot, "auto") == 0) {
        fprintf(stderr, "weirctl: this weir replays a snapshot as it is, and adds nothing to it: --replay FILE\n");
        return ctl_use_wrongly(&command_run);
    }
    if (snapshot != NULL)
        return replayed_run(c, snapshot, c->arguments);
    if (offline == NULL && dry == NULL)
        return run_free(c);
    return held_run(c, offline != NULL ? "offline" : dry[0] != '\0' ? "dry_run_writes" : "dry_run", c->arguments);
}

const struct command command_run = { "run",
                                     "COMMAND [ARGUMENT...]",
                                     "run a command that is pointed at weir",
                                     1,
                                     INT_MAX,
                                     run,
                                     NAMES_CLIENT | TAKES_COMMAND,
                                     options };
