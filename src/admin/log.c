/*
 * /log: finished requests, a line of JSON for each with the names of the access log, streamed as the client takes them.
 *
 * ?n=20: the last so many; &since=10m: that ended since then; &filter=...: see engine/record_filter.h; &id=7: that one;
 * &follow=1: and those to come.  {"dropped": 132} stands where the client was too slow for so many, or more came than
 * anybody reads: a follower gets so many a second, and the rest is for the access log.
 *
 * The last n are found first, without being shown: the rings are read from their beginning, where the last n that fit
 * stand is kept, and from there they are read again.
 */
#include "admin/follow.h"
#include "base/clock.h"
#include "engine/access_format.h"
#include "engine/record_filter.h"
#include "http/duration.h"

#include <stdlib.h>

enum { N_MOST = 100000, LINE_BYTES = 20 * 1024, LINES_A_SECOND = 1000, LINES_AT_ONCE = 2000 };

struct log {
    struct follow               follow;
    const struct record_filter *filter;
    bool                        follows;
    int64_t                     n;                           /* -1: all */
    int64_t                     id;                          /* 0: any */
    int64_t                     since_ns, from_ns, began_ns; /* wall; since_ns: how long ago */
    /* the last n, while they are looked for; then so many are to be told, where nobody follows */
    bool                 is_finding;
    struct record_place *last;
    uint64_t             met;
    int64_t              left; /* -1: however many there are */
    /* of those to come */
    int64_t allowed_millis, allowed_at_ns; /* lines that may go out, in thousandths, as it was then */

    struct access_stamp stamp;
    char                line[LINE_BYTES];
};

static bool fits(const struct log *l, const struct request_record *r)
{
    return (l->id == 0 || r->id == l->id) && record_ended_ns(r) >= l->from_ns && record_filter_fits(l->filter, r);
}

/* -- the last n -- */

/* False: not all has been gone through yet. */
static bool find_last(struct log *l)
{
    const struct request_record *r;
    const uint64_t               n = (uint64_t)l->n;

    while ((r = follow_next(&l->follow)) != NULL)
        if (fits(l, r) && n > 0)
            l->last[l->met++ % n] = record_reader_place(l->follow.reader);
    if (follow_is_pausing(&l->follow))
        return false;
    record_reader_return(l->follow.reader, l->last, (unsigned)(l->met < n ? l->met : n));
    l->left = (int64_t)(l->met < n ? l->met : n);
    l->follow.missed = 0; /* what was too old to be kept was not dropped */
    return true;
}

/* -- telling -- */

static void tell(struct log *l, const struct request_record *r)
{
    struct json_out o = { .buffer = l->line, .capacity = sizeof l->line };

    access_format_json(&o, r, &l->stamp);
    json_raw(&o, SLICE("\n"));
    follow_tell_missed(&l->follow);
    if (!o.overflow)
        admin_write(l->follow.call, (struct slice){ l->line, o.used });
}

/* May another line go out?  As many as anybody reads. */
static bool take_allowance(struct log *l)
{
    if (l->allowed_millis < 1000)
        return false;
    l->allowed_millis -= 1000;
    return true;
}

static void renew_allowance(struct log *l)
{
    const int64_t now = clock_mono_ns(), passed_ms = (now - l->allowed_at_ns) / NS_PER_MS;

    if (passed_ms <= 0)
        return;
    l->allowed_millis += passed_ms * LINES_A_SECOND;
    if (l->allowed_millis > LINES_AT_ONCE * 1000)
        l->allowed_millis = LINES_AT_ONCE * 1000;
    l->allowed_at_ns = now;
}

/* True: what was asked for has been told. */
static bool tell_some(struct log *l)
{
    const struct request_record *r;
    struct admin_call           *call = l->follow.call;

    while (admin_has_room(call)) {
        if (!l->follows && l->left == 0)
            return true;
        r = follow_next(&l->follow);
        if (r == NULL)
            return !l->follows && !follow_is_pausing(&l->follow);
        if (!l->follows && l->left < 0 && record_ended_ns(r) > l->began_ns)
            return true;
        if (!fits(l, r))
            continue;
        if (record_ended_ns(r) > l->began_ns && !take_allowance(l)) {
            l->follow.missed++;
            continue;
        }
        tell(l, r);
        if (l->left > 0)
            l->left--;
    }
    return false;
}

static void write_more(struct admin_call *call)
{
    struct log *l = call->own.state;

    if (l->is_finding && !find_last(l))
        return;
    l->is_finding = false;
    if (l->follow.is_over) {
        admin_finish(call);
        return;
    }
    renew_allowance(l);
    if (tell_some(l)) {
        follow_tell_missed(&l->follow);
        admin_finish(call);
    } else if (admin_has_room(call) && !follow_is_pausing(&l->follow)) {
        follow_tell_missed(&l->follow); /* it has read all that there is */
    }
}

static void log_free(void *state)
{
    struct log *l = state;

    follow_end(&l->follow);
    free(l->last);
    free(l);
}

/* -- what is asked for -- */

static bool take_n(struct log *l, struct slice value, struct fault *why)
{
    if (!slice_to_int64(value, &l->n) || l->n > N_MOST)
        return fault_set(why, "n is how many: a number up to %d.", N_MOST), false;
    return true;
}

static bool take_since(struct log *l, struct slice value, struct fault *why)
{
    if (!http_duration_parse(value, &l->since_ns))
        return fault_set(why, "since is how long ago: 90s, 10m, 12h."), false;
    return true;
}

static bool take_id(struct log *l, struct slice value, struct fault *why)
{
    if (!slice_to_int64(value, &l->id) || l->id == 0)
        return fault_set(why, "id is the number of a request, as the log has it."), false;
    return true;
}

static bool take_follow(struct log *l, struct slice value, struct fault *why)
{
    l->follows = slice_eq(value, SLICE("1"));
    if (!l->follows && !slice_eq(value, SLICE("0")))
        return fault_set(why, "Write follow=1, or leave it out."), false;
    return true;
}

static bool take_filter(struct log *l, struct slice value, struct fault *why)
{
    struct fault inner = { "" };

    l->filter = record_filter_parse(value, &l->follow.call->arena, &inner);
    if (l->filter == NULL)
        fault_set(why, "The filter is not understood %s.", inner.text);
    return l->filter != NULL;
}

static bool take(void *state, struct slice name, struct slice value, struct fault *why)
{
    static const struct {
        const char *name;
        bool (*take)(struct log *, struct slice value, struct fault *why);
    } rows[] = { { "n", take_n },
                 { "since", take_since },
                 { "id", take_id },
                 { "follow", take_follow },
                 { "filter", take_filter } };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (slice_eq(name, slice_of(rows[i].name)))
            return rows[i].take(state, value, why);
    return fault_set(why, "There is no parameter \"" SLICE_FMT "\"; there are n, since, id, follow and filter.",
                     SLICE_ARG(slice_sub(name, 0, 60))),
           false;
}

/* Who finds nothing hears why there is nothing. */
static void tell_if_nothing_is_kept(const struct log *l)
{
    if (!l->follows && !recorder_keeps(l->follow.call->admin->recorder))
        admin_write(l->follow.call, SLICE("{\"kept\": false, \"because\": \"log.access is off: requests are kept only "
                                          "while somebody looks\"}\n"));
}

static void run(struct admin_call *call)
{
    struct log *l = mem_alloc(sizeof *l);

    l->follow.call = call;
    l->n = l->since_ns = -1;
    l->filter = record_filter_parse(SLICE(""), &call->arena, NULL);
    if (!follow_read_query(call, take, l)) {
        free(l);
        return;
    }
    l->began_ns = clock_wall_ns();
    l->from_ns = l->since_ns < 0 || l->since_ns > l->began_ns ? INT64_MIN : l->began_ns - l->since_ns;
    if (l->n < 0 && l->follows && l->since_ns < 0 && l->id == 0)
        l->n = 0;
    l->is_finding = l->n > 0;
    l->left = l->n == 0 ? 0 : -1;
    l->allowed_millis = LINES_AT_ONCE * 1000;
    l->allowed_at_ns = clock_mono_ns();
    if (l->n > 0)
        l->last = mem_alloc((size_t)l->n * sizeof *l->last);
    follow_begin(&l->follow, call, l->n == 0 ? RECORD_NEWEST : RECORD_OLDEST, l->follows);
    call->own = (struct admin_own){ .state = l, .free = log_free };
    admin_start(call, 200, "application/x-ndjson", write_more);
    tell_if_nothing_is_kept(l);
    admin_go_on(call);
}

const struct endpoint endpoint_log = { "/log", HTTP_GET, run, ON_QUERY_SOCKET };
