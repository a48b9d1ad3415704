/*
 * A keyed hash over several texts: kind, lengths and bytes in turn, so that no
 * two sets of them read the same.  For policy/'s own files.
 */
#ifndef WEIR_POLICY_DIGEST_H
#define WEIR_POLICY_DIGEST_H

#include "policy/caller.h"

#include <sodium.h>

struct digest { /* begins with `any` false; the rest need not be set */
    crypto_generichash_state state;
    bool                     any;
};

static inline void digest_add(struct digest *d, const struct key_secret *secret, char kind, struct slice name,
                              struct slice value)
{
    uint64_t lengths[2] = { name.len, value.len };

    if (!d->any)
        crypto_generichash_init(&d->state, secret->bytes, KEY_SECRET_BYTES, PARTITION_BYTES);
    d->any = true;
    crypto_generichash_update(&d->state, (const unsigned char *)&kind, 1);
    crypto_generichash_update(&d->state, (const unsigned char *)lengths, sizeof lengths);
    crypto_generichash_update(&d->state, (const unsigned char *)name.ptr, name.len);
    crypto_generichash_update(&d->state, (const unsigned char *)value.ptr, value.len);
}

/* All zero where nothing was added. */
static inline void digest_end(struct digest *d, uint8_t out[PARTITION_BYTES])
{
    memset(out, 0, PARTITION_BYTES);
    if (d->any)
        crypto_generichash_final(&d->state, out, PARTITION_BYTES);
}

#endif
