/*
 * How long those who wait for one answer listen to an API that says nothing:
 * each for as long as his own time-out lets him.
 *
 * The attempt ends when it has been silent for the time of the most patient of them,
 * measured from the API's last word: nobody prolongs it by coming late.  Who gives up
 * before that hears so alone, and it goes on for the others; in mid-body only his own copy is
 * cut.  What goes on without anybody has the time-out of its rule.
 */
#include "upstream/internal.h"

#include "base/counters.h"

static bool is_bounded(int64_t timeout_ns)
{
    return timeout_ns > 0 && timeout_ns < INT64_MAX / 2;
}

static int64_t patience_ns(const struct turn *t)
{
    const struct flight *f = t->flight;
    int64_t              most = 0;

    if (f == NULL)
        return t->fetch->patience.read_ns;
    EACH_WAITER(w, f)
    {
        if (!is_bounded(w->fetch->patience.read_ns))
            return 0;
        if (w->fetch->patience.read_ns > most)
            most = w->fetch->patience.read_ns;
    }
    if (f->keep && t->fetch->patience.timeout->read_ns > most)
        most = t->fetch->patience.timeout->read_ns;
    return most > 0 ? most : t->fetch->patience.read_ns;
}

/* When he gives up; INT64_MAX: not by himself. */
static int64_t gives_up_at(const struct fetch_links *w, int64_t since_ns, int64_t whole_ns)
{
    int64_t from = since_ns > w->wait_from_ns ? since_ns : w->wait_from_ns;

    if (!is_bounded(w->fetch->patience.read_ns))
        return INT64_MAX;
    from += w->fetch->patience.read_ns;
    return whole_ns <= 0 || from < since_ns + whole_ns ? from : INT64_MAX;
}

int64_t patience_until(const struct turn *t, int64_t since_ns, bool *ends)
{
    const struct flight *f = t->flight;
    int64_t              whole_ns = patience_ns(t), next = INT64_MAX;

    *ends = true;
    if (whole_ns > 0 && whole_ns < INT64_MAX - since_ns)
        next = since_ns + whole_ns;
    if (f == NULL || (f->waiting + f->receiving <= 1 && !f->keep))
        return next; /* one alone is the attempt's own measure */
    EACH_WAITER(w, f)
    {
        int64_t at = gives_up_at(w, since_ns, whole_ns);

        if (at < next) {
            next = at;
            *ends = false;
        }
    }
    return next;
}

static void give_up(const struct turn *t, struct fetch_links *w)
{
    const struct fetch *fetch = w->fetch;
    struct failure      failure;
    bool                own = fetch->patience.read_ns != fetch->patience.timeout->read_ns;

    if (w->at == WAITER_RECEIVING) {
        counter_add(COUNTER_CUT_SHORT, 1);
        waiter_cut(w);
        return;
    }
    failure_set(&failure, ATTEMPT_TIMEOUT, "http_response_timeout", "%s: it sent nothing for longer than %s",
                t->site->name, own ? "this request's Weir-Timeout" : "timeout.read");
    waiter_fail(w, &failure, 0);
}

void patience_end(struct turn *t, int64_t since_ns, int64_t now_ns)
{
    struct flight *f = t->flight;
    int64_t        whole_ns = patience_ns(t);

    EACH_WAITER_SAFE(w, f)
    {
        if (gives_up_at(w, since_ns, whole_ns) <= now_ns)
            give_up(t, w);
    }
    flight_look_who_waits(f);
}
