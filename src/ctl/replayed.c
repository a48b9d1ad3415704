/*
 * See replayed.h.  What came of each request is read in the access log of a weir that ends with the program.
 */
#include "ctl/replayed.h"

#include "ctl/child.h"
#include "ctl/own_weir.h"
#include "ctl/pointing.h"
#include "ctl/text.h"

#include <stdlib.h>
#include <string.h>

enum { NOT_RECORDED = 3, MISSES_TOLD = 10 };

struct replay_sum {
    unsigned long long replayed, missed;
};

static const char *text_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));

    return text != NULL ? text : "";
}

/* Of a host that the snapshot does not have a request is refused, or the CONNECT before it. */
static bool is_miss(const json_t *line)
{
    static const char *const errors[] = { "not-recorded", "not-an-upstream", "no-upstream", "unknown-host" };
    const char              *error = text_of(line, "error");

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(error, errors[i]) == 0)
            return true;
    return false;
}

static void tell_miss(const json_t *line)
{
    const char *method = text_of(line, "method"), *target = text_of(line, "target");

    fputs("weirctl: not in the snapshot: ", stderr);
    text_print(stderr, method, strlen(method), 0);
    fputc(' ', stderr);
    text_print(stderr, target, strlen(target), 0);
    fputc('\n', stderr);
}

static struct replay_sum sum_up(const char *access)
{
    struct replay_sum sum = { 0, 0 };
    FILE             *in = fopen(access, "re");
    char             *text = NULL;
    size_t            room = 0;

    while (in != NULL && getline(&text, &room, in) > 0) {
        json_t *line = json_loads(text, 0, NULL);

        if (line != NULL && is_miss(line) && sum.missed++ < MISSES_TOLD)
            tell_miss(line);
        sum.replayed += line != NULL && strcmp(text_of(line, "cache"), "replay") == 0;
        json_decref(line);
    }
    free(text);
    if (in != NULL)
        fclose(in);
    return sum;
}

/* The files that make it trusted go with the weir whose they are; where the program's own are stays as it was. */
static bool point_at(const struct own_weir *w, const struct ctl *c, struct pointing *p)
{
    const char *had = getenv("XDG_RUNTIME_DIR");
    char       *before = had != NULL ? strdup(had) : NULL;
    struct ctl  own = *c;
    bool        ok;

    own.socket = w->socket;
    setenv("XDG_RUNTIME_DIR", w->directory, 1);
    ok = pointing_prepare(&own, p);
    if (before != NULL)
        setenv("XDG_RUNTIME_DIR", before, 1);
    else
        unsetenv("XDG_RUNTIME_DIR");
    free(before);
    if (ok)
        pointing_set(p);
    return ok;
}

int replayed_run(const struct ctl *c, const char *snapshot, char *const arguments[])
{
    struct own_weir   w;
    struct pointing   p = { 0 };
    struct replay_sum sum = { 0, 0 };
    int               waited = -1;

    if (own_weir_start(&w, snapshot) && point_at(&w, c, &p))
        waited = child_run(arguments);
    own_weir_stop(&w);
    if (waited >= 0) {
        sum = sum_up(w.access);
        fprintf(stderr, "weirctl: %llu of %llu requests were answered from %s\n", sum.replayed,
                sum.replayed + sum.missed, snapshot);
    }
    own_weir_end(&w);
    arena_free(&p.arena);
    return sum.missed > 0 ? NOT_RECORDED : child_status(waited);
}
