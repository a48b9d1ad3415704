/*
 * weirctl run: a program that is pointed at Weir, and may have a mode of its own.
 */
#include "ctl/child.h"
#include "ctl/held.h"
#include "ctl/pointing.h"
#include "ctl/recorded.h"
#include "ctl/replayed.h"

#include "base/arena.h"
#include "snapshot/snapshot.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const struct command_option options[] = {
    { "offline", 0, NULL, "it hears what is stored, and nothing is asked" },
    { "dry-run", 0, "=writes", "nothing is sent (writes: nothing that may change something)" },
    { "record", 0, "DIR", "what it asks goes as ever, and is kept as a snapshot in that folder" },
    { "replay", 0, "FILE",
      "a snapshot answers it, a folder or a zip, and nothing else: without a daemon or a network; --replay=auto DIR: "
      "what is missing in the folder is asked for, and added" },
    { "redact", 0, "RULE", "with --record: masks \"json:/access_token\" or \"header:X-Session\" too; may be repeated" },
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
    pointing_set(&p);
    status = child_become(c->arguments);
    arena_free(&p.arena);
    return status;
}

/* --replay=auto DIR -- COMMAND: what stands before the command is the folder.  Without the "--" the command itself
 * could be taken for it. */
static int run_auto(const struct ctl *c)
{
    if (c->argument_count > 2 && strcmp(c->arguments[1], "--") == 0)
        return recorded_run(c, c->arguments[0], true, c->arguments + 2);
    fprintf(stderr, "weirctl: --replay=auto takes a folder and a command: --replay=auto DIR -- COMMAND\n");
    return ctl_use_wrongly(&command_run);
}

static int check_redact(const struct ctl *c)
{
    const char  *rule;
    struct fault why;

    for (unsigned i = 0; (rule = ctl_option(c, "redact", i)) != NULL; i++)
        if (!snapshot_redact_is_valid(rule, &why)) {
            fprintf(stderr, "weirctl: %s\n", why.text);
            return ctl_use_wrongly(&command_run);
        }
    return -1;
}

static int run(const struct ctl *c)
{
    const char *offline = ctl_option(c, "offline", 0), *dry = ctl_option(c, "dry-run", 0);
    const char *snapshot = ctl_option(c, "replay", 0), *record = ctl_option(c, "record", 0);
    const bool  plays_on = snapshot != NULL && strcmp(snapshot, "auto") == 0;

    if ((offline != NULL) + (dry != NULL) + (snapshot != NULL) + (record != NULL) > 1) {
        fprintf(stderr, "weirctl: --offline, --dry-run, --record or --replay: a program has one mode\n");
        return ctl_use_wrongly(&command_run);
    }
    if (dry != NULL && dry[0] != '\0' && strcmp(dry, "writes") != 0) {
        fprintf(stderr, "weirctl: --dry-run is of everything, and --dry-run=writes of what may change something\n");
        return ctl_use_wrongly(&command_run);
    }
    if (ctl_option(c, "redact", 0) != NULL && record == NULL && !plays_on) {
        fprintf(stderr, "weirctl: --redact says what a recording masks: it goes with --record or --replay=auto\n");
        return ctl_use_wrongly(&command_run);
    }
    if (check_redact(c) >= 0)
        return 2;
    if (plays_on)
        return run_auto(c);
    if (record != NULL)
        return recorded_run(c, record, false, c->arguments);
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
