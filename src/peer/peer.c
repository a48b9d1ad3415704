/*
 * What a peer is called, and the numbers it has in a fair order.
 */
#include "peer/peer.h"

#include <stdio.h>
#include <xxhash.h>

enum { IPV6_NETWORK_BYTES = 8 }; /* what one customer is given: whoever has a /64 has all its addresses */

void peer_label(const struct peer *p, char out[PEER_LABEL_BYTES])
{
    out[0] = '\0';
    if (p->has_uid && p->pid > 0)
        snprintf(out, PEER_LABEL_BYTES, "uid=%u pid=%d", (unsigned)p->uid, (int)p->pid);
    else if (p->has_uid)
        snprintf(out, PEER_LABEL_BYTES, "uid=%u", (unsigned)p->uid);
}

uint64_t peer_user_id(const struct peer *p)
{
    unsigned bytes = p->address_bytes < IPV6_NETWORK_BYTES ? p->address_bytes : IPV6_NETWORK_BYTES;

    if (p->has_uid)
        return (uint64_t)p->uid + 1;
    return bytes > 0 ? XXH3_64bits_withSeed(p->address, bytes, 1) : 0;
}

uint64_t peer_program_id(const struct peer *p)
{
    return p->program & ~UINT64_C(1);
}

/* A pid is given out again, and its next process did not have the turns of this one. */
uint64_t peer_process_id(const struct peer *p)
{
    const uint64_t parts[] = { (uint64_t)p->pid, p->started };

    return p->pid > 0 ? XXH3_64bits(parts, sizeof parts) : 0;
}
