/*
 * weirctl reopen: the access log's file is opened anew.
 */
#include "ctl/ctl.h"

static int run(const struct ctl *c)
{
    json_t *answer = ctl_ask(c, "POST", "/reopen", NULL);

    if (answer == NULL)
        return 1;
    if (!ctl_print_json(c, answer))
        puts("reopened");
    json_decref(answer);
    return 0;
}

const struct command command_reopen = { "reopen", "",  "open the access log's file anew, after it was renamed",
                                        0,        0,   run,
                                        0,        NULL };
