/*
 * Several tokens of one principal (setting identities): whoever brings any of
 * them has the principal's partition, so that each finds what another fetched;
 * budgets go on counting token by token.
 */
#include "engine/internal.h"

#include <sodium.h>

struct search { const struct config_upstream *up; struct key_input *in; struct arena *arena; };

static bool is_same(struct slice a, struct slice b)
{
    return a.len == b.len && sodium_memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* The value as a whole, or behind the name of its scheme: "Bearer TOKEN" (RFC 9110 11.4). */
static bool has_token(const struct config_identity *who, struct slice value)
{
    size_t       space = slice_find(value, ' ', 0);
    struct slice behind = slice_trim(slice_sub(value, space, value.len));
    bool         any = false;

    for (unsigned i = 0; i < who->token_count; i++)
        any = is_same(who->tokens[i], value) || (space < value.len && is_same(who->tokens[i], behind)) || any;
    return any;
}

static bool look(void *context, char kind, struct slice name, struct slice value)
{
    struct search *s = context;

    (void)kind;
    for (unsigned i = 0; i < s->up->identity_count; i++)
        if (has_token(&s->up->identities[i], value)) {
            /* No upstream's name, which is that of a credential of Weir's own, holds a colon. */
            s->in->credential_name = arena_printf(s->arena, "identity:%s", s->up->identities[i].name);
            s->in->credential_field = name;
            return false;
        }
    return true;
}

void identity_name(struct exchange *x, struct key_input *in)
{
    struct search s = { x->up, in, &x->arena };

    if (x->up->identity_count == 0 || in->credential_name.ptr != NULL)
        return;
    policy_each_credential(x->policy, in, &x->arena, look, &s);
    x->identified = in->credential_name.ptr != NULL;
}
