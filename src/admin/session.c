/*
 * Sessions of the page: /dashboard makes a link with a one-time code, for who may use the admin socket; the page's
 * script exchanges the code for a token at /session, and gives it back at /session/end.
 */
#include "admin/internal.h"
#include "admin/tokens.h"
#include "base/clock.h"
#include "base/log.h"

/* The host that a browser on this machine can name. */
static const char *reachable(struct arena *a, const char *address)
{
    struct slice text = slice_of(address);

    if (slice_starts_with(text, SLICE("0.0.0.0:")))
        return arena_printf(a, "127.0.0.1%s", address + sizeof "0.0.0.0" - 1).ptr;
    if (slice_starts_with(text, SLICE("[::]:")))
        return arena_printf(a, "[::1]%s", address + sizeof "[::]" - 1).ptr;
    return address;
}

static int64_t caller_uid(const struct admin_call *call)
{
    return call->rights.caller_uid != NULL ? call->rights.caller_uid(call->owner) : TOKENS_ANY_UID;
}

/* A text member of the request's JSON; ptr NULL: there is none. In the arena. */
static struct slice member(struct admin_call *call, const char *name)
{
    json_t      *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    const char  *text = json_string_value(json_object_get(root, name));
    struct slice copy = text != NULL ? arena_copy(&call->arena, slice_of(text)) : SLICE_NONE;

    json_decref(root);
    return copy;
}

/* A link that another program is given as an argument can be read by every user of the machine until it is used: only
 * a connection of the same user may use it. */
static bool is_for_caller_alone(const struct admin_call *call)
{
    json_t *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    bool    alone = json_is_true(json_object_get(root, "only_my_user"));

    json_decref(root);
    return alone;
}

static void make_link(struct admin_call *call)
{
    const struct admin_services *services = call->admin->services;
    char                         code[TOKEN_TEXT_BYTES];
    const char                  *url;

    if (call->rights.over_tcp) { /* or a session could go on for ever */
        admin_answer_problem(call, PROBLEM_NOT_HERE, "Links are made on the admin socket alone: weirctl dashboard.");
        return;
    }
    if (services->page == NULL) {
        admin_answer_problem(call, PROBLEM_NO_PAGE,
                             "The page has no address: set admin { listen = \"127.0.0.1:8081\"; } (any free port of "
                             "127.0.0.1) and restart Weir.");
        return;
    }
    tokens_make_code(services->tokens, is_for_caller_alone(call) ? caller_uid(call) : TOKENS_ANY_UID, clock_mono_ns(),
                     code);
    url = arena_printf(&call->arena, "http://%s/#code=%s", reachable(&call->arena, services->page), code).ptr;
    admin_answer_json(call, 200,
                      json_pack("{s:s, s:I}", "url", url, "expires_in_s", (json_int_t)(TOKENS_CODE_NS / NS_PER_SEC)));
}

const struct endpoint endpoint_dashboard = { "/dashboard", HTTP_POST, make_link, ON_ADMIN_SOCKET_ALONE };

static void exchange(struct admin_call *call)
{
    static const char *const details[] = {
        [TOKEN_CODE_UNKNOWN] = "It is older than two minutes, or Weir has been restarted since: weirctl dashboard "
                               "makes another.",
        [TOKEN_CODE_USED] = "It was used before, and works once. If that was not you, restart Weir, which ends all "
                            "sessions; weirctl dashboard makes another link.",
        [TOKEN_CODE_ANOTHERS] =
            "It works for the user alone who asked for it, on this machine: weirctl dashboard --print "
            "makes one for any browser.",
    };
    char                token[TOKEN_TEXT_BYTES];
    struct slice        code = member(call, "code");
    enum token_exchange result;

    if (code.ptr == NULL) {
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD, "Send {\"code\": CODE}, out of the link.");
        return;
    }
    result = tokens_exchange(call->admin->services->tokens, code, caller_uid(call), clock_mono_ns(), token);
    if (result != TOKEN_MADE) {
        log_warning("page_link_refused", "reason=%s", log_quote(details[result]));
        admin_answer_problem(call, PROBLEM_LINK_REFUSED, details[result]);
        return;
    }
    log_info("page_session", "uid=%lld", (long long)caller_uid(call));
    admin_answer_json(call, 200,
                      json_pack("{s:s, s:I}", "token", token, "expires_in_s",
                                (json_int_t)(TOKENS_SESSION_NS / NS_PER_SEC)));
}

const struct endpoint endpoint_session = { "/session", HTTP_POST, exchange, ON_ADMIN_SOCKET_ALONE };

static void end(struct admin_call *call)
{
    tokens_forget(call->admin->services->tokens, call->bearer);
    admin_answer_json(call, 200, json_pack("{s:b}", "ended", 1));
}

const struct endpoint endpoint_session_end = { "/session/end", HTTP_POST, end, ON_ADMIN_SOCKET_ALONE };
