/*
 * What is told of a task, and its result as the answer of whoever asks for it.
 */
#include "jobs/task.h"

#include "base/clock.h"
#include "http/json_of.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

struct slice task_url(struct exchange *x, const struct task *t, bool result)
{
    return arena_printf(service_arena(x), SLICE_FMT "/.weir/jobs/%s%s", SLICE_ARG(service_base_url(x)), t->id,
                        result ? "/result" : "");
}

static json_t *time_text(int64_t wall_ns)
{
    const time_t seconds = (time_t)(wall_ns / NS_PER_SEC);
    struct tm    parts;
    char         text[32];

    if (gmtime_r(&seconds, &parts) == NULL || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return json_null();
    return json_string(text);
}

static void set(json_t *o, const char *name, json_t *value)
{
    json_object_set_new(o, name, value);
}

/* All that is no matter of how its reader has come. */
static json_t *facts_of(const struct task *t, int64_t now)
{
    const enum task_state state = task_state_at(t, now);
    json_t               *o = json_object();

    set(o, "id", json_string(t->id));
    set(o, "state", json_string(task_state_name(state)));
    if (state == TASK_QUEUED && t->outlook.is_known && t->outlook.eta_wall_ns > 0) {
        set(o, "ahead", json_integer((json_int_t)t->outlook.ahead));
        set(o, "eta", time_text(t->outlook.eta_wall_ns > now ? t->outlook.eta_wall_ns + NS_PER_SEC - 1 : now));
    }
    set(o, "method", json_of_text(t->asked.request.method_name));
    set(o, "target", json_of_text(t->asked.shown));
    set(o, "upstream", json_of_text(t->asked.upstream));
    set(o, "created", time_text(t->created_wall_ns));
    set(o, "seq", json_integer((json_int_t)t->seq));
    if (TASK_HAS_ENDED(state)) {
        set(o, "ended", time_text(t->ended_wall_ns));
        set(o, "expires", time_text(time_add(t->ended_wall_ns, atomic_load(&t->jobs->keep_ns))));
        set(o, "status", t->answer != NULL ? json_integer(t->answer->status) : json_null());
    }
    return o;
}

json_t *task_show(struct exchange *x, const struct task *t, int64_t now)
{
    json_t *o = facts_of(t, now);

    set(o, "result", json_of_text(task_url(x, t, true)));
    return o;
}

/* -- all of them, for who may change Weir -- */

static int newest_first(const void *a, const void *b)
{
    const struct task *x = *(struct task *const *)a, *y = *(struct task *const *)b;

    return (x->seq < y->seq) - (x->seq > y->seq);
}

/* Those that there are, and how many are in each state; under the lock.  malloc'd. */
static struct task **gather_all(struct jobs *jobs, int64_t now, unsigned counts[TASK_GONE + 1], unsigned *count)
{
    struct task **found = mem_alloc((jobs->count + 1) * sizeof *found);
    struct task  *t;

    *count = 0;
    TAILQ_FOREACH (t, &jobs->all, entry) {
        const enum task_state state = task_state_at(t, now);

        if (!t->row.is_there || state >= TASK_EXPIRED || *count == jobs->count)
            continue;
        counts[state]++;
        found[(*count)++] = t;
    }
    return found;
}

json_t *jobs_overview(struct jobs *jobs, unsigned most, int64_t now_wall_ns)
{
    unsigned      counts[TASK_GONE + 1] = { 0 }, count;
    json_t       *list = json_array(), *states = json_object();
    struct task **found;

    jobs_lock(jobs);
    found = gather_all(jobs, now_wall_ns, counts, &count);
    if (count > 0 && most > 0)
        qsort(found, count, sizeof *found, newest_first);
    for (unsigned i = 0; i < count && i < most; i++) {
        task_outlook_is_fresh(found[i], clock_mono_ns()); /* who asks again finds it so */
        json_array_append_new(list, facts_of(found[i], now_wall_ns));
    }
    jobs_unlock(jobs);
    free(found);
    for (int s = TASK_QUEUED; s <= TASK_CANCELLED; s++)
        set(states, task_state_name((enum task_state)s), json_integer(counts[s]));
    return json_pack("{s:o, s:o, s:b}", "states", states, "jobs", list, "more", count > most);
}

int64_t task_retry_s(const struct task *t, int64_t now)
{
    int64_t left = t->state == TASK_QUEUED && t->outlook.is_known ? t->outlook.eta_wall_ns - now : 0;

    return left > NS_PER_SEC ? (left + NS_PER_SEC - 1) / NS_PER_SEC : 1;
}

/* -- results -- */

/* What is under the lock is copied out; the file is opened after that. */
static bool open_file(const struct task *t, struct reply *r)
{
    char name[TASK_FILE_BYTES];

    task_file_name(t, true, name);
    r->fd = openat(t->jobs->directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return r->fd >= 0;
}

bool task_answer_with(struct exchange *x, struct task *t, bool location)
{
    struct reply              r = { .fd = -1 };
    bool                      is_in_file;
    const struct task_answer *a;
    const bool                is_head = service_input(x)->request.method == HTTP_HEAD;

    jobs_lock(t->jobs);
    a = t->answer;
    is_in_file = a->body.is_in_file;
    t->was_read = !is_head;
    jobs_unlock(t->jobs);
    r.status = a->status;
    r.fields = a->fields;
    r.kind = a->is_empty || is_head ? REPLY_EMPTY : REPLY_BYTES;
    r.length = a->is_empty ? a->length : a->body.bytes;
    r.bytes = a->body.text;
    if (is_in_file && r.kind == REPLY_BYTES) {
        r.kind = REPLY_FILE;
        r.bytes = SLICE_NONE;
        if (!open_file(t, &r))
            return false;
    }
    service_reply(x, &r);
    if (location && http_fields_find(&a->fields, HTTP_CONTENT_LOCATION, 0) < 0)
        service_add_field(x, "Content-Location", task_url(x, t, true));
    return true;
}
