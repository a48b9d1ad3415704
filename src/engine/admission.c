/*
 * A list of rules, the first that fits admits; and a small table of the groups of
 * the users that were seen last, since asking for them reads files.
 */
#include "engine/admission.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

enum { USERS = 16, GROUPS_MOST = 1024, NAME_BYTES = 16 * 1024 };

static const int64_t kept_ns = 60 * NS_PER_SEC;

struct membership {
    uint32_t uid;
    int64_t  until_ns; /* 0: an empty place */
    gid_t   *groups;
    int      count;
};

struct groups {
    struct membership users[USERS];
};

struct groups *groups_open(void)
{
    return mem_alloc(sizeof(struct groups));
}

void groups_close(struct groups *g)
{
    for (size_t i = 0; g != NULL && i < USERS; i++)
        free(g->users[i].groups);
    free(g);
}

static void ask_system(struct membership *m, uint32_t uid)
{
    struct passwd entry, *found = NULL;
    char         *names = mem_alloc(NAME_BYTES);

    m->count = 0;
    if (getpwuid_r(uid, &entry, names, NAME_BYTES, &found) == 0 && found != NULL) {
        int count = GROUPS_MOST;

        m->groups = mem_resize(m->groups, GROUPS_MOST * sizeof m->groups[0]);
        m->count = getgrouplist(found->pw_name, found->pw_gid, m->groups, &count);
        if (m->count < 0) /* more than there is room for: those that fit count */
            m->count = GROUPS_MOST;
    }
    free(names);
}

bool groups_have(struct groups *g, uint32_t uid, uint32_t gid, int64_t now_ns)
{
    struct membership *m = &g->users[0];

    for (size_t i = 0; i < USERS && (m->uid != uid || m->until_ns == 0); i++)
        if (g->users[i].uid == uid || g->users[i].until_ns < m->until_ns)
            m = &g->users[i];
    if (m->uid != uid || m->until_ns <= now_ns) {
        m->uid = uid;
        m->until_ns = now_ns + kept_ns;
        ask_system(m, uid);
    }
    for (int i = 0; i < m->count; i++)
        if (m->groups[i] == gid)
            return true;
    return false;
}

static bool is_in_network(const struct config_access *to, const struct peer *p)
{
    unsigned whole = to->bits / 8, rest = to->bits % 8;

    if (p->address_bytes != to->address_bytes || memcmp(p->address, to->address, whole) != 0)
        return false;
    return rest == 0 || ((p->address[whole] ^ to->address[whole]) >> (8 - rest)) == 0;
}

static bool fits(const struct config_access *to, const struct peer *p, struct groups *groups, int64_t now_ns)
{
    switch (to->kind) {
    case ACCESS_USER:
        return p->has_uid && p->uid == to->id && to->id != UINT32_MAX;
    case ACCESS_GROUP:
        return p->has_uid && to->id != UINT32_MAX &&
               ((p->address_bytes == 0 && p->gid == to->id) || groups_have(groups, p->uid, to->id, now_ns));
    case ACCESS_NETWORK:
        break;
    }
    return is_in_network(to, p);
}

bool admission_asks_user(const struct config_upstream *up)
{
    for (unsigned i = 0; i < up->access_count; i++)
        if (up->access[i].kind != ACCESS_NETWORK)
            return true;
    return false;
}

bool admission_allows(const struct config_upstream *up, const struct peer *p, struct groups *groups, int64_t now_ns)
{
    for (unsigned i = 0; i < up->access_count; i++)
        if (fits(&up->access[i], p, groups, now_ns))
            return true;
    return !up->has_access;
}

struct slice admission_who(const struct peer *p, struct arena *a)
{
    struct passwd entry, *found = NULL;
    char          address[INET6_ADDRSTRLEN] = "a unix socket", names[4096];

    if (p->address_bytes != 0)
        inet_ntop(p->address_bytes == 4 ? AF_INET : AF_INET6, p->address, address, sizeof address);
    if (!p->has_uid)
        return arena_printf(a, "%s, whose user is not known", address);
    if (getpwuid_r(p->uid, &entry, names, sizeof names, &found) == 0 && found != NULL)
        return arena_printf(a, "user %s (%u), from %s", found->pw_name, (unsigned)p->uid, address);
    return arena_printf(a, "user %u, from %s", (unsigned)p->uid, address);
}
