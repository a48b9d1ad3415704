/*
 * weirctl explain --id: what was done with a request, by the number that its line in the log has.
 *
 * The daemon remembers the last requests of each worker (GET /log); of an older one the access log is all there is.
 */
#include "ctl/explain_wish.h"

#include "ctl/labelled.h"

#include <stdlib.h>
#include <string.h>

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL ? s : "";
}

static double seconds(const json_t *o, const char *name)
{
    return json_number_value(json_object_get(o, name)) / 1000.0;
}

/* The one line that is no notice of the stream itself; NULL: there is none. */
static json_t *read_record(FILE *in)
{
    json_t *o = NULL;

    while (o == NULL && (o = json_loadf(in, JSON_DISABLE_EOF_CHECK, NULL)) != NULL)
        if (json_object_get(o, "id") == NULL) {
            json_decref(o);
            o = NULL;
        }
    return o;
}

static void print_tries(const json_t *r)
{
    const json_t *try;
    size_t        i;

    json_array_foreach(json_object_get(r, "tries"), i, try)
        labelled_line(i == 0 ? "asked" : "", "%zu: because of %s, after a wait of %s: %s in %s", i + 1,
                      text(try, "cause"), ctl_duration(seconds(try, "waited_ms")), text(try, "outcome"),
                      ctl_duration(seconds(try, "took_ms")));
}

static void print_story(const json_t *r)
{
    const char *rule = text(r, "rule"), *detail = text(r, "detail"), *forward = text(r, "fwd"),
               *error = text(r, "error");

    labelled_line("request", "%lld  %s %s  at %s  by %s", (long long)json_integer_value(json_object_get(r, "id")),
                  text(r, "method"), text(r, "target"), text(r, "time"), text(r, "client"));
    if (*text(r, "upstream") == '\0')
        labelled_line("upstream", "none");
    else
        labelled_line("upstream", "%-10s  %s%s", text(r, "upstream"), *rule != '\0' ? "rule " : "no rule", rule);
    labelled_line("was", "%s%s%s%s%s%s%s: %lld", text(r, "cache"), *forward != '\0' ? ", forwarded: " : "", forward,
                  *detail != '\0' ? ", " : "", detail, *error != '\0' ? ", " : "", error,
                  (long long)json_integer_value(json_object_get(r, "status")));
    if (json_object_get(r, "queue_ms") != NULL && *forward != '\0')
        labelled_line("waited", "%s (foretold: %s)", ctl_duration(seconds(r, "queue_ms")),
                      ctl_duration(seconds(r, "predicted_ms")));
    print_tries(r);
    labelled_line("answered", "in %s%s%s", ctl_duration(seconds(r, "took_ms")),
                  json_is_true(json_object_get(r, "stored")) ? "; the answer is stored" : "",
                  json_is_true(json_object_get(r, "collapsed")) ? "; shared with another request" : "");
}

int explain_wish_story(const struct ctl *c, const char *id)
{
    char              path[64], *end;
    long long         number = strtoll(id, &end, 10);
    struct ctl_answer a;
    json_t           *r;

    if (number <= 0 || *end != '\0') {
        fprintf(stderr, "weirctl: explain: --id wants a number, as the access log has it in \"id\"\n");
        return 2;
    }
    snprintf(path, sizeof path, "/log?id=%lld", number);
    if (!ctl_open(c, "GET", path, NULL, false, &a))
        return 1;
    r = read_record(a.in);
    ctl_close(&a);
    if (r == NULL) {
        fprintf(stderr,
                "weirctl: request %lld is not remembered: the daemon keeps the last ones only, while the access log is "
                "on, "
                "tells a user of his own, and numbers anew when it starts; the access log may have it\n",
                number);
        return 1;
    }
    if (!ctl_print_json(c, r))
        print_story(r);
    json_decref(r);
    return 0;
}
