/*
 * What is read out of histograms: sums, shares and quantiles.
 */
#include "base/histogram.h"

void histogram_gather(struct histogram_sum *sum, const struct histogram *h)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);

        sum->buckets[i] += n;
        sum->count += n;
    }
    sum->sum_ns += atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
}

uint64_t histogram_within(const struct histogram_sum *sum, unsigned exponent)
{
    uint64_t n = 0;

    for (unsigned i = 0; i <= (exponent - HISTOGRAM_FIRST) * 4; i++)
        n += sum->buckets[i];
    return n;
}

static int64_t upper_bound(unsigned bucket)
{
    const unsigned octave = HISTOGRAM_FIRST + (bucket - 1) / 4;

    return bucket == 0 ? INT64_C(1) << HISTOGRAM_FIRST
                       : (INT64_C(1) << octave) + (INT64_C(1) << (octave - 2)) * ((bucket - 1) % 4 + 1);
}

int64_t histogram_quantile_ns(const struct histogram_sum *sum, double share)
{
    const double wanted = share * (double)sum->count;
    double       below = 0;

    if (sum->count == 0)
        return -1;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        const double  n = (double)sum->buckets[i];
        const int64_t low = i > 0 ? upper_bound(i - 1) : 0;

        if (n > 0 && below + n >= wanted)
            return low + (int64_t)((double)(upper_bound(i) - low) * ((wanted - below) / n));
        below += n;
    }
    return upper_bound(HISTOGRAM_BUCKETS - 1);
}
