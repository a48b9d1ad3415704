/*
 * What a reservation costs while a ledger has ten thousand buckets: one line of JSON.
 *
 * Each of 5,000 credentials has a bucket for each of two limits.  A reservation is
 * ledger_wait_ns() and ledger_spend(); ledger_settle() follows when the answer is there.
 * Of many rounds the quickest counts: what disturbs a machine only ever adds.
 */
#include "budget/ledger.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { CREDENTIALS = 5000, ROUNDS = 200 };

static struct receipt receipts[CREDENTIALS];

static struct charge charge_of(unsigned who, uint8_t credential[LEDGER_CREDENTIAL_BYTES])
{
    memset(credential, 0, LEDGER_CREDENTIAL_BYTES);
    memcpy(credential, &who, sizeof who);
    return (struct charge){ .method = HTTP_GET,
                            .method_name = SLICE("GET"),
                            .path = SLICE("/v1/taxa"),
                            .credential = credential };
}

int main(void)
{
    struct limit_options limits[2] = {
        { .name = "100/s burst 200",
          .kind = LIMIT_BUCKET,
          .count = 100,
          .window_ns = NS_PER_SEC,
          .burst = 200,
          .per_credential = true },
        { .name = "6000/min",
          .kind = LIMIT_SLIDING,
          .count = 6000,
          .window_ns = 60 * NS_PER_SEC,
          .per_credential = true },
    };
    struct ledger *l = ledger_new(limits, 2);
    int64_t        reserve_ns = INT64_MAX, settle_ns = INT64_MAX;
    uint8_t        credential[LEDGER_CREDENTIAL_BYTES];

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct budget_now now = { .mono_ns = (int64_t)round * NS_PER_SEC, .wall_ns = (int64_t)round * NS_PER_SEC };
        int64_t           begin = clock_mono_ns(), middle, end;

        for (unsigned who = 0; who < CREDENTIALS; who++) {
            struct charge c = charge_of(who * 7919 % CREDENTIALS, credential);

            if (ledger_wait_ns(l, &c, now, NULL) > 0)
                return 1;
            ledger_spend(l, &c, now, &receipts[who]);
        }
        middle = clock_mono_ns();
        for (unsigned who = 0; who < CREDENTIALS; who++) {
            struct charge c = charge_of(who * 7919 % CREDENTIALS, credential);

            ledger_settle(l, &c, &receipts[who], NULL, now);
        }
        end = clock_mono_ns();
        if (round == 0) /* makes the buckets */
            continue;
        if (middle - begin < reserve_ns)
            reserve_ns = middle - begin;
        if (end - middle < settle_ns)
            settle_ns = end - middle;
    }
    printf("{\"buckets\": %d, \"reserve_ns\": %lld, \"settle_ns\": %lld}\n", 2 * CREDENTIALS,
           (long long)reserve_ns / CREDENTIALS, (long long)settle_ns / CREDENTIALS);
    ledger_free(l);
    return 0;
}
