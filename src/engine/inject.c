/*
 * The credential that Weir adds to requests that bring none (setting auth).
 *
 * Its name, the upstream's, makes the partition; its value goes from the configuration or
 * the command straight into the fetch, and upstream/ puts it on the wire.  A
 * value that a command printed and the API refuses with 401 is fetched anew, and the
 * request is sent once more.
 */
#include "engine/internal.h"

#include "http/url.h"

static bool brings_parameter(struct exchange *x, struct slice wanted)
{
    struct slice path, query, parameter;

    http_target_split(x->in.request.target, &path, &query);
    while (http_query_next(&query, &parameter))
        if (slice_eq(http_parameter_name(parameter, &x->arena), wanted))
            return true;
    return false;
}

void inject_decide(struct exchange *x)
{
    const struct config_upstream *up = x->up;

    if (up->auth_header != NULL)
        x->auth.names = http_fields_find_name(&x->in.request.fields, slice_of(up->auth_header), 0) < 0;
    else if (up->auth_param != NULL)
        x->auth.names = !brings_parameter(x, slice_of(up->auth_param));
    x->auth.adds = x->auth.names && x->in.request.method != HTTP_OTHER &&
                   (up->auth_methods >> x->in.request.method & 1) != 0;
}

void inject_name(const struct exchange *x, struct key_input *in)
{
    if (!x->auth.names)
        return;
    in->credential_name = slice_of(x->up->route.name);
    in->credential_field = slice_of(x->up->auth_header != NULL ? x->up->auth_header : x->up->auth_param);
}

static void receive_credential(struct mail *m)
{
    struct exchange *x = CONTAINER_OF(CONTAINER_OF(m, struct credential_wait, mail), struct exchange, auth.wait);

    x->auth.waits = false;
    if (!x->closed)
        x->go_on(x);
}

enum step inject_failed(struct exchange *x, const struct credential *c)
{
    return reply_problem(x, &(struct problem){
                                .kind = PROBLEM_NO_CREDENTIAL,
                                .reason = "no-credential",
                                .retry_after_ns = c->retry_ns,
                                .proxy_error = "proxy_configuration_error",
                                .detail = arena_printf(&x->arena, "%s the credential of upstream %s %s.",
                                                       x->up->auth_command != NULL ? "The command that prints" : "For",
                                                       x->up->route.name, c->why.text) });
}

static enum credential_state ask(struct exchange *x, struct credential_wait *wait, struct credential *c)
{
    *c = (struct credential){ .number = 0 };
    return credentials_get(x->engine->services->credentials, x->up->route.name, x->up->auth_command, x->auth.refused,
                           wait, &x->arena, c);
}

static enum credential_state get(struct exchange *x, struct credential_wait *wait, struct credential *c)
{
    enum credential_state state;

    if (x->auth.adds && x->up->auth_command == NULL && x->up->auth_value.ptr == NULL) {
        /* its mode was replay, where it is not needed, and is another now */
        *c = (struct credential){ .retry_ns = -1 };
        fault_set(&c->why,
                  "nothing could be read from auth.value_file when the configuration was read; weirctl reload");
        return CREDENTIAL_FAILED;
    }
    if (!x->auth.adds || x->up->auth_command == NULL || x->auth.value.ptr != NULL)
        return CREDENTIAL_READY;
    state = ask(x, wait, c);
    if (state == CREDENTIAL_READY) {
        x->auth.value = c->value;
        x->auth.number = c->number;
    }
    return state;
}

enum credential_state inject_await(struct exchange *x, struct credential *c)
{
    enum credential_state state;

    if (x->auth.waits)
        return CREDENTIAL_RUNNING;
    x->auth.wait.mail.receive = receive_credential;
    x->auth.wait.mailbox = x->engine->mailbox;
    state = get(x, &x->auth.wait, c);
    if (state == CREDENTIAL_RUNNING)
        x->auth.waits = x->auth.waited = true;
    return state;
}

bool inject_is_ready(struct exchange *x)
{
    struct credential c;

    return get(x, NULL, &c) == CREDENTIAL_READY;
}

bool inject_renew(struct exchange *x, unsigned status)
{
    enum credential_state state;
    struct credential     c;

    if (status != 401 || !x->auth.adds || x->up->auth_command == NULL || x->auth.renewed)
        return false;
    x->auth.refused = x->auth.number;
    state = ask(x, NULL, &c);
    if (state == CREDENTIAL_FAILED || (state == CREDENTIAL_READY && c.number == x->auth.refused))
        return false;
    if (x->in.has_body) /* it was sent and is gone: the next request has the new value */
        return false;
    x->auth.value = SLICE_NONE;
    x->auth.renewed = true;
    return true;
}

void inject_fill(struct exchange *x, struct fetch *f)
{
    struct slice value = x->up->auth_command != NULL ? x->auth.value : x->up->auth_value;

    if (!x->auth.adds || value.ptr == NULL)
        return;
    f->auth.value = arena_copy(&f->arena, value);
    f->auth.header = slice_of(x->up->auth_header);
    f->auth.param = slice_of(x->up->auth_param);
}

void inject_close(struct exchange *x)
{
    if (x->auth.waits)
        credentials_leave(x->engine->services->credentials, &x->auth.wait);
}
