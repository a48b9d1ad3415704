/*
 * weirctl explain: what would happen to a request, and why.
 *
 * The daemon explains (src/admin/explain.c); here is how it reads.  What another configuration would make of it is said
 * by a run of the daemon's own program, which reads that file with the rights of who asks (explain_config.c).
 */
#include "ctl/explain_wish.h"

#include "base/arena.h"
#include "ctl/labelled.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

extern const struct command command_explain;

/* -- parts of the answer -- */

static const json_t *in(const json_t *o, const char *name)
{
    return json_object_get(o, name);
}

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(in(o, name));

    return s != NULL ? s : "";
}

static long long number(const json_t *o, const char *name)
{
    return (long long)json_integer_value(in(o, name));
}

/* "conf.d/inat.conf:7": as a person who knows the directory would say it. */
static const char *place(const json_t *o, struct arena *a)
{
    const json_t *p = in(o, "place");
    const char   *file = text(p, "file"), *folder = strstr(file, "/conf.d/"), *slash = strrchr(file, '/');

    if (*file == '\0')
        return "";
    return arena_printf(a, "%s:%lld",
                        folder != NULL  ? folder + 1
                        : slash != NULL ? slash + 1
                                        : file,
                        number(p, "line"))
        .ptr;
}

/* -- upstream, rule, settings -- */

static void print_way(const json_t *e, struct arena *a)
{
    const json_t *up = in(e, "upstream"), *rule = in(e, "rule"), *s;
    size_t        i;

    if (!json_is_object(up)) {
        labelled_text("upstream", "none");
        return;
    }
    if (json_is_object(rule))
        labelled_line("upstream", "%-10s  rule %lld  %-18s %s", text(up, "name"), number(rule, "number"),
                      text(rule, "match"), place(rule, a));
    else
        labelled_line("upstream", "%-10s  no rule  %s", text(up, "name"), place(up, a));
    json_array_foreach(in(e, "settings"), i, s)
    {
        const char *value = text(s, "value"), *at = place(s, a);

        if (*at != '\0')
            labelled_line("", "%s%s%s  %s", text(s, "name"), *value != '\0' ? " = " : "", value, at);
        else if (*value != '\0')
            labelled_line("", "%s = %s  (set at run time)", text(s, "name"), value);
        else
            labelled_line("", "%s  (default)", text(s, "name"));
    }
}

/* A line that match_headers or key_body adds to a key. */
static void print_added(const char *added)
{
    if (*added == '#')
        labelled_line("", "body, by its hash %s", added + 1);
    else
        labelled_line("", "%s%s", added, strchr(added, ':') == NULL ? ": none" : "");
}

static void print_key(const json_t *e)
{
    const json_t *key = in(e, "key"), *more;
    const char   *coding = text(key, "accept_encoding");
    size_t        i;

    if (!json_is_object(key)) {
        labelled_line("key", "none: what comes of this request is not kept");
        return;
    }
    labelled_line("key", "%s %s   partition %s%s%s", text(key, "method"), text(key, "url"), text(key, "whose"),
                  *coding != '\0' ? "   accept-encoding " : "", coding);
    json_array_foreach(in(key, "more"), i, more) print_added(json_string_value(more));
    if (*text(in(e, "stored"), "vary") != '\0') {
        char *vary = mem_copy((struct slice){ text(in(e, "stored"), "vary"), strlen(text(in(e, "stored"), "vary")) });

        for (char *each = strtok(vary, "\n"); each != NULL; each = strtok(NULL, "\n"))
            labelled_line("", "vary: %s", each);
        free(vary);
    }
}

/* -- what is stored -- */

/* "the query: locale, _" */
static char *differences(const json_t *near, struct arena *a)
{
    struct slice  out = SLICE("");
    const char   *before = "";
    const json_t *d;
    size_t        i;

    json_array_foreach(in(near, "differs_in"), i, d)
    {
        const char *where = text(d, "in"), *name = text(d, "name");

        if (strcmp(where, before) != 0)
            out = arena_printf(a, SLICE_FMT "%s%s%s%s", SLICE_ARG(out), i > 0 ? "; " : "", "the ",
                               strcmp(where, "whose") == 0 ? "partition" : where, *name != '\0' ? ": " : "");
        else
            out = arena_printf(a, SLICE_FMT ", ", SLICE_ARG(out));
        before = where;
        out = arena_printf(a, SLICE_FMT "%s", SLICE_ARG(out), name);
        if (strcmp(where, "vary") == 0 || strcmp(where, "method") == 0)
            out = arena_printf(a, SLICE_FMT " (stored: %s, asked: %s)", SLICE_ARG(out),
                               json_is_null(in(d, "stored")) ? "none" : text(d, "stored"),
                               json_is_null(in(d, "asked")) ? "none" : text(d, "asked"));
    }
    return (char *)(uintptr_t)out.ptr;
}

/* The end of the URL says more than its beginning. */
static const char *shortened(const char *url, struct arena *a)
{
    const char *path = strstr(url, "://");

    path = path != NULL ? strchr(path + 3, '/') : NULL;
    return path != NULL ? arena_printf(a, "\xe2\x80\xa6%s", path).ptr : url;
}

static void print_nearest(const json_t *stored, struct arena *a)
{
    const json_t *nearest = in(stored, "nearest"), *near;
    long long     more = number(stored, "under_this_path") - (long long)json_array_size(nearest);
    size_t        i;

    if (json_array_size(nearest) == 0)
        labelled_text("stored", "no, and nothing else under this path");
    json_array_foreach(nearest, i, near)
        labelled_line(i == 0 ? "stored" : "", "%s%s (%s old) differs in %s%s", i == 0 ? "no; nearest: " : "",
                      shortened(text(near, "url"), a), ctl_duration(json_number_value(in(near, "age_s"))),
                      differences(near, a),
                      i + 1 == json_array_size(nearest) && more > 0
                          ? arena_printf(a, ". %lld%s more under this path", more,
                                         json_is_true(in(stored, "is_all")) ? "" : " or")
                                .ptr
                          : "");
}

static void print_others(const json_t *stored, struct arena *a)
{
    const json_t *others = in(stored, "others"), *each;
    size_t        i;

    json_array_foreach(in(others, "found"), i, each)
        labelled_line("", "stored for somebody else: %s (partition %s, %s old)", shortened(text(each, "url"), a),
                      text(each, "whose"), ctl_duration(json_number_value(in(each, "age_s"))));
    if (json_is_object(others) && !json_is_true(in(others, "is_all")))
        labelled_line("", "(others' answers: looked at %lld records, not at all)", number(others, "looked_at"));
}

static void print_misses(const json_t *misses, struct arena *a)
{
    const json_t *each;
    size_t        i;

    if (!json_is_object(misses))
        return;
    json_array_foreach(in(misses, "differ_in"), i, each)
    {
        const char *name = text(each, "name"), *where = text(each, "in"), *advice = text(each, "line");
        bool        whose = strcmp(where, "whose") == 0;

        labelled_line("", "of this rule's last %lld misses %lld differed only in %s%s%s%s%s%s%s",
                      number(misses, "count"), number(each, "misses"),
                      strcmp(where, "query") == 0 ? "the parameter \""
                      : whose                     ? "whose they are"
                                                  : "the ",
                      strcmp(where, "query") == 0 || whose ? "" : where, strcmp(where, "header") == 0 ? " \"" : "",
                      name, *name != '\0' ? "\"" : "", *advice != '\0' ? ": " : "", advice);
        if (*advice != '\0')
            labelled_line("", "(%s; it goes into %s)", text(each, "where"), place(misses, a));
    }
    json_array_foreach(in(misses, "not_stored"), i, each)
        labelled_line("", "of this rule's last %lld misses %lld were not stored: %s%s%s", number(misses, "count"),
                      number(each, "misses"), text(each, "reason"), *text(each, "line") != '\0' ? ": " : "",
                      text(each, "line"));
}

static void print_stored(const json_t *e, struct arena *a)
{
    const json_t *stored = in(e, "stored");
    double        left = json_number_value(in(stored, "left_s"));

    if (!json_is_object(stored)) {
        labelled_text("stored", "not looked for");
    } else if (json_is_true(in(stored, "found"))) {
        labelled_line("stored", "yes: %lld, %s, %s old, %s", number(stored, "status"),
                      ctl_size((double)number(stored, "size")), ctl_duration(json_number_value(in(stored, "age_s"))),
                      json_is_null(in(stored, "left_s")) ? "fresh for ever"
                      : left > 0 ? arena_printf(a, "fresh for another %s", ctl_duration(left)).ptr
                                 : arena_printf(a, "stale for %s", ctl_duration(-left)).ptr);
        if (strcmp(text(stored, "state"), "invalidated") == 0)
            labelled_text("", "a write has changed the resource since: it is asked about");
    } else {
        print_nearest(stored, a);
        print_others(stored, a);
    }
    print_misses(in(e, "misses"), a);
}

void explain_wish_print(const json_t *e)
{
    struct arena a = { 0 };

    if (json_is_true(in(e, "denied")) && json_is_object(in(e, "upstream")))
        labelled_text("access", "this upstream does not admit you; what follows is for those whom it does");
    print_way(e, &a);
    print_key(e);
    print_stored(e, &a);
    labelled_text("would", text(in(e, "would"), "text"));
    arena_free(&a);
}

/* -- the command line -- */

static const struct command_option options[] = {
    { "request", 'X', "METHOD", "of that method; without it GET, with a body POST" },
    { "header", 'H', "FIELD", "with that field, \"Name: value\"; as often as is wanted" },
    { "data", 'd', "BODY", "with that body" },
    { "config", 'c', "FILE", "say what that configuration would make of it, beside what the running one does" },
    { "id", 0, "ID", "in place of a URL: what was done with the request of that number in the log" },
    { "curl", 0, NULL, "print the request to the API as a command for curl, with a variable for each credential" },
    { NULL, 0, NULL, NULL },
};

static int use_wrongly(const char *why)
{
    fprintf(stderr, "weirctl: explain: %s\n", why);
    return ctl_use_wrongly(&command_explain);
}

static bool add_header(json_t *list, const char *text)
{
    const char *colon = strchr(text, ':'), *value;
    json_t     *pair;

    if (colon == NULL || colon == text)
        return false;
    for (value = colon + 1; *value == ' ' || *value == '\t'; value++)
        ;
    pair = json_pack("[o, o]", json_stringn(text, (size_t)(colon - text)), json_string(value));
    return pair != NULL && json_array_append_new(list, pair) == 0;
}

/* The exit status of a wrong use; -1: none. */
static int read_line(const struct ctl *c, struct explain_wish *e)
{
    const char *method = ctl_option(c, "request", 0), *field;

    e->curl = ctl_option(c, "curl", 0) != NULL;
    e->body = ctl_option(c, "data", 0);
    e->config = ctl_option(c, "config", 0);
    e->id = ctl_option(c, "id", 0);
    if (e->id != NULL && (c->argument_count > 0 || e->body != NULL || e->config != NULL || e->curl || method != NULL ||
                          ctl_option(c, "header", 0) != NULL))
        return use_wrongly("--id stands by itself");
    if (e->id != NULL)
        return -1;
    if (e->config != NULL && e->curl)
        return use_wrongly("--curl is of the running configuration");
    if (e->config != NULL)
        json_object_set_new(e->question, "facts", json_true());
    for (unsigned i = 0; (field = ctl_option(c, "header", i)) != NULL; i++)
        if (!add_header(json_object_get(e->question, "headers"), field))
            return use_wrongly("-H wants 'Name: value', in UTF-8");
    if (c->argument_count != 1)
        return use_wrongly("one URL is wanted");
    if (json_object_set_new(e->question, "url", json_string(c->arguments[0])) != 0 ||
        (method != NULL && json_object_set_new(e->question, "method", json_string(method)) != 0) ||
        (e->body != NULL && json_object_set_new(e->question, "body", json_string(e->body)) != 0))
        return use_wrongly("URL, method and body are text in UTF-8");
    return -1;
}

/* Beside what the running one says. */
static int compare(const struct ctl *c, const struct explain_wish *e, json_t *running)
{
    json_t *other = explain_wish_judge(e, running), *differs, *all, *each;
    size_t  i;
    char    list[256] = "";

    if (other == NULL)
        return 1;
    differs = explain_wish_differences(running, other);
    json_object_del(running, "facts");
    all = json_pack("{s:O, s:O, s:O}", "running", running, "config", other, "differs", differs);
    json_array_foreach(differs, i, each)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i > 0 ? ", " : "", json_string_value(each));
    if (!ctl_print_json(c, all)) {
        labelled_line("with", "%s", e->config);
        explain_wish_print(other);
        labelled_line("now", "%s", text(in(running, "would"), "text"));
        labelled_line("differs", "%s", *list != '\0' ? list : "nothing");
    }
    json_decref(all);
    json_decref(differs);
    json_decref(other);
    return 0;
}

static int print(const struct ctl *c, const struct explain_wish *e, json_t *answer)
{
    if (e->curl)
        return explain_wish_curl(e, answer);
    if (e->config != NULL)
        return compare(c, e, answer);
    if (!ctl_print_json(c, answer))
        explain_wish_print(answer);
    return 0;
}

static int run(const struct ctl *given)
{
    struct ctl          c = *given;
    struct explain_wish e = { .question = json_pack("{s:[]}", "headers") };
    json_t             *answer = NULL;
    int                 status = read_line(&c, &e);

    c.config = NULL; /* the daemon that is asked is the running one */
    if (status < 0 && e.id != NULL) {
        status = explain_wish_story(&c, e.id);
    } else if (status < 0) {
        answer = ctl_ask(&c, "POST", "/explain", json_incref(e.question));
        status = answer != NULL ? print(&c, &e, answer) : 1;
    }
    json_decref(answer);
    json_decref(e.question);
    return status;
}

const struct command command_explain = { "explain", "URL",  "say what would happen to a request, and why", 0, 2, run,
                                         0,         options };
