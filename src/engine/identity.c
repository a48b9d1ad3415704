/*
 * Who asks, where that is not what the request says in so many words.
 *
 * Several tokens of one principal (setting identities): whoever brings any of
 * them has the principal's partition, so that each finds what another fetched;
 * budgets go on counting token by token.  A signed request: the identity that it
 * names counts together with the user of this machine who asks, since anybody can write
 * an identity down.
 */
#include "engine/internal.h"

#include "base/decimal.h"
#include "policy/mask.h"

#include <sodium.h>

struct identity_search {
    const struct config_upstream *up;
    struct key_input             *in;
    struct arena                 *arena;
};

static bool is_same(struct slice a, struct slice b)
{
    return a.len == b.len && sodium_memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* The value as a whole, or after the name of its scheme: "Bearer TOKEN" (RFC 9110 11.4). */
static bool has_token(const struct config_identity *who, struct slice value)
{
    size_t       space = slice_find(value, ' ', 0);
    struct slice after = slice_trim(slice_sub(value, space, value.len));
    bool         any = false;

    for (unsigned i = 0; i < who->token_count; i++)
        any = is_same(who->tokens[i], value) || (space < value.len && is_same(who->tokens[i], after)) || any;
    return any;
}

static bool look(void *context, char kind, struct slice name, struct slice value)
{
    struct identity_search *s = context;

    (void)kind;
    for (unsigned i = 0; i < s->up->identity_count; i++)
        if (has_token(&s->up->identities[i], value)) {
            /* No upstream's name, which is that of a credential of Weir's own, holds a colon. */
            s->in->credential_name = arena_printf(s->arena, "identity:%s", s->up->identities[i].name);
            s->in->credential_field = name;
            s->in->credential_value = value;
            return false;
        }
    return true;
}

void identity_name(struct exchange *x, struct key_input *in)
{
    struct identity_search s = { x->up, in, &x->arena };

    if (x->up->identity_count == 0 || in->credential_name.ptr != NULL)
        return;
    policy_each_credential(x->policy, in, &x->arena, look, &s);
    x->who.is_identity = in->credential_name.ptr != NULL;
}

/* "uid 1000"; "address 7f000001" of who is no user of this machine. */
static struct slice name_of_peer(const struct peer *who, struct arena *a)
{
    char digits[DECIMAL_BYTES], hex[2 * sizeof who->address + 1];

    if (who->has_uid)
        return ARENA_JOIN(a, SLICE("uid "), decimal(who->uid, digits));
    sodium_bin2hex(hex, sizeof hex, who->address, who->address_bytes);
    return ARENA_JOIN(a, SLICE("address "), slice_of(hex));
}

void identity_signer(struct exchange *x, struct key_input *in)
{
    const struct peer *who;

    policy_signature(x->policy, in->request, in->target, in->body, &x->arena, &in->signature);
    if (!in->signature.is_signed)
        return;
    who = x->in.who(x->in.owner);
    in->signer = name_of_peer(who, &x->arena);
    x->who.signature = in->signature;
    x->who.signer = in->signer;
    x->who.is_nobodys = !x->policy->shared && (!who->has_uid || in->signature.identity.ptr == NULL);
}

void identity_unmask(struct exchange *x, struct http_fields *f)
{
    const struct key_input in = { .target = x->route.target, .request = &x->in.request };

    policy_unmask(policy_secrets(x->policy, &in, &x->arena), f, &x->arena);
}

struct partition identity_account(struct exchange *x)
{
    struct key_input in = { .target = x->route.target,
                            .request = &x->in.request,
                            .signature = x->who.signature,
                            .signer = x->who.signer };

    if (!x->who.account_differs)
        return x->who.partition;
    inject_name(x, &in);
    return policy_account(x->policy, &x->engine->services->secret, &in, &x->arena);
}
