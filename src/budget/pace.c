/*
 * A ring in order of time, and the same in order of length.
 */
#include "budget/pace.h"

#include "base/clock.h"

#include <string.h>

enum { KEPT_FOR_S = 600, OUTLIERS = 2, LOST_TIMES = 2, LOST_TIMES_OF_FEW = 4 };

/* Where it stands in order of length: the first that is not below it. */
static unsigned place_of(const struct pace *p, uint32_t took_us)
{
    unsigned low = 0, high = p->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (p->sorted_us[middle] < took_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void drop_oldest(struct pace *p)
{
    unsigned at = place_of(p, p->kept[p->first].took_us);

    memmove(&p->sorted_us[at], &p->sorted_us[at + 1], (p->count - at - 1) * sizeof p->sorted_us[0]);
    p->first = (p->first + 1) % PACE_KEPT;
    p->count--;
}

static void add(struct pace *p, uint32_t took_us, uint32_t now_s)
{
    unsigned at = place_of(p, took_us);

    memmove(&p->sorted_us[at + 1], &p->sorted_us[at], (p->count - at) * sizeof p->sorted_us[0]);
    p->sorted_us[at] = took_us;
    p->kept[(p->first + p->count) % PACE_KEPT].took_us = took_us;
    p->kept[(p->first + p->count) % PACE_KEPT].at_s = now_s;
    p->count++;
}

/* It has another pace from now on. */
static bool has_turned(struct pace *p, uint32_t took_us)
{
    p->slower = took_us > p->sorted_us[p->count * 3 / 4] ? p->slower + 1 : 0;
    p->faster = took_us < p->sorted_us[p->count / 4] ? p->faster + 1 : 0;
    return p->slower >= PACE_TURN || p->faster >= PACE_TURN;
}

static uint32_t us_of(int64_t ns)
{
    int64_t us = (ns + NS_PER_US / 2) / NS_PER_US;

    return us < 0 ? 0 : us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static uint32_t seconds_of(int64_t mono_ns)
{
    return (uint32_t)(mono_ns / NS_PER_SEC);
}

void pace_note(struct pace *p, int64_t took_ns, int64_t now_ns)
{
    uint32_t took_us = us_of(took_ns), now_s = seconds_of(now_ns);
    bool     turned = p->count >= PACE_MANY && has_turned(p, took_us);

    while (p->count > 0 &&
           (p->count == PACE_KEPT || now_s - p->kept[p->first].at_s > KEPT_FOR_S || (turned && p->count >= PACE_TURN)))
        drop_oldest(p);
    add(p, took_us, now_s);
    if (turned)
        p->slower = p->faster = 0;
}

bool pace_is_known(const struct pace *p, int64_t now_ns)
{
    return p->count >= PACE_LEAST &&
           seconds_of(now_ns) - p->kept[(p->first + p->count - 1) % PACE_KEPT].at_s <= KEPT_FOR_S;
}

/* What lies beyond this one counts as this one. */
static unsigned last_counted(const struct pace *p)
{
    return p->count < PACE_MANY ? p->count / 2 : p->count - 1 - OUTLIERS;
}

int64_t pace_at(const struct pace *p, double part)
{
    unsigned at = (unsigned)(part * p->count), last = last_counted(p);

    return p->sorted_us[at < last ? at : last] * NS_PER_US;
}

int64_t pace_left_ns(const struct pace *p, int64_t age_ns, double part)
{
    unsigned last = last_counted(p), at = place_of(p, us_of(age_ns));
    int64_t  most_ns = p->sorted_us[last] * NS_PER_US, left_ns;

    if (at <= last) {
        at += (unsigned)(part * (p->count - at));
        left_ns = p->sorted_us[at < last ? at : last] * NS_PER_US - age_ns;
        return left_ns > 0 ? left_ns : 0;
    }
    return age_ns > most_ns * (p->count < PACE_MANY ? LOST_TIMES_OF_FEW : LOST_TIMES) ? -1 : 0;
}
