/*
 * See held.h.  The daemon knows the run by a connection that stays open: when weirctl ends, in whatever way, the token
 * is good for nothing any more.
 */
#include "ctl/held.h"

#include "ctl/child.h"
#include "ctl/pointing.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { NOT_HELD = 3 };

/* False: a line on standard error has said why. */
static bool begin(const struct ctl *c, const char *mode, struct ctl_answer *a, char **token)
{
    json_t *order = json_pack("{s:s}", "mode", mode), *said = NULL;
    char   *line = NULL;
    size_t  room = 0;

    if (c->as != NULL)
        json_object_set_new(order, "as", json_string(c->as));
    if (!ctl_open(c, "POST", "/run", order, false, a))
        return false;
    if (getline(&line, &room, a->in) > 0)
        said = json_loads(line, 0, NULL);
    if (json_string_value(json_object_get(said, "token")) != NULL)
        *token = strdup(json_string_value(json_object_get(said, "token")));
    if (*token == NULL) {
        fprintf(stderr, "weirctl: the daemon broke off its answer\n");
        ctl_close(a);
    }
    free(line);
    json_decref(said);
    return *token != NULL;
}

/* Does the daemon that knows the token still run? */
static bool is_held(const struct ctl_answer *a)
{
    struct pollfd watch = { .fd = fileno(a->in), .events = POLLIN };

    return poll(&watch, 1, 0) == 0;
}

static const char *plural(json_int_t n)
{
    return n == 1 ? "" : "s";
}

static json_int_t number(const json_t *counts, const char *name)
{
    return json_integer_value(json_object_get(counts, name));
}

/* False: not all that the program did can be vouched for. */
static bool tell_counts(const json_t *counts, const char *mode)
{
    const json_int_t astray = number(counts, "astray"), refused = number(counts, "refused");

    if (refused > 0)
        fprintf(stderr,
                "weirctl: %lld connection%s to hosts of no upstream %s refused: weir cannot hold them to %s; make them "
                "upstreams\n",
                (long long)refused, plural(refused), refused == 1 ? "was" : "were", mode);
    if (astray > 0)
        fprintf(stderr,
                "weirctl: %lld request%s of yours came past the proxy meanwhile, and %s not held to %s: by a base URL, "
                "a name in NO_PROXY, or another program's\n",
                (long long)astray, plural(astray), astray == 1 ? "was" : "were", mode);
    return astray == 0;
}

/* The same where the run could not be ended in order: then nobody has counted. */
static bool end(const struct ctl *c, struct ctl_answer *a, const char *token, const char *mode)
{
    const bool held = is_held(a);
    json_t    *counts = held ? ctl_ask(c, "POST", "/run/end", json_pack("{s:s}", "token", token)) : NULL;
    bool       ok = counts != NULL && tell_counts(counts, mode);

    if (!held)
        fprintf(stderr, "weirctl: weir ended while the program ran: what this one asked after that was refused, and "
                        "nobody has counted what came past the proxy\n");
    json_decref(counts);
    ctl_close(a);
    return ok;
}

int held_run(const struct ctl *c, const char *mode, char *const arguments[])
{
    struct ctl_answer a;
    struct pointing   p = { 0 };
    struct ctl        own = *c;
    char             *token = NULL;
    int               waited = -1;
    bool              ok;

    if (!begin(c, mode, &a, &token))
        return CHILD_OWN_FAILURE;
    own.as = token;
    if (pointing_prepare(&own, &p)) {
        for (unsigned i = 0; i < p.count; i++)
            setenv(p.variables[i].name, p.variables[i].value, 1);
        waited = child_run(arguments);
    }
    ok = end(c, &a, token, mode);
    arena_free(&p.arena);
    free(token);
    return ok || waited < 0 ? child_status(waited) : NOT_HELD;
}
