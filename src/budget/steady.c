/*
 * See steady.h.  Own time is (monotonic + skew, that + offset).
 */
#include "budget/steady.h"

#include "base/clock.h"

#define SLEW_NS      (1500 * NS_PER_MS) /* corrections up to this are followed at once */
#define DATE_FUZZ_NS (30 * NS_PER_SEC)  /* an API's clock and whole seconds */

struct budget_now steady_now(struct steady *s, struct budget_now clock)
{
    int64_t mono_ns, step_ns;

    if (!s->running) {
        *s = (struct steady){ .running = true,
                              .last_mono_ns = clock.mono_ns,
                              .offset_ns = clock.wall_ns - clock.mono_ns };
        return clock;
    }
    if (clock.mono_ns + s->skew_ns < s->last_mono_ns)
        s->skew_ns = s->last_mono_ns - clock.mono_ns;
    mono_ns = s->last_mono_ns = clock.mono_ns + s->skew_ns;
    step_ns = clock.wall_ns - mono_ns - s->offset_ns;
    if (step_ns <= SLEW_NS && step_ns >= -SLEW_NS) {
        s->offset_ns += step_ns;
        s->step_ns = 0;
    } else if (s->step_ns == 0 || step_ns - s->step_ns > SLEW_NS || s->step_ns - step_ns > SLEW_NS) {
        s->step_ns = step_ns;
        s->step_seen_ns = mono_ns;
    } else if (mono_ns - s->step_seen_ns >= STEADY_BELIEVE_NS) {
        s->offset_ns += step_ns;
        s->step_ns = 0;
    }
    return (struct budget_now){ mono_ns, mono_ns + s->offset_ns };
}

struct budget_now steady_peek(const struct steady *s, struct budget_now clock)
{
    struct steady copy = *s;

    return steady_now(&copy, clock);
}

void steady_evidence(struct steady *s, struct budget_now own, int64_t date_wall_ns)
{
    int64_t off_ns;

    if (s->step_ns == 0)
        return;
    off_ns = date_wall_ns - own.wall_ns;
    if (off_ns - s->step_ns <= DATE_FUZZ_NS && s->step_ns - off_ns <= DATE_FUZZ_NS &&
        (off_ns > DATE_FUZZ_NS || off_ns < -DATE_FUZZ_NS)) {
        s->offset_ns += s->step_ns;
        s->step_ns = 0;
    }
}

void steady_resume(struct steady *s, struct budget_now own)
{
    *s = (struct steady){ .running = true, .last_mono_ns = own.mono_ns, .offset_ns = own.wall_ns - own.mono_ns };
}
