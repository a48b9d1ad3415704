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

bool held_begin(const struct ctl *c, json_t *order, struct held *h)
{
    json_t *said = NULL;
    char   *line = NULL;
    size_t  room = 0;

    *h = (struct held){ .token = NULL };
    if (c->as != NULL)
        json_object_set_new(order, "as", json_string(c->as));
    if (!ctl_open(c, "POST", "/run", order, false, &h->a))
        return false;
    if (getline(&line, &room, h->a.in) > 0)
        said = json_loads(line, 0, NULL);
    if (json_string_value(json_object_get(said, "token")) != NULL)
        h->token = strdup(json_string_value(json_object_get(said, "token")));
    if (h->token == NULL) {
        fprintf(stderr, "weirctl: the daemon broke off its answer\n");
        ctl_close(&h->a);
    }
    free(line);
    json_decref(said);
    return h->token != NULL;
}

int held_child(const struct ctl *c, const struct held *h, char *const arguments[])
{
    struct pointing p = { 0 };
    struct ctl      own = *c;
    int             waited = -1;

    own.as = h->token;
    if (pointing_prepare(&own, &p)) {
        pointing_set(&p);
        waited = child_run(arguments);
    }
    arena_free(&p.arena);
    return waited;
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

bool held_tell(const json_t *counts, const char *mode, const char *kept)
{
    const json_int_t astray = ctl_number(counts, "astray"), refused = ctl_number(counts, "refused");

    if (refused > 0)
        fprintf(stderr,
                "weirctl: %lld connection%s to hosts of no upstream %s refused: weir cannot hold them to %s; make them "
                "upstreams\n",
                (long long)refused, plural(refused), refused == 1 ? "was" : "were", mode);
    if (astray > 0)
        fprintf(stderr,
                "weirctl: %lld request%s of yours came past the proxy meanwhile, and %s not %s: by a base URL, "
                "a name in NO_PROXY, or another program's\n",
                (long long)astray, plural(astray), astray == 1 ? "was" : "were", kept);
    return astray == 0;
}

json_t *held_end(const struct ctl *c, struct held *h)
{
    const bool held = is_held(&h->a);
    struct ctl own = *c;
    json_t    *counts;

    own.handed_count = 0;
    counts = held ? ctl_ask(&own, "POST", "/run/end", json_pack("{s:s}", "token", h->token)) : NULL;
    if (!held)
        fprintf(stderr, "weirctl: weir ended while the program ran: what this one asked after that was refused, and "
                        "nobody has counted what came past the proxy\n");
    ctl_close(&h->a);
    free(h->token);
    h->token = NULL;
    return counts;
}

int held_run(const struct ctl *c, const char *mode, char *const arguments[])
{
    struct held h;
    json_t     *counts;
    char        kept[64];
    int         waited;
    bool        ok;

    if (!held_begin(c, json_pack("{s:s}", "mode", mode), &h))
        return CHILD_OWN_FAILURE;
    waited = held_child(c, &h, arguments);
    counts = held_end(c, &h);
    snprintf(kept, sizeof kept, "held to %s", mode);
    ok = counts != NULL && held_tell(counts, mode, kept);
    json_decref(counts);
    return ok || waited < 0 ? child_status(waited) : HELD_NOT;
}
