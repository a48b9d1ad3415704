/*
 * weirctl ls: what is stored.
 */
#include "ctl/rows.h"

#include <stdlib.h>

static const struct command_option options[] = {
    { "long", 'l', NULL, "upstream, rule, whose, type and method too, and whole URLs on a terminal" },
    { "sort", 0, "size|age|hits|expires", "by that; the first 100, or as --limit says" },
    { "stale", 0, NULL, "only what is not fresh any more" },
    { "tag", 't', "TAG", "only what the API or a rule has given that tag" },
    { "upstream", 'u', "UPSTREAM", "only what came from that upstream" },
    { "whose", 'w', "NAME", "only of that partition, as -l shows it" },
    { "limit", 'n', "N", "so many at most" },
    { "config", 'c', "FILE", "of the weir with that configuration, running or not" },
    { NULL, 0, NULL, NULL },
};

static int run(const struct ctl *c)
{
    struct rows_list list = { .is_long = ctl_option(c, "long", 0) != NULL };
    struct rows_path p;
    char            *path;
    bool             ok;

    rows_path_begin(&p, "/entries");
    rows_path_add(&p, "url", c->argument_count > 0 ? c->arguments[0] : NULL);
    rows_path_add(&p, "sort", ctl_option(c, "sort", 0));
    rows_path_add(&p, "stale", ctl_option(c, "stale", 0) != NULL ? "1" : NULL);
    rows_path_add(&p, "tag", ctl_option(c, "tag", 0));
    rows_path_add(&p, "upstream", ctl_option(c, "upstream", 0));
    rows_path_add(&p, "whose", ctl_option(c, "whose", 0));
    rows_path_add(&p, "limit", ctl_option(c, "limit", 0));
    path = rows_path_end(&p);
    ok = rows_print(c, path, "listed", &list);
    free(path);
    if (ok && list.has_more && !c->json)
        fprintf(stderr, "weirctl: there are more than these %llu; --limit N shows more\n",
                (unsigned long long)list.listed);
    return ok ? 0 : 1;
}

const struct command command_ls = { "ls", "[GLOB]", "what is stored, or what of it a URL or a glob means", 0, 1, run,
                                    0,    options };
