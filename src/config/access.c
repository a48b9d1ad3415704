/*
 * Whom an entry of `access` stands for.  Names are looked up when the configuration is read:
 * a request costs no look-up but that of its client's groups.
 */
#include "config/snapshot.h"

#include <arpa/inet.h>
#include <grp.h>
#include <stdlib.h>

static uint32_t group_id(const char *name)
{
    struct group *found = getgrnam(name);

    if (found != NULL)
        return found->gr_gid;
    return *name != '\0' && name[strspn(name, "0123456789")] == '\0' && strlen(name) < 10
               ? (uint32_t)strtoul(name, NULL, 10)
               : UINT32_MAX;
}

static struct config_access network(const char *text)
{
    struct config_access to = { .kind = ACCESS_NETWORK };
    int                  family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    size_t               length = strcspn(text, "/");
    char                 address[INET6_ADDRSTRLEN] = "";

    memcpy(address, text, length < sizeof address ? length : sizeof address - 1);
    inet_pton(family, address, to.address); /* check_access() has seen it */
    to.address_bytes = family == AF_INET ? 4 : 16;
    to.bits = text[length] == '/' ? (unsigned)atoi(text + length + 1) : to.address_bytes * 8;
    return to;
}

struct config_access access_of(const char *text)
{
    uint32_t uid;

    if (checks_user(text, &uid))
        return (struct config_access){ .kind = ACCESS_USER, .id = uid };
    if (strncmp(text, "group:", 6) == 0)
        return (struct config_access){ .kind = ACCESS_GROUP, .id = group_id(text + 6) };
    return network(text);
}
