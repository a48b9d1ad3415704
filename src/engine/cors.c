/*
 * Pages in a browser: those of an allowed origin get what the Fetch standard asks
 * for (CORS), preflights included, and Weir answers for the API; and a
 * document that the API serves below Weir's own name is kept from using Weir by that name.
 */
#include "engine/internal.h"

#include "http/list.h"

static void add(struct exchange *x, struct http_fields *f, const char *name, struct slice value)
{
    http_fields_add(f, &x->arena, slice_of(name), value);
}

static struct slice field(const struct exchange *x, const char *name)
{
    int at = http_fields_find_name(&x->in.request.fields, slice_of(name), 0);

    return at >= 0 ? x->in.request.fields.items[at].value : SLICE_NONE;
}

bool cors_is_preflight(const struct exchange *x)
{
    return x->cors_origin.ptr != NULL && x->in.request.method == HTTP_OPTIONS &&
           field(x, "Access-Control-Request-Method").ptr != NULL;
}

static bool is_list_of_tokens(struct slice value)
{
    struct http_list l = http_list_of_value(value);
    struct slice     member;

    while (http_list_next(&l, &member))
        if (!http_is_token(member))
            return false;
    return value.len > 0;
}

/* Whatever the page wants to send: its origin is trusted with this API, and the API judges the request itself. */
enum step cors_preflight(struct exchange *x)
{
    struct reply *r = &x->reply;
    struct slice  method = field(x, "Access-Control-Request-Method");
    struct slice  names = field(x, "Access-Control-Request-Headers");

    *r = (struct reply){ .status = 204, .kind = REPLY_EMPTY, .fd = -1 };
    x->log.cache = "own";
    if (http_is_token(method))
        add(x, &r->fields, "Access-Control-Allow-Methods", method);
    if (is_list_of_tokens(names))
        add(x, &r->fields, "Access-Control-Allow-Headers", names);
    if (slice_eq(field(x, "Access-Control-Request-Private-Network"), SLICE("true")))
        add(x, &r->fields, "Access-Control-Allow-Private-Network", SLICE("true"));
    add(x, &r->fields, "Access-Control-Max-Age", SLICE("600"));
    return STEP_FINISH;
}

static bool is_preflights(struct slice name)
{
    static const char *const names[] = { "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
                                         "Access-Control-Allow-Private-Network", "Access-Control-Max-Age" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_eq_nocase(name, slice_of(names[i])))
            return true;
    return false;
}

/* What the API says to browsers is meant for its own name. */
static void drop_apis_own(struct http_fields *f, bool preflight)
{
    struct slice prefix = SLICE("Access-Control-");
    unsigned     kept = 0;

    for (unsigned i = 0; i < f->count; i++)
        if (!slice_eq_nocase(slice_sub(f->items[i].name, 0, prefix.len), prefix) ||
            (preflight && is_preflights(f->items[i].name)))
            f->items[kept++] = f->items[i];
    f->count = kept;
}

void cors_fields(struct exchange *x, struct http_fields *f)
{
    if (x->cors_origin.ptr == NULL)
        return;
    drop_apis_own(f, cors_is_preflight(x));
    add(x, f, "Access-Control-Allow-Origin", x->cors_origin);
    add(x, f, "Access-Control-Expose-Headers", SLICE("*"));
    add(x, f, "Vary", SLICE("Origin"));
}

void cors_sandbox(struct exchange *x, struct http_fields *f)
{
    struct slice mode = field(x, "Sec-Fetch-Mode");

    /* What a script fetches ("cors") becomes no document: its fields stay the API's. */
    if (x->route.way == ROUTE_PREFIX && mode.ptr != NULL && !slice_eq(mode, SLICE("cors")))
        add(x, f, "Content-Security-Policy", SLICE("sandbox"));
}
