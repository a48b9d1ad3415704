/*
 * Places in no order; who is new takes an empty one, or that of the user's own process that was used longest
 * ago where he has his share or no other user has more of them.
 */
#include "peer/known.h"

#include <stddef.h>

unsigned known_of(struct known *k, uid_t uid, struct known_process *out[], unsigned most)
{
    unsigned count = 0;

    for (unsigned i = 0; i < KNOWN_MOST; i++) {
        struct known_process *p = &k->places[i];
        unsigned              at;

        if (p->turn == 0 || p->uid != uid)
            continue;
        if (count < most)
            count++;
        else if (out[count - 1]->turn > p->turn)
            continue;
        for (at = count - 1; at > 0 && (out[at - 1]->turn < p->turn); at--)
            out[at] = out[at - 1];
        out[at] = p;
    }
    return count;
}

static unsigned count_of(const struct known *k, uid_t uid)
{
    unsigned count = 0;

    for (unsigned i = 0; i < KNOWN_MOST; i++)
        count += k->places[i].turn != 0 && k->places[i].uid == uid;
    return count;
}

static struct known_process *oldest_of(struct known *k, uid_t uid)
{
    struct known_process *oldest = NULL;

    for (unsigned i = 0; i < KNOWN_MOST; i++) {
        struct known_process *p = &k->places[i];

        if (p->turn != 0 && p->uid == uid && (oldest == NULL || p->turn < oldest->turn))
            oldest = p;
    }
    return oldest;
}

/* Of whoever has most: at least KNOWN_MOST / users that there are. */
static struct known_process *most_crowded(struct known *k)
{
    uid_t    user = k->places[0].uid;
    unsigned most = 0;

    for (unsigned i = 0; i < KNOWN_MOST; i++) {
        unsigned count = k->places[i].uid == user ? 0 : count_of(k, k->places[i].uid);

        if (most == 0)
            most = count_of(k, user);
        if (count > most) {
            most = count;
            user = k->places[i].uid;
        }
    }
    return oldest_of(k, user);
}

static struct known_process *place_for(struct known *k, uid_t uid)
{
    if (count_of(k, uid) >= KNOWN_OF_USER)
        return oldest_of(k, uid);
    for (unsigned i = 0; i < KNOWN_MOST; i++)
        if (k->places[i].turn == 0)
            return &k->places[i];
    return most_crowded(k);
}

void known_put(struct known *k, uid_t uid, pid_t pid, uint64_t started, int fd)
{
    struct known_process *place = NULL;

    for (unsigned i = 0; i < KNOWN_MOST && place == NULL; i++)
        if (k->places[i].turn != 0 && k->places[i].pid == pid)
            place = &k->places[i];
    if (place == NULL)
        place = place_for(k, uid);
    *place = (struct known_process){ .pid = pid, .uid = uid, .started = started, .fd = fd, .turn = ++k->turn };
}

void known_drop(struct known_process *p)
{
    p->turn = 0;
}
