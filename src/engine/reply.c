/*
 * What Weir itself says: problem bodies (RFC 9457) with Proxy-Status (RFC
 * 9209), and on every answer Via, Cache-Status (RFC 9211) and Server-Timing.
 */
#include "engine/internal.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/decimal.h"
#include "http/structured.h"

enum { PROBLEM_BYTES = 2048 };

static void add(struct exchange *x, struct http_fields *f, enum http_name id, struct slice value)
{
    http_fields_add_id(f, &x->arena, id, value);
}

/* Weir's member after those that came with the answer: the list's order is the way it took (RFC 9211 2). */
void reply_append_member(struct exchange *x, struct http_fields *f, enum http_name id, struct slice member)
{
    struct slice before = SLICE_NONE;

    if (http_fields_find(f, id, 0) >= 0)
        before = http_fields_join(f, slice_of(http_name_text(id)), &x->arena);
    if (before.ptr != NULL && before.len > 0) {
        http_fields_remove(f, id);
        member = ARENA_JOIN(&x->arena, before, SLICE(", "), member);
    }
    add(x, f, id, member);
}

static struct slice problem_body(struct exchange *x, const struct problem *p)
{
    const struct problem_text text = {
        .kind = p->kind,
        .detail = slice_sub(p->detail, 0, PROBLEM_BYTES / 2),
        .upstream = x->up != NULL ? x->up->route.name : NULL,
        .limit = p->limit,
        .blocked_by = p->blocked_by,
        .has_retry_after = p->retry_after_ns >= 0,
        .retry_after_ms = p->retry_after_ns / NS_PER_MS,
    };
    char *body = arena_alloc_raw(&x->arena, PROBLEM_BYTES);

    return (struct slice){ body, problem_write(body, PROBLEM_BYTES, &text) };
}

/* RFC 9209 2.3, for what has none of its own. */
static const char *proxy_error_of(const struct problem *p)
{
    static const struct {
        unsigned    status;
        const char *token;
    } tokens[] = {
        { 400, "http_request_error" },  { 403, "http_request_denied" }, { 404, "destination_not_found" },
        { 405, "http_request_denied" }, { 421, "http_request_denied" }, { 429, "http_request_denied" },
        { 431, "http_request_error" },  { 501, "http_upgrade_failed" },
    };

    if (p->proxy_error != NULL)
        return p->proxy_error;
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        if (tokens[i].status == problem_status(p->kind))
            return tokens[i].token;
    return "proxy_internal_response";
}

enum step reply_problem(struct exchange *x, const struct problem *p)
{
    struct reply  *r = &x->reply;
    const unsigned status = problem_status(p->kind);

    candidate_drop(x);
    *r = (struct reply){ .status = status, .kind = REPLY_BYTES, .fd = -1, .close = p->close };
    x->finish = (struct finish){ .of_api = false };
    if (p->reason != NULL)
        x->log.detail = p->reason;
    x->log.error = problem_types[p->kind].name;
    if (x->log.cache == NULL || status >= 400)
        x->log.cache = "error";
    add(x, &r->fields, HTTP_CONTENT_TYPE, SLICE(PROBLEM_MEDIA_TYPE));
    add(x, &r->fields, HTTP_CACHE_CONTROL, SLICE("no-store"));
    if (p->retry_after_ns >= 0)
        add(x, &r->fields, HTTP_RETRY_AFTER,
            arena_printf(&x->arena, "%lld", (long long)((p->retry_after_ns + NS_PER_SEC - 1) / NS_PER_SEC)));
    if (status == 401) /* RFC 9110 15.5.2 */
        http_fields_add(&r->fields, &x->arena, SLICE("WWW-Authenticate"), SLICE("Credential realm=\"weir\""));
    add(x, &r->fields, HTTP_PROXY_STATUS,
        arena_printf(&x->arena, "weir; error=%s; details=" SLICE_FMT, proxy_error_of(p),
                     SLICE_ARG(sf_string(p->detail, &x->arena))));
    r->bytes = problem_body(x, p);
    r->length = (int64_t)r->bytes.len;
    if (x->in.request.method == HTTP_HEAD)
        r->kind = REPLY_EMPTY;
    return STEP_FINISH;
}

enum step reply_refusal(struct exchange *x, const struct refusal *no)
{
    return reply_problem(x, &(struct problem){ .kind = no->kind,
                                               .detail = slice_of(no->detail),
                                               .retry_after_ns = -1,
                                               .close = true });
}

enum step reply_text(struct exchange *x, unsigned status, const char *type, struct slice text)
{
    struct reply *r = &x->reply;

    *r = (struct reply){ .status = status, .kind = REPLY_BYTES, .fd = -1, .bytes = text, .length = (int64_t)text.len };
    add(x, &r->fields, HTTP_CONTENT_TYPE, slice_of(type));
    add(x, &r->fields, HTTP_CACHE_CONTROL, SLICE("no-store"));
    if (x->in.request.method == HTTP_HEAD)
        r->kind = REPLY_EMPTY;
    return STEP_FINISH;
}
