/*
 * All that is stored under the path of the request that is explained: the caller's own, and what is shared.
 */
#include "engine/explain_parts.h"

#include "policy/key.h"

static void search(struct explain *e, const uint8_t tag[STORE_HASH_BYTES], unsigned most, store_near_each each,
                   void *context)
{
    struct explained *o = &e->out;
    struct store_near found = store_of_path(e->engine->reader, tag, most, each, context);

    o->of_path.count += found.count;
    o->of_path.shown += found.shown;
    o->of_path.is_all = o->of_path.is_all && found.is_all;
}

void explain_each_near(struct explain *e, unsigned most, store_near_each each, void *context)
{
    static const struct partition nobodys;
    const struct exchange        *x = e->x;
    uint8_t                       tag[KEY_HASH_BYTES];

    e->out.of_path = (struct store_near){ .is_all = true };
    search(e, x->key.path_tag, most, each, context);
    if (memcmp(&x->who.partition, &nobodys, sizeof nobodys) == 0)
        return;
    policy_path_tag(&nobodys, policy_key_url(x->key.full), tag);
    search(e, tag, most, each, context);
}
