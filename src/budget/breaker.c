/*
 * Closed, open, probing: the three states in four fields.
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
    if (ok) {                         /* also one that was sent before it opened: the upstream lives */
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
    } else {                          /* sent before it opened: says nothing new */
        return;
    }
    b->probing = false;
    b->open_until_ns = now_ns + b->pause_ns;
}
