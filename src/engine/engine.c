/*
 * A worker's engine: its share of the services, and the numbers that requests have in the log.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "engine/service.h"

#include <stdlib.h>

static void receive_begin(struct mail *m)
{
    struct engine *e = CONTAINER_OF(m, struct engine, begin);

    e->services->later->begin(e->desk);
}

struct engine *engine_open(const struct engine_services *services, struct mailbox *mailbox, struct config *config,
                           struct recorder *recorder, unsigned index, unsigned count)
{
    struct engine *e = mem_alloc(sizeof *e);

    e->services = services;
    e->mailbox = mailbox;
    e->recorder = recorder;
    e->next_id = index + 1;
    e->id_step = count;
    e->index = index;
    CHECK(index < config->traffic->workers);
    if (services->later != NULL) {
        e->desk = services->later->open_desk(e, services->jobs, mailbox, index, count);
        e->begin.receive = receive_begin;
        mailbox_post(mailbox, &e->begin);
    }
    e->groups = groups_open();
    e->reader = store_reader_open(services->store);
    config_acquire(config);
    e->config = config;
    return e;
}

void engine_close(struct engine *e)
{
    if (e == NULL)
        return;
    CHECK(engine_is_idle(e));
    while (!SLIST_EMPTY(&e->unused)) {
        struct exchange *x = SLIST_FIRST(&e->unused);

        SLIST_REMOVE_HEAD(&e->unused, entry);
        arena_free(&x->arena);
        free(x);
    }
    if (e->desk != NULL)
        e->services->later->close_desk(e->desk);
    timers_free(&e->timers);
    store_reader_close(e->reader);
    groups_close(e->groups);
    config_release(e->config);
    free(e);
}

void engine_configure(struct engine *e, struct config *config)
{
    config_acquire(config);
    config_release(e->config);
    e->config = config;
}

uint64_t engine_take_id(struct engine *e)
{
    uint64_t id = e->next_id;

    e->next_id += e->id_step;
    return id;
}

void engine_count_refused(struct engine *e, struct slice method, unsigned status)
{
    const bool is_safe = http_method_is_safe(http_method_parse(method));

    counter_add(COUNTER_REQUESTS, 1);
    counter_add(COUNTER_CLIENT_ERRORS, 1);
    cell_add(&traffic_of(e->config->traffic, e->index)
                  ->requests[traffic_cell(is_safe ? TRAFFIC_SAFE : TRAFFIC_UNSAFE, status, TRAFFIC_ERROR)],
             1);
}

void engine_stop(struct engine *e)
{
    if (e->desk != NULL)
        e->services->later->stop(e->desk);
}

bool engine_is_busy(const struct engine *e)
{
    return e->desk != NULL && e->services->later->is_busy(e->desk);
}

void engine_break(struct engine *e)
{
    if (e->desk != NULL)
        e->services->later->end(e->desk);
}

int64_t engine_due_ns(const struct engine *e)
{
    return timers_next_ns(&e->timers);
}

void engine_run_due(struct engine *e)
{
    timers_run(&e->timers, clock_mono_ns());
}

bool engine_is_idle(const struct engine *e)
{
    return e->open_count == 0 && e->fetch_count == 0 && e->change_count == 0;
}

bool engine_admits(struct engine *e, const struct config_upstream *up, const struct peer *who)
{
    return admission_allows(up, who, e->groups, clock_mono_ns());
}

struct slice engine_not_admitted(const struct peer *who, struct arena *a)
{
    return ARENA_JOIN(a, SLICE("The setting access of this upstream does not list whom Weir takes you for: "),
                      admission_who(who, a), SLICE("."));
}
