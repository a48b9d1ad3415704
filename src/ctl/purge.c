/*
 * weirctl purge: what a URL, a glob, an upstream, an age or staleness means is dropped, or listed.
 */
#include "ctl/rows.h"

#include <stdlib.h>

extern const struct command command_purge;

static const struct command_option options[] = {
    { "tag", 't', "TAG", "what the API or a rule has given that tag" },
    { "expired", 'e', NULL, "what is not fresh any more" },
    { "older-than", 0, "TIME", "what is older: 90s, 30m, 12h, 7d" },
    { "upstream", 'u', "UPSTREAM", "what came from that upstream" },
    { "whose", 'w', "NAME", "of that partition, as weirctl ls -l shows it" },
    { "dry-run", 'n', NULL, "drop nothing, list it" },
    { "config", 'c', "FILE", "of the weir with that configuration, running or not" },
    { NULL, 0, NULL, NULL },
};

/* What the daemon calls them. */
static const struct {
    const char *option, *member;
} members[] = { { "tag", "tag" }, { "older-than", "older_than" }, { "upstream", "upstream" }, { "whose", "whose" } };
enum { MEMBERS = sizeof members / sizeof members[0] };

static int list(const struct ctl *c)
{
    struct rows_list list = { .is_long = false };
    struct rows_path p;
    char            *path;
    bool             ok;

    rows_path_begin(&p, "/entries");
    rows_path_add(&p, "url", c->argument_count > 0 ? c->arguments[0] : NULL);
    rows_path_add(&p, "expired", ctl_option(c, "expired", 0) != NULL ? "1" : NULL);
    for (int i = 0; i < MEMBERS; i++)
        rows_path_add(&p, members[i].member, ctl_option(c, members[i].option, 0));
    path = rows_path_end(&p);
    ok = rows_print(c, path, "would_drop", &list);
    free(path);
    if (ok && !c->json)
        printf("would drop %llu responses\n", (unsigned long long)list.listed);
    return ok && list.listed > 0 ? 0 : 1;
}

static int drop(const struct ctl *c)
{
    json_t *what = json_object(), *answer;
    bool    has_any;

    if (c->argument_count > 0)
        json_object_set_new(what, "url", json_string(c->arguments[0]));
    if (ctl_option(c, "expired", 0) != NULL)
        json_object_set_new(what, "expired", json_true());
    for (int i = 0; i < MEMBERS; i++)
        if (ctl_option(c, members[i].option, 0) != NULL)
            json_object_set_new(what, members[i].member, json_string(ctl_option(c, members[i].option, 0)));
    answer = ctl_ask_stored(c, "POST", "/purge", what, true);
    has_any = json_integer_value(json_object_get(answer, "dropped")) > 0;
    return ctl_print_dropped(c, answer) == 0 && has_any ? 0 : 1;
}

static int run(const struct ctl *c)
{
    bool says_which = c->argument_count > 0 || ctl_option(c, "expired", 0) != NULL;

    for (int i = 0; i < MEMBERS; i++)
        says_which = says_which || ctl_option(c, members[i].option, 0) != NULL;
    if (!says_which)
        return ctl_use_wrongly(&command_purge);
    return ctl_option(c, "dry-run", 0) != NULL ? list(c) : drop(c);
}

const struct command command_purge = { "purge", "[URL|GLOB]", "drop from the cache what all of this means", 0, 1, run,
                                       0,       options };
