/*
 * Expect: 100-continue on the way up (RFC 9110 10.1.1).  Nothing of a body is asked for before the API has said
 * 100, or nothing for EXPECT_NS; then the client is told to send it.
 *
 * Over HTTP/1.1 libcurl waits so by itself before it asks for the body; over HTTP/2 it asks at once, and is
 * held here.
 */
#include "upstream/inside.h"

#define EXPECT_NS NS_PER_SEC

static void fire_expect(struct timer *timer)
{
    struct transfer *t = CONTAINER_OF(timer, struct transfer, expect);

    t->held_back = false;
    transfer_resume(t);
}

/* Whoever waits for the word of it. */
static void tell(struct flight *f)
{
    static const struct http_fields none;

    f->unexpecting = f->continued = true;
    for (struct fetch_links *w = f->first; w != NULL; w = w->next)
        if (w->fetch->expects)
            waiter_post_interim(w, 100, &none);
}

bool expect_holds(struct transfer *t)
{
    if (t->expecting && !t->heard_100 && clock_mono_ns() < t->sent_ns + EXPECT_NS) {
        t->held_back = true;
        t->expect.fire = fire_expect;
        timers_set(&t->up->timers, &t->expect, t->sent_ns + EXPECT_NS);
        return true;
    }
    t->expecting = false;
    if (t->fetch->expects && t->flight != NULL && !t->flight->continued)
        tell(t->flight);
    return false;
}

/* From within curl's callback: the loop goes on with it. */
void expect_heard(struct transfer *t)
{
    t->heard_100 = true;
    if (t->held_back)
        timers_set(&t->up->timers, &t->expect, clock_mono_ns());
}
