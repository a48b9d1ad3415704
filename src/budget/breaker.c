/*
 * Closed, open, probing: the three states in four fields; and the pause that an
 * API asks for with a 5xx.
 */
#include "budget/breaker.h"

#include "base/clock.h"

#define FIRST_PAUSE_NS NS_PER_SEC
#define LAST_PAUSE_NS  (30 * NS_PER_SEC)

bool breaker_allows(struct breaker *b, int64_t now_ns, int64_t *retry_in_ns)
{
    if (b->open_until_ns == 0)
        return true;
    if (now_ns < b->open_until_ns) {
        *retry_in_ns = b->open_until_ns - now_ns;
        return false;
    }
    /* This one is the probe. Should it never report, another goes after the same pause. */
    b->probing = true;
    b->open_until_ns = now_ns + b->pause_ns;
    return true;
}

void breaker_report(struct breaker *b, bool ok, int64_t now_ns)
{
    if (ok) { /* also one that was sent before it opened: the upstream lives */
        *b = (struct breaker){ 0 };
        return;
    }
    if (b->failures < BREAKER_FAILURES)
        b->failures++;
    if (b->open_until_ns == 0) {
        if (b->failures < BREAKER_FAILURES)
            return;
        b->pause_ns = FIRST_PAUSE_NS;
    } else if (b->probing) {
        b->pause_ns = b->pause_ns < LAST_PAUSE_NS / 2 ? b->pause_ns * 2 : LAST_PAUSE_NS;
    } else { /* sent before it opened: says nothing new */
        return;
    }
    b->probing = false;
    b->open_until_ns = now_ns + b->pause_ns;
}

/* -- a pause that the API asks for -- */

static bool holds(const struct hold *h, int64_t now_ns)
{
    return h->until_ns > now_ns;
}

static void pause_again(struct hold *h, int64_t now_ns)
{
    h->is_confirmed = true;
    h->pause_ns = h->pause_ns < LAST_PAUSE_NS / 2 ? h->pause_ns * 2 : LAST_PAUSE_NS;
    h->probe_ns = now_ns + h->pause_ns;
}

void hold_hear(struct hold *h, int64_t for_ns, int64_t sent_ns, int64_t now_ns, int64_t now_wall_ns)
{
    int64_t until_ns = for_ns < INT64_MAX - now_ns ? now_ns + for_ns : INT64_MAX;

    if (!holds(h, now_ns)) {
        *h = (struct hold){ .pause_ns = FIRST_PAUSE_NS, .probe_ns = now_ns + FIRST_PAUSE_NS };
    } else if (sent_ns > h->heard_ns) {
        pause_again(h, now_ns);
    }
    h->heard_ns = now_ns;
    h->heard_wall_ns = now_wall_ns;
    if (until_ns > h->until_ns)
        h->until_ns = until_ns;
}

int64_t hold_wait_ns(const struct hold *h, int64_t now_ns)
{
    int64_t end_ns = h->probe_ns < h->until_ns ? h->probe_ns : h->until_ns;

    return holds(h, now_ns) && end_ns > now_ns ? end_ns - now_ns : 0;
}

void hold_send(struct hold *h, int64_t now_ns)
{
    if (holds(h, now_ns)) /* should it never report, another goes after the same pause */
        h->probe_ns = now_ns + h->pause_ns;
}

int64_t hold_predict_ns(const struct hold *h, int64_t now_ns)
{
    int64_t probe_ns = hold_wait_ns(h, now_ns);

    if (!holds(h, now_ns) || probe_ns == 0 || !h->is_confirmed)
        return probe_ns;
    return h->until_ns - now_ns;
}

bool hold_answered(struct hold *h, bool well, int64_t sent_ns, int64_t now_ns)
{
    if (!holds(h, now_ns) || sent_ns <= h->heard_ns)
        return false;
    if (!well) {
        pause_again(h, now_ns);
        return false;
    }
    *h = (struct hold){ 0 };
    return true;
}
