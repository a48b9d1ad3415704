/*
 * weirctl reload: the configuration is read again.
 */
#include "ctl/ctl.h"

static int run(const struct ctl *c)
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

const struct command command_reload = { "reload", "", "read the configuration again", 0, 0, run, 0, NULL };
