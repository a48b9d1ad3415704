/*
 * weirctl compact: disk space goes back.
 */
#include "ctl/ctl.h"

static int run(const struct ctl *c)
{
    json_t *answer = ctl_ask(c, "POST", "/compact", NULL);

    if (answer == NULL)
        return 1;
    if (!ctl_print_json(c, answer))
        printf("returned %lld bytes\n", (long long)json_integer_value(json_object_get(answer, "returned_bytes")));
    json_decref(answer);
    return 0;
}

const struct command command_compact = { "compact", "",  "give disk space that the cache no longer needs back",
                                         0,         0,   run,
                                         0,         NULL };
