/*
 * The request line, the fields and the body of a fetch.  What Weir itself would add as it sends is said as well; a
 * credential, the client's or Weir's own, reads "***" wherever it stands.
 */
#include "engine/show.h"

#include "engine/internal.h"
#include "policy/mask.h"

#include <string.h>

static const struct slice stars = { "***", 3 };

bool show_hides_field(const struct policy_options *o, struct slice name)
{
    static const enum http_name always[] = { HTTP_AUTHORIZATION, HTTP_PROXY_AUTHORIZATION, HTTP_COOKIE,
                                             HTTP_X_API_KEY,     HTTP_PRIVATE_TOKEN,       HTTP_SIGNATURE };

    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (http_name_parse(name) == always[i])
            return true;
    return o != NULL && policy_list_has_nocase(o->credential_headers, name);
}

static struct slice target_of(struct exchange *x, const struct fetch *f)
{
    const struct config_upstream *up = x->up;
    struct slice                  target = policy_redact_target(x->policy, f->request.target, &x->arena);

    if (!x->auth.adds || up->auth_param == NULL)
        return target;
    return ARENA_JOIN(&x->arena, target, slice_find(target, '?', 0) < target.len ? SLICE("&") : SLICE("?"),
                      slice_of(up->auth_param), SLICE("="), stars);
}

/* The body is one of the fields meanwhile: it may say a credential again, too. */
static struct http_fields masked(struct exchange *x, const struct fetch *f, struct slice body)
{
    const struct key_input in = { .target = x->route.target, .request = &x->in.request };
    struct http_fields     all = http_fields_copy(&f->request.fields, &x->arena);

    http_fields_add(&all, &x->arena, SLICE("body"), body);
    policy_mask(policy_secrets(x->policy, &in, &x->arena), MASK_STARS, &all, &x->arena);
    return all;
}

struct message {
    char  *at;
    size_t bytes;
};

/* NULL `at`: only how long it would be. */
static void put(struct message *t, struct slice s)
{
    if (t->at != NULL && s.len > 0)
        memcpy(t->at + t->bytes, s.ptr, s.len);
    t->bytes += s.len;
}

static void put_line(struct message *t, struct slice name, struct slice value)
{
    put(t, name);
    put(t, SLICE(": "));
    put(t, value);
    put(t, SLICE("\r\n"));
}

static void write_message(struct exchange *x, const struct fetch *f, const struct http_fields *all, struct message *t)
{
    const struct slice body = all->items[all->count - 1].value;

    put(t, f->request.method_name);
    put(t, SLICE(" "));
    put(t, target_of(x, f));
    put(t, SLICE(" HTTP/1.1\r\n"));
    if (http_fields_find(&f->request.fields, HTTP_HOST, 0) < 0)
        put_line(t, SLICE("Host"), f->authority);
    for (unsigned i = 0; i + 1 < all->count; i++)
        put_line(t, all->items[i].name, show_hides_field(x->policy, all->items[i].name) ? stars : all->items[i].value);
    if (x->auth.adds && x->up->auth_header != NULL)
        put_line(t, slice_of(x->up->auth_header), stars);
    if (x->in.has_body && !x->body.is_cut)
        put_line(t, SLICE("Content-Length"), arena_printf(&x->arena, "%zu", body.len));
    put(t, SLICE("\r\n"));
    put(t, body);
}

struct slice show_request(struct exchange *x, const struct fetch *f)
{
    const void        *bytes = NULL;
    size_t             count = 0;
    struct http_fields all;
    struct message     t = { 0 };

    if (x->body.upload != NULL && (x->body.is_cut || !upload_whole(x->body.upload, &bytes, &count)))
        count = 0;
    all = masked(x, f, (struct slice){ bytes, count });
    write_message(x, f, &all, &t);
    t = (struct message){ .at = arena_alloc_raw(&x->arena, t.bytes) };
    write_message(x, f, &all, &t);
    return (struct slice){ t.at, t.bytes };
}
