/*
 * /mode: another mode for an upstream, or for all, at run time; it is durable before it is answered.
 */
#include "admin/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/mode.h"
#include "http/duration.h"

#include <stdlib.h>

struct mode_order { /* the call's own */
    struct state_change change;
    struct admin_call  *call;
    struct mode_set     set;
    unsigned            first, end, next; /* of the configuration's upstreams */
    char                row[MODE_ROW_BYTES];
};

/* Why the mode cannot be had by them; NULL: it can. */
static const char *missing_for(const struct config *c, const struct config_upstream *only, enum upstream_mode mode)
{
    const char *why = only != NULL ? config_tape_missing(only, mode) : NULL;

    for (unsigned i = 0; only == NULL && why == NULL && i < c->upstream_count; i++)
        why = config_tape_missing(&c->upstreams[i], mode);
    return why;
}

/* False: it is answered why not. */
static bool read_order(struct admin_call *call, struct mode_order *o)
{
    json_t     *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    const char *name = json_string_value(json_object_get(root, "upstream")),
               *mode = json_string_value(json_object_get(root, "mode")),
               *duration = json_string_value(json_object_get(root, "for"));
    const struct config_upstream *up = name != NULL ? config_find_upstream(call->config, name) : NULL;
    bool                          all = json_is_true(json_object_get(root, "all"));
    int64_t                       for_ns = INT64_MAX;
    const char                   *wrong = NULL;

    if (mode == NULL || (name != NULL) == all || !config_mode_parse(slice_of(mode), &o->set.mode))
        wrong = "Send {\"upstream\": NAME, \"mode\": MODE} or {\"all\": true, \"mode\": MODE}, and \"for\": \"2h\" "
                "where it "
                "is to end by itself. MODE is " MODE_NAMES ".";
    else if (config_mode_missing(o->set.mode) != NULL)
        wrong = config_mode_missing(o->set.mode);
    else if ((all || up != NULL) && missing_for(call->config, up, o->set.mode) != NULL)
        wrong = missing_for(call->config, up, o->set.mode);
    else if (json_object_get(root, "for") != NULL &&
             (duration == NULL || !http_duration_parse(slice_of(duration), &for_ns) || for_ns < NS_PER_SEC))
        wrong = "\"for\" is a duration of at least a second, such as \"2h\".";
    if (wrong != NULL)
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD, wrong);
    else if (name != NULL && up == NULL)
        admin_answer_problem(call, PROBLEM_NO_UPSTREAM,
                             "The configuration has no upstream of that name; weirctl status lists those it has.");
    json_decref(root);
    o->first = o->next = up != NULL ? up->route.index : 0;
    o->end = up != NULL ? o->first + 1 : call->config->upstream_count;
    o->set.until_wall_ns = for_ns == INT64_MAX ? INT64_MAX : time_add(clock_wall_ns(), for_ns);
    return wrong == NULL && (all || up != NULL);
}

/* What the configuration says anyway needs no row, but one that ends: it says so until then. */
static struct mode_set set_of(const struct mode_order *o, const struct config_upstream *up)
{
    struct mode_set set = o->set;

    set.is_set = set.mode != up->mode || set.until_wall_ns != INT64_MAX;
    return set;
}

static void answer(struct mode_order *o)
{
    struct admin_call *call = o->call;
    json_t            *list = json_array();

    for (unsigned i = o->first; i < o->end; i++) {
        const struct config_upstream *up = &call->config->upstreams[i];

        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "upstream", up->route.name, "mode",
                                              config_mode_name(config_mode_now(up, clock_wall_ns())), "until",
                                              o->set.until_wall_ns == INT64_MAX
                                                  ? json_null()
                                                  : json_integer(o->set.until_wall_ns / NS_PER_SEC)));
    }
    admin_answer_json(call, 200, json_pack("{s:o}", "modes", list));
}

static void submit_next(struct mode_order *o);

static void written(struct mail *m)
{
    struct mode_order            *o = CONTAINER_OF(m, struct mode_order, change.done);
    struct admin_call            *call = o->call;
    const struct config_upstream *up = &call->config->upstreams[o->next++];
    bool                          ok = o->change.ok;

    if (ok) {
        config_mode_set(up, set_of(o, up));
        store_look_again(call->admin->services->store);
        log_info("mode_set", "upstream=%s mode=%s", up->route.name, config_mode_name(o->set.mode));
    }
    if (ok && o->next < o->end) { /* all of them, whether or not somebody waits to hear it */
        submit_next(o);
        return;
    }
    if (!admin_resume(call))
        return;
    if (ok)
        answer(o);
    else
        admin_answer_problem(call, PROBLEM_MODE_NOT_KEPT, "The disk or the database of the state directory refused.");
}

static void submit_next(struct mode_order *o)
{
    const struct admin_services  *services = o->call->admin->services;
    const struct config_upstream *up = &o->call->config->upstreams[o->next];
    const struct mode_set         set = set_of(o, up);

    o->change = (struct state_change){ .state = services->state,
                                       .owner = &config_mode_rows,
                                       .name = slice_of(up->route.name),
                                       .value = set.is_set ? config_mode_row(up, set, o->row) : SLICE_NONE,
                                       .reply_to = o->call->admin->mailbox,
                                       .done.receive = written };
    o->call->awaits_mail = true;
    state_submit(services->store, &o->change);
}

static void run(struct admin_call *call)
{
    struct mode_order *o = arena_alloc(&call->arena, sizeof *o);

    o->call = call;
    if (read_order(call, o) && o->next < o->end)
        submit_next(o);
}

const struct endpoint endpoint_mode = { "/mode", HTTP_POST, run, ON_ADMIN_SOCKET_ALONE };
