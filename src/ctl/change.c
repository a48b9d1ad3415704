/*
 * weirctl purge, flush, compact, reload and reopen: what changes a running daemon.
 */
#include "ctl/ctl.h"

static int print_dropped(const struct ctl *c, json_t *answer)
{
    if (answer == NULL)
        return 1;
    if (!ctl_print_json(c, answer))
        printf("dropped %lld responses\n", (long long)json_integer_value(json_object_get(answer, "dropped")));
    json_decref(answer);
    return 0;
}

int ctl_purge(const struct ctl *c)
{
    return print_dropped(c, ctl_ask(c, "POST", "/purge", json_pack("{s:s}", "url", c->arguments[0])));
}

int ctl_flush(const struct ctl *c)
{
    return print_dropped(c, ctl_ask(c, "POST", "/flush", NULL));
}

int ctl_compact(const struct ctl *c)
{
    json_t *answer = ctl_ask(c, "POST", "/compact", NULL);

    if (answer == NULL)
        return 1;
    if (!ctl_print_json(c, answer))
        printf("returned %lld bytes\n", (long long)json_integer_value(json_object_get(answer, "returned_bytes")));
    json_decref(answer);
    return 0;
}

int ctl_reload(const struct ctl *c)
{
    json_t     *answer = ctl_ask(c, "POST", "/reload", NULL);
    const char *note;

    if (answer == NULL)
        return 1;
    note = json_string_value(json_object_get(answer, "note"));
    if (!ctl_print_json(c, answer))
        printf("reloaded\n%s", note != NULL ? note : "");
    json_decref(answer);
    return 0;
}

int ctl_reopen(const struct ctl *c)
{
    json_t *answer = ctl_ask(c, "POST", "/reopen", NULL);

    if (answer == NULL)
        return 1;
    if (!ctl_print_json(c, answer))
        puts("reopened");
    json_decref(answer);
    return 0;
}
