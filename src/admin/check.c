/*
 * /upstreams/check: each upstream is tried step by step, one line of JSON each as soon as it is known.
 *
 * A thread looks at name, connection and certificate (upstream/probe.h).  Where they are well, a HEAD goes the way of
 * any request, through access, credential and budget, with no part of the cache in it; its Date is the API's clock.
 */
#include "admin/checking.h"

#include "base/clock.h"
#include "config/mode.h"
#include "engine/service.h"
#include "http/date.h"
#include "http/url.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 256 };
#define PROBE_MOST_NS (10 * NS_PER_SEC)

static void write_line(struct checking *k, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);

    json_decref(line);
    admin_write(k->call, slice_of(text != NULL ? text : "{}"));
    admin_write(k->call, SLICE("\n"));
    free(text);
}

static void end_one(struct checking *k)
{
    json_t *line = checking_line(k);

    k->checked++;
    k->failed += !json_is_true(json_object_get(line, "ok"));
    write_line(k, line);
    k->is_busy = false;
    k->next++;
    admin_go_on(k->call);
}

/* -- the request -- */

static void close_exchange(struct checking *k)
{
    if (k->exchange != NULL)
        exchange_close(k->exchange, clock_mono_ns(), true, 0);
    k->exchange = NULL;
}

static void take_answer(struct checking *k)
{
    const struct reply *r = exchange_reply(k->exchange);
    struct slice        date = http_fields_get(&r->fields, HTTP_DATE);
    int64_t             date_s, now_s = clock_wall_ns() / NS_PER_SEC;

    k->status = r->status;
    k->is_own = exchange_is_own_reply(k->exchange);
    k->problem = k->is_own ? arena_copy(&k->arena, r->bytes) : SLICE_NONE;
    k->has_date = !k->is_own && date.ptr != NULL && http_date_parse(date, now_s, &date_s);
    k->ahead_s = k->has_date ? date_s - now_s : 0;
    close_exchange(k);
    end_one(k);
}

static void wake(void *owner)
{
    struct checking *k = owner;

    if (k->exchange != NULL && exchange_run(k->exchange) == EXCHANGE_READY)
        take_answer(k);
}

static const struct peer *known(void *owner)
{
    const struct checking *k = owner;

    return k->asker.known(k->asker.owner);
}

static const struct peer *who(void *owner)
{
    const struct checking *k = owner;

    return k->asker.who(k->asker.owner);
}

static struct peer_card *card(void *owner)
{
    const struct checking *k = owner;

    return k->asker.card(k->asker.owner);
}

static void label(void *owner, struct request_record *record)
{
    (void)owner;
    (void)record;
}

static void interim(void *owner, unsigned status, const struct http_fields *fields)
{
    (void)owner;
    (void)status;
    (void)fields;
}

static void ask(struct checking *k)
{
    static const struct {
        const char *name, *value;
    } fields[] = {
        { "Host", "localhost" },      { "Accept", "*/*" },       { "Cache-Control", "no-cache, no-store" },
        { "Weir-Client", "weirctl" }, { "Weir-Max-Wait", "5s" }, { "Weir-Timeout", "20s" },
    };
    struct exchange_input in = { .request = { .method = HTTP_HEAD, .method_name = SLICE("HEAD"), .version_minor = 1 },
                                 .body_bytes = 0,
                                 .head_bytes = HEAD_BYTES,
                                 .is_probe = true,
                                 .peer = k->asker.peer,
                                 .known = known,
                                 .who = who,
                                 .card = card,
                                 .label = label,
                                 .wake = wake,
                                 .interim = interim,
                                 .owner = k };

    in.request.target = arena_printf(&k->arena, "/%s/", k->up->route.name);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        http_fields_add(&in.request.fields, &k->arena, slice_of(fields[i].name), slice_of(fields[i].value));
    k->asked = in;
    k->exchange = exchange_open(k->engine, &k->asked);
    if (exchange_begin(k->exchange) == EXCHANGE_READY)
        take_answer(k);
}

/* -- what comes before -- */

static void probed(struct mail *m)
{
    struct checking *k = CONTAINER_OF(CONTAINER_OF(m, struct upstream_probe, done), struct checking, probe);

    if (!admin_resume(k->call))
        return;
    if (k->probe.result.finding == PROBE_WELL)
        ask(k);
    else
        end_one(k);
}

static bool is_wanted(const struct checking *k, const struct config_upstream *up)
{
    return k->only == NULL || strcmp(k->only, up->route.name) == 0;
}

/* Nothing goes to an API whose mode lets nothing go, not even a look at its name. */
static bool is_left_alone(struct checking *k, const struct config_upstream *up)
{
    k->mode = config_mode_now(up, clock_wall_ns());
    return config_mode_lets_none(k->mode);
}

static void tell_left_alone(struct checking *k, const struct config_upstream *up)
{
    k->checked++;
    write_line(k, json_pack("{s:s, s:b, s:o, s:s, s:s}", "upstream", up->route.name, "ok", 1, "url", checking_url(up),
                            "mode", config_mode_name(k->mode), "credential", "untried"));
}

/* NULL: there is none. */
static const struct config_upstream *find_next(struct checking *k)
{
    const struct config *config = k->call->config;

    while (k->next < config->upstream_count && !is_wanted(k, &config->upstreams[k->next]))
        k->next++;
    return k->next < config->upstream_count ? &config->upstreams[k->next] : NULL;
}

/* False: it cannot be. */
static bool begin(struct checking *k, const struct config_upstream *up)
{
    k->up = up;
    k->status = 0;
    k->probe = (struct upstream_probe){ .options = &up->fetch.origin,
                                        .authority = up->route.authority,
                                        .limit_ns = PROBE_MOST_NS,
                                        .reply_to = k->call->admin->mailbox,
                                        .done = { .receive = probed } };
    k->is_busy = true;
    k->call->awaits_mail = upstream_probe_start(&k->probe);
    return k->call->awaits_mail;
}

static void end_all(struct checking *k)
{
    write_line(k, json_pack("{s:i, s:i}", "checked", (int)k->checked, "failed", (int)k->failed));
    admin_finish(k->call);
}

static void more(struct admin_call *call)
{
    struct checking *k = call->own.state;

    while (!k->is_busy && admin_has_room(call)) {
        const struct config_upstream *up = find_next(k);

        if (up == NULL) {
            end_all(k);
            return;
        }
        if (is_left_alone(k, up)) {
            tell_left_alone(k, up);
            k->next++;
        } else if (!begin(k, up)) {
            write_line(k, json_pack("{s:s, s:b, s:s}", "upstream", up->route.name, "ok", 0, "detail",
                                    "Weir could make no thread for this: raise TasksMax."));
            k->failed++;
            end_all(k);
            return;
        }
    }
}

static void free_checking(void *state)
{
    struct checking *k = state;

    close_exchange(k);
    arena_free(&k->arena);
    free(k);
}

static const char *only_of(struct admin_call *call)
{
    struct slice rest = call->query, parameter;

    while (http_query_next(&rest, &parameter)) {
        size_t at = slice_find(parameter, '=', 0);

        if (slice_eq(slice_sub(parameter, 0, at), SLICE("name")) && at < parameter.len)
            return arena_copy(&call->arena,
                              http_percent_decode(slice_sub(parameter, at + 1, parameter.len), &call->arena))
                .ptr;
    }
    return NULL;
}

static void run(struct admin_call *call)
{
    const char      *only = only_of(call);
    struct checking *k;

    if (only != NULL && config_find_upstream(call->config, only) == NULL) {
        admin_answer_problem(
            call, PROBLEM_NO_UPSTREAM,
            arena_printf(&call->arena, "The configuration has no upstream \"%s\"; weirctl status lists those it has.",
                         only)
                .ptr);
        return;
    }
    k = mem_alloc(sizeof *k);
    k->call = call;
    k->only = only;
    k->engine = call->rights.engine;
    k->asker = *call->rights.asker;
    call->own.state = k;
    call->own.free = free_checking;
    admin_start(call, 200, "application/x-ndjson", more);
    admin_go_on(call);
}

const struct endpoint endpoint_check = { "/upstreams/check", HTTP_POST, run, ON_ADMIN_SOCKET_ALONE };
