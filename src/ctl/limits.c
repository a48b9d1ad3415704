/*
 * weirctl limits: the buckets of every upstream; and forgetting what was learned of them.
 */
#include "ctl/ctl.h"
#include "ctl/units.h"

#include "base/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

extern const struct command command_limits;

/* "ci 12, ann 1" */
static void print_clients(const json_t *l)
{
    long long waiting = json_integer_value(json_object_get(l, "waiting"));
    json_t   *client;
    size_t    i;

    if (waiting == 0)
        return;
    printf("  %lld waiting:", waiting);
    json_array_foreach(json_object_get(l, "clients"), i, client)
        printf("%s %s%s %lld", i > 0 ? "," : "", json_string_value(json_object_get(client, "client")),
               strcmp(json_string_value(json_object_get(client, "priority")), "batch") == 0 ? " (batch)" : "",
               (long long)json_integer_value(json_object_get(client, "waiting")));
}

static void print_limit(const json_t *l)
{
    char        left[UNITS_BYTES], allowed[UNITS_BYTES], metered[UNITS_METERED_BYTES];
    const char *credential = json_string_value(json_object_get(l, "credential"));
    const char *learned_from = json_string_value(json_object_get(l, "learned_from"));
    double      resets = json_number_value(json_object_get(l, "resets_in_s"));
    double      blocked = json_number_value(json_object_get(l, "blocked_for_s"));

    printf("%-12s %-28s %-8s %-12s %8s of %-8s %-10s", json_string_value(json_object_get(l, "upstream")),
           json_string_value(json_object_get(l, "limit")), json_string_value(json_object_get(l, "kind")),
           credential != NULL ? credential : "-", units_of(l, "left", left), units_of(l, "allowed", allowed),
           resets > 0 ? ctl_duration(resets) : "-");
    if (learned_from != NULL)
        printf("  learned from %s", learned_from);
    if (blocked > 0)
        printf("  the API says wait %s", ctl_duration(blocked));
    if (json_object_get(l, "lost_ago_s") != NULL)
        printf("  counts lost %s ago, taken as spent",
               ctl_duration(json_number_value(json_object_get(l, "lost_ago_s"))));
    if (units_metered(l, metered) != NULL)
        printf("  %s", metered);
    print_clients(l);
    putchar('\n');
}

/* limits forget [UPSTREAM [LIMIT]] */
static int forget(const struct ctl *c)
{
    json_t   *what, *answer;
    long long forgotten;

    if (c->argument_count > 3) {
        fprintf(stderr, "weirctl: limits forget takes an upstream and a limit of it: \"%s\" is one too many\n",
                c->arguments[3]);
        return ctl_use_wrongly(&command_limits);
    }
    what = json_object();
    if (c->argument_count > 1)
        json_object_set_new(what, "upstream", json_string(c->arguments[1]));
    if (c->argument_count > 2)
        json_object_set_new(what, "limit", json_string(c->arguments[2]));
    answer = ctl_ask(c, "POST", "/limits/forget", what);
    if (answer == NULL)
        return 1;
    forgotten = (long long)json_integer_value(json_object_get(answer, "forgotten"));
    if (!ctl_print_json(c, answer))
        printf("forgot what was learned of %lld limit%s\n", forgotten, forgotten == 1 ? "" : "s");
    json_decref(answer);
    return 0;
}

/* limits set UPSTREAM LIMIT LEFT */
static int set(const struct ctl *c)
{
    json_t   *answer;
    char     *end;
    long long left, count;

    if (c->argument_count != 4) {
        fprintf(stderr, "weirctl: limits set takes an upstream, a limit of it, and how many are left\n");
        return ctl_use_wrongly(&command_limits);
    }
    errno = 0;
    left = strtoll(c->arguments[3], &end, 10);
    if (errno != 0 || end == c->arguments[3] || *end != '\0' || left < 0) {
        fprintf(stderr, "weirctl: \"%s\" is no whole number from 0 on\n", c->arguments[3]);
        return ctl_use_wrongly(&command_limits);
    }
    answer = ctl_ask(c, "POST", "/limits/set",
                     json_pack("{s:s, s:s, s:I}", "upstream", c->arguments[1], "limit", c->arguments[2], "left",
                               (json_int_t)left));
    if (answer == NULL)
        return 1;
    count = (long long)json_integer_value(json_object_get(answer, "set"));
    if (!ctl_print_json(c, answer))
        printf("set %lld bucket%s: %lld left\n", count, count == 1 ? "" : "s", left);
    json_decref(answer);
    return 0;
}

/* Whatever stands in a name, it is one parameter. */
static char *path_of(const char *name)
{
    size_t bytes = sizeof "/limits?name=" + 3 * (name != NULL ? strlen(name) : 0);
    char  *path = mem_alloc(bytes);
    size_t at = (size_t)snprintf(path, bytes, name != NULL ? "/limits?name=" : "/limits");

    for (; name != NULL && *name != '\0'; name++)
        at += (size_t)snprintf(path + at, bytes - at, "%%%02X", (unsigned)(unsigned char)*name);
    return path;
}

static int run(const struct ctl *c)
{
    json_t *answer, *limit;
    char   *path;
    size_t  i;

    if (c->argument_count > 0 && strcmp(c->arguments[0], "forget") == 0)
        return forget(c);
    if (c->argument_count > 0 && strcmp(c->arguments[0], "set") == 0)
        return set(c);
    if (c->argument_count > 1) {
        fprintf(stderr, "weirctl: limits takes one name: of a limit, or of a credential as weirctl limits shows it\n");
        return ctl_use_wrongly(&command_limits);
    }
    path = path_of(c->argument_count > 0 ? c->arguments[0] : NULL);
    answer = ctl_ask(c, "GET", path, NULL);
    free(path);
    if (answer == NULL)
        return 1;
    if (!ctl_print_json(c, answer)) {
        printf("%-12s %-28s %-8s %-12s %-20s %-10s\n", "UPSTREAM", "LIMIT", "KIND", "CREDENTIAL", "    LEFT",
               "WHOLE IN");
        json_array_foreach(json_object_get(answer, "limits"), i, limit) print_limit(limit);
        json_array_foreach(json_object_get(answer, "more"), i, limit)
            printf("%-12s and %lld more of credentials that are less busy\n",
                   json_string_value(json_object_get(limit, "upstream")),
                   (long long)json_integer_value(json_object_get(limit, "buckets")));
    }
    json_decref(answer);
    return 0;
}

const struct command command_limits = {
    "limits",
    "[NAME] | forget [UPSTREAM [LIMIT]] | set UPSTREAM LIMIT LEFT",
    "every limit: allowed, left, when it is whole again; drop what was learned; set what is left",
    0,
    4,
    run,
    0,
    NULL
};
