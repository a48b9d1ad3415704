/*
 * A name is nobody's proof: who gives himself another stands in another
 * place of the queue, and that is all there is to win.
 */
#include "engine/client.h"

#include "base/decimal.h"
#include "http/basic.h"

static struct slice name_of(const struct exchange_input *in, const struct request_wish *wish, struct arena *a)
{
    struct slice       user;
    const struct peer *who;
    char               uid[DECIMAL_BYTES], pid[DECIMAL_BYTES];

    if (wish->client.ptr != NULL)
        return wish->client;
    user = in->proxy_user.ptr != NULL
        ? in->proxy_user : http_basic_user(http_fields_get(&in->request.fields, HTTP_PROXY_AUTHORIZATION), a);
    if (user.ptr != NULL)
        return user;
    who = in->who(in->owner);
    if (who->has_uid && who->pid > 0)
        return ARENA_JOIN(a, SLICE("uid="), decimal(who->uid, uid), SLICE(" pid="), decimal((uint64_t)who->pid, pid));
    return slice_of(in->peer);
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
    struct client c = { .name = name_of(in, wish, a), .batch = wish->batch };

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
