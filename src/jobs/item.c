/*
 * Members are read by a table; then the fields are put together, and the request is looked at as a whole.
 */
#include "jobs/item.h"

#include "engine/guard.h"
#include "http/hop.h"
#include "http/json_member.h"
#include "http/url.h"
#include "policy/decide.h"

#include <sodium.h>
#include <stdlib.h>

enum {
    URL_LONGEST = 16 * 1024,
    READ_FLAGS = JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES
};

#define NOT_A_URL \
    "url: a path that begins with an upstream's name, such as \"/inat/v1/taxa\", or an absolute URL of an " \
    "upstream's host is wanted"

struct item_reading {
    const struct item_asked *asked;
    struct item_request     *out;
    struct arena            *arena;
    struct slice             url;
    const char              *body_name; /* of the member that has it; NULL: none */
    const char              *body_type;
};

static struct slice text_of(const json_t *v)
{
    return json_is_string(v) ? (struct slice){ json_string_value(v), json_string_length(v) } : SLICE_NONE;
}

static void add(struct item_reading *r, struct slice name, struct slice value)
{
    http_fields_add(&r->out->request.fields, r->arena, name, value);
}

/* -- members -- */

/* Equal ones are written alike. */
static const char *read_id(struct item_reading *r, const json_t *v, struct slice raw)
{
    int64_t number;
    char   *text;

    if (json_is_real(v) && slice_to_int64(raw, &number)) {
        r->out->id = arena_printf(r->arena, "%lld", (long long)number);
        return NULL;
    }
    if (!json_is_string(v))
        return "id: a string or a whole number of at least 0 is wanted";
    text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    r->out->id = arena_copy(r->arena, slice_of(text));
    free(text);
    return NULL;
}

static const char *read_method(struct item_reading *r, const json_t *v)
{
    struct slice name = text_of(v);

    if (name.ptr == NULL || !http_is_token(name))
        return "method: a method such as \"POST\" is wanted";
    r->out->request.method_name = arena_copy(r->arena, name);
    r->out->request.method = http_method_parse(name);
    if (r->out->request.method == HTTP_CONNECT || r->out->request.method == HTTP_TRACE)
        return "method: CONNECT and TRACE are not carried";
    return NULL;
}

static const char *read_url(struct item_reading *r, const json_t *v)
{
    r->url = arena_copy(r->arena, text_of(v));
    return json_is_string(v) ? NULL : NOT_A_URL;
}

static const char *read_headers(struct item_reading *r, const json_t *v)
{
    const char *name;
    json_t     *one;

    if (!json_is_object(v))
        return "headers: an object of names and values is wanted, such as {\"Accept\": \"text/csv\"}";
    json_object_foreach((json_t *)(uintptr_t)v, name, one)
    {
        struct slice field = slice_of(name), value = text_of(one);

        if (!http_is_token(field))
            return "headers: a name there is no field name";
        if (!wanted_may_carry(field))
            return "headers: Host, Content-Length, Origin and what belongs to a connection are Weir's to say; url says "
                   "the host";
        if (value.ptr == NULL || !http_is_field_value(value))
            return "headers: a value is a string without line ends";
        add(r, arena_copy(r->arena, field), arena_copy(r->arena, slice_trim(value)));
    }
    return NULL;
}

static const char *set_body(struct item_reading *r, const char *name, const char *type, struct slice bytes)
{
    if (r->body_name != NULL)
        return "body, body_text, body_base64: one of them is wanted";
    r->body_name = name;
    r->body_type = type;
    r->out->body = bytes;
    return NULL;
}

static const char *read_body_text(struct item_reading *r, const json_t *v)
{
    if (!json_is_string(v))
        return "body_text: a string is wanted";
    return set_body(r, "body_text", "text/plain; charset=utf-8", arena_copy(r->arena, text_of(v)));
}

static const char *read_body_base64(struct item_reading *r, const json_t *v)
{
    struct slice coded = text_of(v);
    size_t       room = coded.len / 4 * 3 + 3, bytes;
    char        *out = arena_alloc_raw(r->arena, room);

    if (coded.ptr == NULL || sodium_base642bin((unsigned char *)out, room, coded.ptr, coded.len, "\r\n", &bytes, NULL,
                                               sodium_base64_VARIANT_ORIGINAL) != 0)
        return "body_base64: base64 with its padding is wanted (RFC 4648 4)";
    return set_body(r, "body_base64", NULL, (struct slice){ out, bytes });
}

static const char *add_wish(struct item_reading *r, const char *field, const json_t *v, const char *right)
{
    struct slice value = text_of(v);

    if (value.ptr == NULL || !http_is_field_value(value))
        return right;
    http_fields_remove(&r->out->request.fields, http_name_parse(slice_of(field)));
    add(r, slice_of(field), arena_copy(r->arena, value));
    return NULL;
}

static const char *read_ttl(struct item_reading *r, const json_t *v)
{
    return add_wish(r, "Weir-TTL", v, "ttl: a duration such as \"1h\" is wanted");
}

static const char *read_refresh(struct item_reading *r, const json_t *v)
{
    return add_wish(r, "Weir-Refresh", v, "refresh: \"soft\" or \"hard\" is wanted");
}

static const char *read_max_wait(struct item_reading *r, const json_t *v)
{
    return add_wish(r, "Weir-Max-Wait", v, "max_wait: a duration such as \"5m\" or \"forever\" is wanted");
}

static const char *read_timeout(struct item_reading *r, const json_t *v)
{
    return add_wish(r, "Weir-Timeout", v, "timeout: a duration such as \"5s\" is wanted");
}

static const char *read_priority(struct item_reading *r, const json_t *v)
{
    return add_wish(r, "Weir-Priority", v, "priority: \"batch\" or \"interactive\" is wanted");
}

/* In the order in which they are read: what is a member of its own counts more than a field of `headers`. */
static const struct {
    const char *name;
    const char *(*read)(struct item_reading *, const json_t *);
} members[] = {
    { "id", NULL }, /* as they stand in the text */
    { "method", read_method },
    { "url", read_url },
    { "headers", read_headers },
    { "body", NULL },
    { "body_text", read_body_text },
    { "body_base64", read_body_base64 },
    { "ttl", read_ttl },
    { "refresh", read_refresh },
    { "max_wait", read_max_wait },
    { "timeout", read_timeout },
    { "priority", read_priority },
};

static bool is_member(const char *name)
{
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (strcmp(name, members[i].name) == 0)
            return true;
    return false;
}

/* -- the whole -- */

static bool brings(const char *const *names, struct slice name)
{
    for (; names != NULL && *names != NULL; names++)
        if (slice_eq_nocase(name, slice_of(*names)))
            return true;
    return false;
}

static void add_where_absent(struct item_reading *r, const struct http_field *f)
{
    if (http_fields_find_name(&r->out->request.fields, f->name, 0) < 0)
        add(r, f->name, f->value);
}

/* Credentials do not spread: the outer request's reach the items of the upstream that the batch names. */
static void add_outer_fields(struct item_reading *r, const struct route_upstream *up)
{
    const struct item_asked  *asked = r->asked;
    const struct http_fields *outer = &asked->outer->fields;

    if (asked->wanted->upstream == NULL || strcmp(asked->wanted->upstream, up->name) != 0)
        return;
    for (unsigned i = 0; i < asked->wanted->fields.count; i++)
        add_where_absent(r, &asked->wanted->fields.items[i]);
    for (unsigned i = 0; i < outer->count; i++)
        if (brings(up->policy.credential_headers, outer->items[i].name))
            add_where_absent(r, &outer->items[i]);
}

static void add_default(struct item_reading *r, const char *name, struct slice value)
{
    if (value.ptr != NULL && http_fields_find_name(&r->out->request.fields, slice_of(name), 0) < 0)
        add(r, slice_of(name), value);
}

/* The host and the target; NULL: well. */
static const char *find_target(struct item_reading *r, struct slice *host)
{
    struct http_request *request = &r->out->request;
    struct slice         url = r->url;
    struct http_url      parsed;

    if (url.len == 0 || url.len > URL_LONGEST)
        return NOT_A_URL;
    *host = http_fields_get(&r->asked->outer->fields, HTTP_HOST);
    request->target = url;
    if (url.ptr[0] != '/') {
        if (!http_url_parse(url, &parsed))
            return NOT_A_URL;
        *host = parsed.authority;
        if (parsed.port_given && parsed.port == (slice_eq_nocase(parsed.scheme, SLICE("https")) ? 443 : 80))
            *host = parsed.host;
        request->target = parsed.target.len > 0 ? parsed.target : SLICE("/");
        if (request->target.ptr[0] == '?')
            request->target = ARENA_JOIN(r->arena, SLICE("/"), request->target);
    }
    if (!http_target_is_valid(request->target) || request->target.ptr[0] != '/')
        return "url: it holds a character that must be percent-encoded, or a fragment";
    return NULL;
}

static const char *find_route(struct item_reading *r)
{
    const struct config *config = r->asked->config;
    struct slice         host;
    const char          *wrong = find_target(r, &host);
    struct route         route;

    if (wrong != NULL)
        return wrong;
    route = route_find(config->routes, r->out->request.target, host,
                       host.ptr == NULL || guard_is_own_host(config, host), r->arena);
    if (route.way == ROUTE_OWN)
        return "url: what begins with /.weir/ is Weir's own, and no item";
    if (route.upstream == NULL)
        return "url: no upstream has that name or that host; weirctl status lists them";
    r->out->upstream = route.upstream->name;
    add_outer_fields(r, route.upstream);
    if (host.ptr != NULL)
        add(r, SLICE("Host"), arena_copy(r->arena, host));
    return NULL;
}

static const char *finish(struct item_reading *r)
{
    struct http_request *request = &r->out->request;
    struct request_wish  wish;
    struct bad_wish      bad;
    const char          *wrong;

    if (r->body_name != NULL && (request->method == HTTP_GET || request->method == HTTP_HEAD))
        return "method: a request with a body has one that sends it, such as \"POST\"";
    wrong = find_route(r);
    if (wrong != NULL)
        return wrong;
    add_default(r, "Content-Type", r->body_type != NULL ? slice_of(r->body_type) : SLICE_NONE);
    if (r->body_name != NULL)
        add(r, SLICE("Content-Length"), arena_printf(r->arena, "%zu", r->out->body.len));
    add_default(r, "User-Agent", http_fields_get(&r->asked->outer->fields, HTTP_USER_AGENT));
    add_default(r, "Accept", SLICE("*/*"));
    add_default(r, "Weir-Client", http_fields_get(&r->asked->outer->fields, HTTP_WEIR_CLIENT));
    add_default(r, "Weir-Dry-Run", http_fields_get(&r->asked->outer->fields, HTTP_WEIR_DRY_RUN));
    add_default(r, "Weir-Max-Wait", r->asked->wanted->max_wait);
    add_default(r, "Weir-Priority", r->asked->wanted->priority);
    if (!policy_wish(request, &wish, &bad))
        return arena_printf(r->arena, SLICE_FMT ": \"" SLICE_FMT "\": %s", SLICE_ARG(bad.name),
                            SLICE_ARG(slice_sub(bad.value, 0, 80)), bad.wanted)
            .ptr;
    if (wish.async)
        return "Weir-Async: an item is not answered later by itself; the option async does that for the whole batch";
    return NULL;
}

static struct item_reading begin(const struct item_asked *asked, struct item_request *out, struct arena *a)
{
    *out = (struct item_request){ .request = { .method = HTTP_GET, .method_name = SLICE("GET"), .version_minor = 1 } };
    return (struct item_reading){ .asked = asked, .out = out, .arena = a };
}

const char *item_read_url(struct slice url, const struct item_asked *asked, struct item_request *out, struct arena *a)
{
    struct item_reading r = begin(asked, out, a);

    r.url = arena_copy(a, url);
    return finish(&r);
}

static const char *read_members(struct item_reading *r, struct slice text, const json_t *object)
{
    const char *name, *wrong = NULL;
    json_t     *v;

    json_object_foreach((json_t *)(uintptr_t)object, name, v) if (!is_member(name)) return arena_printf(
        r->arena,
        "\"%s\" is no member of an item: id, method, url, headers, body, body_text, "
        "body_base64, ttl, refresh, max_wait, timeout and priority are",
        name)
        .ptr;
    for (size_t i = 0; i < sizeof members / sizeof *members && wrong == NULL; i++) {
        v = json_object_get(object, members[i].name);
        if (v == NULL)
            continue;
        if (members[i].read != NULL)
            wrong = members[i].read(r, v);
        else if (strcmp(members[i].name, "id") == 0)
            wrong = read_id(r, v, json_member(text, SLICE("id")));
        else
            wrong = set_body(r, "body", "application/json", json_member(text, SLICE("body")));
    }
    return wrong;
}

const char *item_read(struct slice text, const struct item_asked *asked, struct item_request *out, struct arena *a)
{
    struct item_reading r = begin(asked, out, a);
    json_error_t        error;
    json_t             *v = json_loadb(text.ptr, text.len, READ_FLAGS, &error);
    const char         *wrong;

    if (v == NULL)
        return arena_printf(a, "it cannot be read: %s", error.text).ptr;
    if (json_is_string(v)) {
        r.url = arena_copy(a, text_of(v));
        wrong = NULL;
    } else if (json_is_object(v)) {
        wrong = read_members(&r, text, v);
        if (wrong == NULL && r.url.ptr == NULL)
            wrong = NOT_A_URL;
    } else {
        wrong = "a URL as a string, or an object with a url, is wanted";
    }
    json_decref(v);
    return wrong != NULL ? wrong : finish(&r);
}
