/*
 * weirctl mode: another mode for an upstream, or for all, until it is set again or its time ends.
 */
#include "ctl/ctl.h"

#include "base/clock.h"

#include <string.h>

static const struct command_option options[] = {
    { "all", 0, NULL, "of every upstream" },
    { "for", 0, "DURATION", "until so much time has gone by, such as 2h" },
    { NULL, 0, NULL, NULL },
};

extern const struct command command_mode;

static void print_one(const json_t *one)
{
    json_t *until = json_object_get(one, "until");

    printf("%-12s %s", json_string_value(json_object_get(one, "upstream")),
           json_string_value(json_object_get(one, "mode")));
    if (json_is_integer(until))
        printf(" for %s", ctl_duration((double)json_integer_value(until) - (double)clock_wall_ns() / NS_PER_SEC));
    putchar('\n');
}

static int run(const struct ctl *c)
{
    bool        all = ctl_option(c, "all", 0) != NULL;
    const char *duration = ctl_option(c, "for", 0);
    json_t     *order, *answer, *one;
    size_t      i;

    if (c->argument_count != (all ? 1 : 2))
        return ctl_use_wrongly(&command_mode);
    order = json_pack("{s:s}", "mode", c->arguments[all ? 0 : 1]);
    if (all)
        json_object_set_new(order, "all", json_true());
    else
        json_object_set_new(order, "upstream", json_string(c->arguments[0]));
    if (duration != NULL)
        json_object_set_new(order, "for", json_string(duration));
    answer = ctl_ask(c, "POST", "/mode", order);
    if (answer == NULL)
        return 1;
    if (!ctl_print_json(c, answer))
        json_array_foreach(json_object_get(answer, "modes"), i, one) print_one(one);
    json_decref(answer);
    return 0;
}

const struct command command_mode = {
    "mode",
    "UPSTREAM live|offline|read_only|dry_run|dry_run_writes|record|replay | --all MODE",
    "set what an upstream may do, for a while or until it is set again",
    1,
    2,
    run,
    0,
    options
};
