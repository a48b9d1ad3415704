/*
 * "10/s burst 20": a token bucket as GCRA (the generic cell rate algorithm).
 *
 * One number is kept: the theoretical arrival time, at which the bucket is
 * full again.  A request may go when that lies no more than a burst ahead.
 * The interval is window/count exactly: the rest of the division is carried
 * along in units of a nanosecond's count-th part.
 */
#include "budget/limit_kind.h"

enum { SLACK_PART = 10, IMAGE_BYTES = 32 };

static void bucket_init(struct limit *l)
{
    struct bucket *b = &l->is.bucket;
    int64_t        count = (int64_t)l->count;

    *b = (struct bucket){ .interval_ns = l->window_ns / count,
                          .interval_rest = l->window_ns % count,
                          .arrival_ns = INT64_MIN };
    b->slack_ns = b->interval_ns / SLACK_PART;
    if (b->slack_ns > LIMIT_SLACK_NS)
        b->slack_ns = LIMIT_SLACK_NS;
}

static void bucket_fini(struct limit *l)
{
    (void)l;
}

/* The time of `n` intervals; *rest: what is over, in count-ths of a nanosecond. */
static int64_t intervals(const struct limit *l, uint64_t n, int64_t *rest)
{
    const struct bucket *b = &l->is.bucket;
    int64_t              rests = time_times(b->interval_rest, n);

    *rest = rests % (int64_t)l->count;
    return time_add(time_times(b->interval_ns, n), rests / (int64_t)l->count);
}

/* How far the arrival time lies ahead of now, rounded up; 0: the bucket is full. */
static int64_t debt_ns(const struct limit *l, struct budget_now now)
{
    const struct bucket *b = &l->is.bucket;

    if (b->arrival_ns < now.mono_ns)
        return 0;
    return time_add(b->arrival_ns - now.mono_ns, b->arrival_rest > 0 ? 1 : 0);
}

/* May be called for any `units`, also above the burst: when the last of them may go. */
static int64_t wait_for_ns(const struct limit *l, uint64_t units, struct budget_now now)
{
    int64_t wait_ns = debt_ns(l, now), rest;

    if (units > l->burst) {
        wait_ns = time_add(wait_ns, intervals(l, units - l->burst, &rest));
        wait_ns = time_add(wait_ns, rest > 0);
    } else {
        wait_ns -= intervals(l, l->burst - units, &rest);
    }
    wait_ns -= l->is.bucket.slack_ns;
    return wait_ns > 0 ? wait_ns : 0;
}

static int64_t bucket_wait_ns(const struct limit *l, uint64_t cost, struct budget_now now)
{
    return wait_for_ns(l, cost, now);
}

/* A request found the bucket `debt` short of full.  Kept: for any time since, the least debt found after it. */
static void note_debt(struct bucket *b, int64_t at_ns, int64_t debt)
{
    while (b->lows > 0 && b->low[b->lows - 1].debt_ns >= debt)
        b->lows--;
    if (b->lows == BUCKET_LOWS) { /* the oldest two become one, on the safe side */
        b->low[1].debt_ns = b->low[0].debt_ns;
        memmove(&b->low[0], &b->low[1], (BUCKET_LOWS - 1) * sizeof b->low[0]);
        b->lows--;
    }
    b->low[b->lows].at_ns = at_ns;
    b->low[b->lows++].debt_ns = debt;
}

static void bucket_spend(struct limit *l, uint64_t cost, struct budget_now now)
{
    struct bucket *b = &l->is.bucket;
    int64_t        rest, whole = intervals(l, cost, &rest);

    if (b->arrival_ns < now.mono_ns) {
        b->arrival_ns = now.mono_ns;
        b->arrival_rest = 0;
    }
    note_debt(b, now.mono_ns, b->arrival_ns - now.mono_ns);
    b->arrival_ns = time_add(b->arrival_ns, whole);
    b->arrival_rest += rest;
    if (b->arrival_rest >= (int64_t)l->count) {
        b->arrival_rest -= (int64_t)l->count;
        b->arrival_ns = time_add(b->arrival_ns, 1);
    }
}

/* Without this request everything after it would have found less debt; where that would be
 * less than none, the bucket was full meanwhile, and the time it then stood full cannot be given back. */
static void bucket_give_back(struct limit *l, uint64_t cost, struct budget_now spent)
{
    struct bucket *b = &l->is.bucket;
    int64_t        rest, back_ns = intervals(l, cost, &rest);
    unsigned       first = 0, kept = 0;

    while (first < b->lows && b->low[first].at_ns <= spent.mono_ns)
        first++;
    if (first < b->lows && back_ns > b->low[first].debt_ns)
        back_ns = b->low[first].debt_ns;
    b->arrival_ns -= back_ns;
    for (unsigned i = first; i < b->lows; i++)
        b->low[i].debt_ns -= back_ns;
    for (unsigned i = 0; i < b->lows; i++) {
        while (kept > 0 && b->low[kept - 1].debt_ns >= b->low[i].debt_ns)
            kept--;
        b->low[kept++] = b->low[i];
    }
    b->lows = kept;
}

static uint64_t bucket_left(const struct limit *l, struct budget_now now)
{
    uint64_t low = 0, high = l->burst;

    while (low < high) { /* the most that need not wait */
        uint64_t middle = low + (high - low + 1) / 2;

        if (wait_for_ns(l, middle, now) == 0)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static int64_t bucket_predict_ns(const struct limit *l, uint64_t ahead, struct budget_now now)
{
    return wait_for_ns(l, ahead + 1, now);
}

static int64_t bucket_whole_in_ns(const struct limit *l, struct budget_now now)
{
    return debt_ns(l, now);
}

static size_t bucket_image_bytes(const struct limit *l)
{
    (void)l;
    return IMAGE_BYTES;
}

static size_t bucket_save(const struct limit *l, void *out, struct budget_now now)
{
    int64_t values[IMAGE_BYTES / sizeof(int64_t)] = { debt_ns(l, now), (int64_t)l->count, (int64_t)l->burst, 0 };

    memcpy(out, values, sizeof values);
    return sizeof values;
}

/* Under another rate the units spent are the same, so the debt is stretched. */
static bool bucket_restore(struct limit *l, const void *in, size_t bytes, int64_t elapsed_ns, bool same_boot,
                           struct budget_now now)
{
    struct bucket *b = &l->is.bucket;
    int64_t        values[IMAGE_BYTES / sizeof(int64_t)], debt;

    (void)same_boot;
    if (bytes != sizeof values)
        return false;
    memcpy(values, in, sizeof values);
    if (values[0] < 0 || values[1] < 1)
        return false;
    debt = values[0] > elapsed_ns ? values[0] - elapsed_ns : 0;
    if (values[1] != (int64_t)l->count)
        debt = (int64_t)((double)debt * (double)values[1] / (double)l->count) + 1;
    b->arrival_ns = debt > 0 ? time_add(now.mono_ns, debt) : INT64_MIN;
    b->arrival_rest = 0;
    b->lows = 0;
    note_debt(b, now.mono_ns, 0); /* what was spent before is not given back any more */
    return true;
}

const struct limit_kind_ops limit_bucket_ops = {
    .init = bucket_init,
    .fini = bucket_fini,
    .wait_ns = bucket_wait_ns,
    .spend = bucket_spend,
    .give_back = bucket_give_back,
    .predict_ns = bucket_predict_ns,
    .left = bucket_left,
    .whole_in_ns = bucket_whole_in_ns,
    .image_bytes = bucket_image_bytes,
    .save = bucket_save,
    .restore = bucket_restore,
};
