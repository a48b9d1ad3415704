/*
 * How a call is woken for new records, and which of them its caller may see.
 */
#include "admin/follow.h"

#include "http/url.h"

#include <inttypes.h>
#include <stdio.h>

static void go_on(struct mail *m)
{
    struct follow     *f = CONTAINER_OF(m, struct follow, again);
    struct admin_call *call = f->call;

    f->looked = 0;
    if (admin_resume(call))
        admin_go_on(call);
}

/* It may last for days: what it goes by is the configuration in effect, and no older one is kept for it. */
static void take_configuration(struct admin_call *call, struct config *config)
{
    config_acquire(config);
    config_release(call->config);
    call->config = config;
}

static void tick(struct record_watch *watch, enum record_tick what)
{
    struct follow     *f = CONTAINER_OF(watch, struct follow, watch);
    struct admin_call *call = f->call;

    if (what == RECORD_ENDING || (what == RECORD_CHANGED && f->ends_with_configuration))
        f->is_over = true;
    else if (what == RECORD_CHANGED)
        take_configuration(call, watch->config);
    if (!call->ended && !call->awaits_mail && call->stream.is_awaited)
        admin_go_on(call);
}

void follow_begin(struct follow *f, struct admin_call *call, enum record_from from, bool watches)
{
    f->call = call;
    f->again.receive = go_on;
    f->watch.tick = tick;
    f->watches = call->may_be_cut = watches;
    if (watches)
        recorder_watch(call->admin->recorder, &f->watch);
    f->reader = record_reader_open(call->admin->recorder->records, from);
}

void follow_end(struct follow *f)
{
    if (f->watches)
        recorder_unwatch(f->call->admin->recorder, &f->watch);
    record_reader_close(f->reader);
}

/* On the query socket a user sees his own requests, and nobody sees those of whom nothing is known. */
static bool may_see(const struct follow *f, const struct request_record *r)
{
    const struct admin_rights *rights = &f->call->rights;

    return rights->may_change || (rights->uid >= 0 && rights->uid == r->uid);
}

bool follow_is_pausing(const struct follow *f)
{
    return f->looked >= FOLLOW_AT_ONCE;
}

const struct request_record *follow_next(struct follow *f)
{
    const struct request_record *r;

    while (!follow_is_pausing(f)) {
        r = record_reader_next(f->reader, &f->missed);
        if (r == NULL) {
            f->looked = 0;
            return NULL;
        }
        f->looked++;
        if (may_see(f, r))
            return r;
    }
    f->call->awaits_mail = true;
    mailbox_post(f->call->admin->mailbox, &f->again);
    return NULL;
}

void follow_tell_missed(struct follow *f)
{
    char text[64];
    int  used = snprintf(text, sizeof text, "{\"dropped\": %" PRIu64 "}\n", f->missed);

    if (f->missed == 0)
        return;
    f->missed = 0;
    admin_write(f->call, (struct slice){ text, (size_t)used });
}

/* "+" is a space in a form's query, as programs write it. */
static struct slice decoded(struct slice text, struct arena *a)
{
    struct slice copy = arena_copy(a, text);
    char        *c = (char *)(uintptr_t)copy.ptr;

    for (size_t i = 0; i < copy.len; i++)
        if (c[i] == '+')
            c[i] = ' ';
    return http_percent_decode(copy, a);
}

bool follow_read_query(struct admin_call *call,
                       bool (*take)(void *state, struct slice name, struct slice value, struct fault *why), void *state)
{
    struct slice rest = call->query, parameter;
    struct fault why = { "" };

    while (http_query_next(&rest, &parameter)) {
        size_t equals = slice_find(parameter, '=', 0);

        if (parameter.len == 0 || take(state, slice_sub(parameter, 0, equals),
                                       decoded(slice_sub(parameter, equals + 1, parameter.len), &call->arena), &why))
            continue;
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD, why.text);
        return false;
    }
    return true;
}
