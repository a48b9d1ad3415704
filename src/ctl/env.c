/*
 * weirctl env: lines that point a shell at Weir.
 */
#include "ctl/pointing.h"

static void print_export(const struct variable *v)
{
    printf("export %s='", v->name);
    for (const char *at = v->value; *at != '\0'; at++)
        fputs(*at == '\'' ? "'\\''" : (char[]){ *at, '\0' }, stdout);
    puts("'");
}

static int run(const struct ctl *c)
{
    struct pointing p = { 0 };
    json_t         *all = json_object();
    int             status = 1;

    if (pointing_prepare(c, &p)) {
        for (unsigned i = 0; i < p.count; i++)
            json_object_set_new(all, p.variables[i].name, json_string(p.variables[i].value));
        if (!ctl_print_json(c, all))
            for (unsigned i = 0; i < p.count; i++)
                print_export(&p.variables[i]);
        status = 0;
    }
    json_decref(all);
    arena_free(&p.arena);
    return status;
}

const struct command command_env = {
    "env", "", "export lines that point a shell at weir", 0, 0, run, NAMES_CLIENT, NULL
};
