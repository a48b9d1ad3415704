/*
 * A small simulation: a heap of places by the time when they are free.
 */
#include "budget/turns.h"

#include <stdlib.h>
#include <string.h>

enum {
    SAMPLES = 16,
    ROUNDS = 4 /* that are gone through, one place after the other; the others take the mean */
};

/* -- what is known -- */

void turns_begin(struct turns *p, unsigned count, unsigned busy)
{
    p->count = count;
    p->busy = busy;
    p->left_count = p->looked_at = p->times_count = 0;
    p->each = count > 0 && count <= TURNS_PLACES ? TURNS_PLACES / count : 1;
}

/* Between 0 and 1, any few that follow each other about evenly: the golden section. */
static double spread(unsigned nth)
{
    double at = 0.5 + nth * 0.6180339887498949;

    return at - (unsigned)at;
}

static unsigned less(unsigned a, unsigned b)
{
    return a > b ? a - b : 0;
}

void turns_busy(struct turns *p, const struct pace *pace, int64_t age_ns, int64_t after_ns, unsigned step)
{
    double   shift = spread(p->looked_at++);
    unsigned each = p->each;

    if (pace == NULL || pace_left_ns(pace, age_ns, shift) < 0) { /* nobody gets its place */
        p->count = less(p->count, step);
        p->busy = less(p->busy, step);
        return;
    }
    for (unsigned i = 0; i < each && p->left_count < TURNS_PLACES; i++) {
        int64_t left_ns = pace_left_ns(pace, age_ns, (i + shift) / each);

        p->left_ns[p->left_count++] = left_ns > after_ns ? left_ns - after_ns : 0;
    }
}

void turns_of_kind(struct turns *p, const struct pace *pace, unsigned from, unsigned to, unsigned all)
{
    unsigned first = p->times_count, end = TURNS_TIMES;

    if (all > 0 && to < all)
        end = (unsigned)((uint64_t)to * TURNS_TIMES / all);
    if (from == to && all > 0)
        return;
    while (p->times_count < end) {
        p->times_ns[p->times_count] = pace_at(pace, (double)(p->times_count - first) / (end - first));
        p->times_count++;
    }
}

/* -- the turn -- */

static int64_t mean_of(const struct turns *p)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < TURNS_TIMES; i++)
        sum += p->times_ns[i] / TURNS_TIMES;
    return sum;
}

/* Lengths in an order in which any few that follow each other are about as all of them: the bits of `i` from the
 * other end. */
static unsigned scattered(unsigned i)
{
    static const unsigned char three[] = { 0, 4, 2, 6, 1, 5, 3, 7 };

    return (unsigned)three[i & 7] << 3 | three[i >> 3];
}

_Static_assert(TURNS_TIMES == 64, "two of three bits");

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void sink(int64_t *heap, unsigned at, unsigned count)
{
    int64_t  moved = heap[at];
    unsigned child;

    while ((child = at * 2 + 1) < count) {
        if (child + 1 < count && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= moved)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static uint64_t scaled(uint64_t n, unsigned from, unsigned to)
{
    return to % from == 0 ? n * (to / from) : (uint64_t)((double)n * to / from);
}

/* When each of `count` places is free, as a heap.  Where each time that is known is a place's, which is the rule, it is
 * made of them as they stand; what takes some of them has to see them in order, and what is in order is a heap. */
static void free_times(struct turns *p, unsigned count, int64_t *heap)
{
    unsigned busy = (unsigned)scaled(p->busy, p->count, count);
    unsigned idle = less(count, busy);
    unsigned over = less(busy, count); /* so many have to end before a place is free */

    memset(heap, 0, idle * sizeof heap[0]);
    if (over == 0 && p->left_count == busy) {
        memcpy(heap + idle, p->left_ns, busy * sizeof heap[0]);
        for (unsigned i = count / 2; i-- > 0;)
            sink(heap, i, count);
        return;
    }
    qsort(p->left_ns, p->left_count, sizeof p->left_ns[0], compare);
    for (unsigned i = idle; i < count; i++)
        heap[i] = p->left_count > 0 ? p->left_ns[(uint64_t)(i - idle + over) * p->left_count / busy] : 0;
}

int64_t turns_wait_ns(struct turns *p, uint64_t ahead)
{
    unsigned count = p->count * p->each < TURNS_PLACES ? p->count * p->each : TURNS_PLACES;
    int64_t  heap[TURNS_PLACES];
    uint64_t steps, rounds = 0;
    int64_t  mean;

    if (count == 0 || (p->busy < p->count && ahead < p->count - p->busy))
        return 0;
    ahead = scaled(ahead, p->count, count) + p->each / 2;
    free_times(p, count, heap);
    if (ahead / count > ROUNDS)
        rounds = ahead / count - ROUNDS;
    steps = ahead - rounds * count;
    for (unsigned i = 0; i < steps; i++) {
        heap[0] += p->times_ns[scattered(i % TURNS_TIMES)];
        sink(heap, 0, count);
    }
    if (rounds == 0)
        return heap[0];
    mean = mean_of(p);
    if (rounds > (uint64_t)(INT64_MAX / 4) / (uint64_t)(mean + 1))
        return INT64_MAX / 4;
    return heap[0] + (int64_t)rounds * mean;
}

int64_t turns_wait_spent_ns(const struct turns *p, int64_t wait_ns, uint64_t ahead, uint64_t spending,
                            turns_budget budget, void *context)
{
    uint64_t rounds = p->count > 0 ? ahead / p->count : 0, step = rounds / SAMPLES + 1;
    int64_t  mean_ns = mean_of(p);

    for (uint64_t j = step; j <= rounds; j += step) {
        uint64_t before = (uint64_t)((double)spending * (double)(ahead - j * p->count) / (double)ahead);
        int64_t  ns = budget(context, before);

        if (ns < INT64_MAX / 4 && ns + (int64_t)j * mean_ns > wait_ns)
            wait_ns = ns + (int64_t)j * mean_ns;
    }
    return wait_ns;
}
