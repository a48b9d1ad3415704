/*
 * See once.h.
 */
#include "admin/once.h"

#include "admin/alone.h"
#include "admin/backup.h"
#include "admin/judge.h"
#include "base/clock.h"

#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Who looks at what is stored is told of errors in the configuration, and not of what might be better in it. */
static struct config *load_quietly(const char *file)
{
    char          *said = NULL;
    size_t         bytes;
    FILE          *problems = open_memstream(&said, &bytes);
    struct config *c = config_load(file, problems);

    if (problems != NULL)
        fclose(problems);
    if (c == NULL && said != NULL)
        fputs(said, stderr);
    free(said);
    return c;
}

static int run_on(const struct once_order *o, struct config *c)
{
    switch (o->what) {
    case ONCE_OFFLINE:
        return alone_serve(c, STDIN_FILENO);
    case ONCE_EXPLAIN:
        return clock_start() && sodium_init() >= 0 ? judge_run(c, stdin, stdout) : 1;
    case ONCE_BACKUP:
        return backup_save(c, o->folder, stdout);
    case ONCE_RESTORE:
        return backup_restore(c, o->owners, o->folder, stdout);
    case ONCE_DUMP:
        config_dump(c, stdout);
        return 0;
    case ONCE_CHECK:
    case ONCE_NOT:
        break;
    }
    printf("%s: no errors\n", o->config_file != NULL ? o->config_file : "embedded default");
    return 0;
}

int once_run(const struct once_order *o)
{
    const bool     aloud = o->what == ONCE_CHECK || o->what == ONCE_DUMP;
    struct config *c = aloud ? config_load(o->config_file, stderr) : load_quietly(o->config_file);
    int            status;

    if (c == NULL)
        return 1;
    status = run_on(o, c);
    config_release(c);
    return status;
}
