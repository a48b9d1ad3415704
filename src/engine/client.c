/*
 * A name is nobody's proof: who gives himself another stands in another
 * place of the queue among all that the same user runs, and that is all there is to win.
 */
#include "engine/client.h"

#include "base/decimal.h"
#include "http/basic.h"

#include <xxhash.h>

enum { IPV6_NETWORK_BYTES = 8 };        /* what one customer is given: whoever has a /64 has all its addresses */

/* What it calls itself; ptr NULL: nothing. */
static struct slice own_name(const struct exchange_input *in, const struct request_wish *wish, struct arena *a)
{
    if (wish->client.ptr != NULL)
        return wish->client;
    if (in->proxy_user.ptr != NULL)
        return in->proxy_user;
    return http_basic_user(http_fields_get(&in->request.fields, HTTP_PROXY_AUTHORIZATION), a);
}

static struct slice name_of_peer(const struct exchange_input *in, const struct peer *who, struct arena *a)
{
    char uid[DECIMAL_BYTES], pid[DECIMAL_BYTES];

    if (who->has_uid && who->pid > 0)
        return ARENA_JOIN(a, SLICE("uid="), decimal(who->uid, uid), SLICE(" pid="), decimal((uint64_t)who->pid, pid));
    return slice_of(in->peer);
}

static uint64_t user_of(const struct peer *who)
{
    unsigned bytes = who->address_bytes < IPV6_NETWORK_BYTES ? who->address_bytes : IPV6_NETWORK_BYTES;

    if (who->has_uid)
        return (uint64_t)who->uid + 1;
    return bytes > 0 ? XXH3_64bits_withSeed(who->address, bytes, 1) : 0;
}

/* Two spaces of numbers, so that no name can be made to be an executable. */
static uint64_t program_of(struct slice name, const struct peer *who)
{
    return name.ptr != NULL ? XXH3_64bits_withSeed(name.ptr, name.len, 2) | 1 : who->program & ~UINT64_C(1);
}

static bool is_of_class(const struct config_client *class, struct slice name, const struct exchange_input *in)
{
    const struct peer *who;

    if (!class->has_uid)
        return slice_matches(slice_of(class->match), name);
    who = in->who(in->owner);
    return who->has_uid && who->uid == class->uid;
}

struct client client_of(const struct config *config, const struct exchange_input *in, const struct request_wish *wish,
                        struct arena *a)
{
    const struct peer *who = in->who(in->owner);
    struct slice       name = own_name(in, wish, a);
    struct client      c = {
        .name = name.ptr != NULL ? name : name_of_peer(in, who, a),
        .who.id = { user_of(who), program_of(name, who), (uint64_t)who->pid, who->connection },
        .batch = wish->batch,
    };

    for (unsigned i = 0; i < config->client_count; i++) {
        const struct config_client *class = &config->clients[i];

        if (!is_of_class(class, c.name, in))
            continue;
        if (!wish->interactive && !wish->batch)
            c.batch = class->batch;
        c.keep_permille = (unsigned)((1.0 - class->share) * 1000.0 + 0.5);
        break;
    }
    return c;
}
