/*
 * How a request is dressed for its upstream and an answer for its client.
 *
 * The request: set_headers; where JSON bodies are rewritten no range, and where
 * they are rewritten or checked no coding that could not be read.  It is done before look-up and key, so
 * that Vary selects what really goes upstream.  The answer: links that lead back
 * through Weir, in fields and, with rewrite_links, in JSON bodies, and cookies that a client's jar
 * keeps apart (jar.h).  What is stored stays as the upstream said it, since every way in shares it.
 */
#include "engine/internal.h"

#include "engine/jar.h"
#include "http/encoding.h"

#include <unistd.h>

/* -- the request -- */

/* What is read here, of what the client takes; links are led back in gzip alone. */
static struct slice readable_codings(const struct http_fields *f, bool relinks)
{
    bool gzip = http_coding_is_acceptable(f, SLICE("gzip"));
    bool deflate = !relinks && http_coding_is_acceptable(f, SLICE("deflate"));

    if (gzip)
        return deflate ? SLICE("gzip, deflate") : SLICE("gzip");
    return deflate ? SLICE("deflate") : SLICE("identity");
}

static void set_field(struct http_fields *f, struct arena *a, const struct http_field *set)
{
    int at = http_fields_find_name(f, set->name, 0);

    if (at >= 0)
        f->items[at].value = set->value;
    else
        http_fields_add(f, a, set->name, set->value);
}

/* As the API named them, before anything is made of them: see jar.h. */
static void name_cookies_back(struct exchange *x)
{
    struct http_fields *f = &x->in.request.fields;
    bool                is_own = false; /* the front's array is not ours to write to */

    for (int at = http_fields_find(f, HTTP_COOKIE, 0); at >= 0;
         at = http_fields_find(f, HTTP_COOKIE, (unsigned)at + 1)) {
        struct slice value = jar_inward(f->items[at].value, &x->arena);

        if (value.ptr == f->items[at].value.ptr)
            continue;
        if (!is_own)
            *f = http_fields_copy(f, &x->arena);
        is_own = true;
        f->items[at].value = value;
    }
}

void dress_request(struct exchange *x)
{
    const struct http_fields *set = &x->up->fetch.set_headers, *from = &x->in.request.fields;
    struct http_fields        f = { 0 };
    bool                      encoded = false, read;

    if (x->route.way == ROUTE_PREFIX)
        name_cookies_back(x);
    x->relink.wanted = x->up->rewrite_links && x->route.way != ROUTE_CONNECT;
    read = x->relink.wanted || x->policy->validate == VALIDATE_JSON;
    if (set->count == 0 && !read)
        return;
    for (unsigned i = 0; i < from->count; i++) {
        struct http_field field = from->items[i];

        if (x->relink.wanted && (field.id == HTTP_RANGE || field.id == HTTP_IF_RANGE))
            continue;
        if (read && field.id == HTTP_ACCEPT_ENCODING) {
            if (encoded)
                continue;
            encoded = true;
            field.value = readable_codings(from, x->relink.wanted);
        }
        http_fields_add(&f, &x->arena, field.name, field.value);
    }
    for (unsigned i = 0; i < set->count; i++)
        set_field(&f, &x->arena, &set->items[i]);
    x->in.request.fields = f;
}

/* -- the answer -- */

static struct links links(struct exchange *x)
{
    return links_of(&x->route, x->in.request.target, http_fields_get(&x->in.request.fields, HTTP_HOST), &x->arena);
}

struct found {
    bool links, of_host;
};

/* Links, and what is said to a host: by prefix that is the host of all APIs. */
static struct found look_for(const struct http_fields *f)
{
    struct found found = { .links = false };

    for (unsigned i = 0; i < f->count; i++) {
        enum http_name id = f->items[i].id;

        found.links = found.links || links_are_in(id);
        found.of_host = found.of_host || id == HTTP_SET_COOKIE || id == HTTP_CLEAR_SITE_DATA;
    }
    return found;
}

/* Clear-Site-Data would take the cookies and the storage of every API with it. */
static void keep_apart(struct exchange *x)
{
    struct http_fields *f = &x->reply.fields;
    unsigned            kept = 0;

    for (unsigned i = 0; i < f->count; i++) {
        struct http_field field = f->items[i];

        if (field.id == HTTP_SET_COOKIE)
            field.value = jar_outward(&x->route, field.value, &x->arena);
        if (field.id != HTTP_CLEAR_SITE_DATA && field.value.ptr != NULL)
            f->items[kept++] = field;
    }
    f->count = kept;
}

/* They speak of the bytes that were. The ETag stays: it is what the upstream compares. */
static void drop_byte_fields(struct http_fields *f)
{
    static const char *const names[] = { "Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest" };
    unsigned                 kept = 0;

    for (unsigned i = 0; i < f->count; i++) {
        bool drop = false;

        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            drop = drop || slice_eq_nocase(f->items[i].name, slice_of(names[k]));
        if (!drop)
            f->items[kept++] = f->items[i];
    }
    f->count = kept;
}

static void relink_body(struct exchange *x)
{
    struct link_pair pairs[LINK_PAIRS_MAX];
    struct links     l = links(x);
    struct reply    *r = &x->reply;
    struct relink   *filter;

    if (r->status == 206 || r->status == 204)
        return;
    filter = relink_open(&r->fields, pairs, links_pairs(&l, pairs, &x->arena));
    if (filter == NULL)
        return;
    drop_byte_fields(&r->fields);
    if (r->kind == REPLY_BYTES) {
        struct slice whole = relink_whole(filter, r->bytes, &x->arena);

        if (whole.ptr != NULL) { /* else its coding is broken: the client shall see that for itself */
            r->bytes = whole;
            r->length = (int64_t)whole.len;
        }
    } else {
        if (r->kind == REPLY_FILE) {
            x->relink.fd = r->fd;
            x->relink.at = r->offset;
            x->relink.left = r->length;
            r->fd = -1;
            r->kind = REPLY_STREAM;
        }
        r->length = -1;
    }
    if (r->kind == REPLY_STREAM)
        x->relink.filter = filter;
    else
        relink_close(filter);
}

void dress_reply(struct exchange *x)
{
    struct found found;

    cors_sandbox(x, &x->reply.fields);
    if (x->route.way == ROUTE_CONNECT) /* over TLS the API's own links lead to Weir */
        return;
    found = look_for(&x->reply.fields);
    if (found.of_host && x->route.way == ROUTE_PREFIX)
        keep_apart(x);
    if (found.links) {
        struct links l = links(x);

        links_rewrite_fields(&l, &x->reply.fields, &x->arena);
    }
    if (x->relink.wanted)
        relink_body(x);
}
