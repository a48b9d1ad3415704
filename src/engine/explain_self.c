/*
 * Who asks, where nobody does over a connection: this very process, as if over a unix socket.
 */
#include "engine/explain.h"

#include "route/pattern.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct explain_self {
    struct peer       who;
    struct peer_card *card;
};

static const struct peer *self(void *owner)
{
    return &((struct explain_self *)owner)->who;
}

static struct peer_card *self_card(void *owner)
{
    return ((struct explain_self *)owner)->card;
}

bool explain_self_match(const void *pattern, struct slice path)
{
    return pattern_matches(pattern, path);
}

struct explain_self *explain_self_open(struct exchange_input *out)
{
    struct explain_self *s = mem_alloc(sizeof *s);
    int                  ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        free(s);
        return NULL;
    }
    s->card = peer_card_open(ends[0]);
    close(ends[0]);
    close(ends[1]);
    s->who = (struct peer){ .has_uid = true, .uid = getuid(), .gid = getgid(), .pid = getpid() };
    *out = (struct exchange_input){ .peer = "unix", .known = self, .who = self, .card = self_card, .owner = s };
    return s;
}

void explain_self_close(struct explain_self *s)
{
    if (s == NULL)
        return;
    peer_card_release(s->card);
    free(s);
}
