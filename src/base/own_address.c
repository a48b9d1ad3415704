/*
 * A handful of addresses, compared as text: both sides come from the kernel.
 */
#include "base/own_address.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 64, TEXT_BYTES = 64 };

static struct {
    char     host[TEXT_BYTES];
    unsigned port;
} own[MOST];
static unsigned count;

static char published[TEXT_BYTES + 32];

void own_address_publish(const char *url)
{
    snprintf(published, sizeof published, "%s", url);
}

const char *own_address_published(void)
{
    return published;
}

/* IPv4 in an IPv6 socket is IPv4. */
static const char *plain(const char *host)
{
    return strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host;
}

void own_address_add(const char *host, unsigned port)
{
    if (count == MOST)
        return;
    snprintf(own[count].host, sizeof own[count].host, "%s", plain(host));
    own[count++].port = port;
}

/* Both ends of a connection within a machine have one address, unless they are loopback's. */
static bool is_within(const char *here, const char *there)
{
    return strcmp(here, there) == 0 || strncmp(there, "127.", 4) == 0;
}

bool own_address_is(const char *here, const char *there, unsigned port)
{
    here = plain(here);
    there = plain(there);
    for (unsigned i = 0; i < count; i++) {
        bool all = strcmp(own[i].host, "0.0.0.0") == 0 || strcmp(own[i].host, "::") == 0;

        if (own[i].port == port && (all ? is_within(here, there) : strcmp(own[i].host, there) == 0))
            return true;
    }
    return false;
}
