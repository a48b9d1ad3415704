/*
 * Whose a task is, and which of a request's fields are his credentials.
 */
#include "jobs/task.h"

#include "policy/digest.h"
#include "policy/key.h"

/* The setting credential_headers as it is where nobody sets it. */
static const char *const default_headers[] = { "Authorization", "Cookie", "X-Api-Key", "Private-Token", NULL };

struct task_hash task_owner(const struct exchange *x)
{
    const struct exchange_input *in = service_input(x);
    const struct peer           *who = in->who(in->owner);
    const struct key_secret     *secret = service_secret(x);
    const struct http_fields    *f = &service_asked(x)->fields;
    struct digest                d = { .any = false };
    struct task_hash             hash;

    if (who->has_uid)
        digest_add(&d, secret, 'u', SLICE("job"), (struct slice){ (const char *)&who->uid, sizeof who->uid });
    else
        digest_add(&d, secret, 'a', SLICE("job"), (struct slice){ (const char *)who->address, who->address_bytes });
    for (const char *const *name = default_headers; *name != NULL; name++)
        for (int at = http_fields_find_name(f, slice_of(*name), 0); at >= 0;
             at = http_fields_find_name(f, slice_of(*name), (unsigned)at + 1))
            digest_add(&d, secret, 'h', slice_of(*name), f->items[at].value);
    digest_end(&d, hash.bytes);
    return hash;
}

bool task_field_is_credential(const struct config_upstream *up, const struct policy_options *o, struct slice name)
{
    return policy_list_has_nocase(default_headers, name) || slice_eq_nocase(name, SLICE("Proxy-Authorization")) ||
           (o != NULL && o->credential_headers != NULL && policy_list_has_nocase(o->credential_headers, name)) ||
           (up != NULL && up->auth_header != NULL && slice_eq_nocase(name, slice_of(up->auth_header)));
}

struct slice task_shown_target(const struct policy_options *o, struct slice target, struct arena *a)
{
    struct slice shown = o != NULL ? policy_redact_target(o, target, a) : target;

    return slice_matches(SLICE("*=***"), shown) || slice_matches(SLICE("*=***&*"), shown) ? shown : target;
}
