/*
 * The files of the page, to whoever asks at admin.listen: they say nothing of what Weir does.
 *
 * What they may do in the browser is said with them: nothing but what comes from here, in no frame, and no text is ever
 * taken for a script or for HTML.
 */
#include "admin/internal.h"

#include "page/page.h"

static const struct {
    const char *name, *value;
} fields[] = {
    { "Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                                 "object-src 'none'; require-trusted-types-for 'script'; trusted-types lit-html" },
    { "Cross-Origin-Opener-Policy", "same-origin" },
    { "Cross-Origin-Resource-Policy", "same-origin" },
    { "Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()" },
    { "Referrer-Policy", "no-referrer" },
    { "X-Content-Type-Options", "nosniff" },
    { "X-Frame-Options", "DENY" },
};

/* RFC 9110 13.1.2: a tag that a list names is there with its quotes, weak or strong. */
static bool has_it(struct slice list, const char *tag)
{
    const size_t bytes = strlen(tag);

    for (size_t i = 0; i + bytes <= list.len; i++)
        if (memcmp(list.ptr + i, tag, bytes) == 0)
            return true;
    return slice_eq(list, SLICE("*"));
}

bool admin_answer_page(struct admin_call *call, const struct http_request *request)
{
    struct slice            path, query;
    const struct page_file *f;
    struct reply           *r = &call->reply;

    http_target_split(request->target, &path, &query);
    f = page_find(path);
    if (f == NULL || (request->method != HTTP_GET && request->method != HTTP_HEAD))
        return false;
    *r = (struct reply){ .status = 200, .fd = -1, .kind = REPLY_BYTES };
    r->bytes = (struct slice){ f->begin, (size_t)(f->end - f->begin) };
    if (has_it(http_fields_get(&request->fields, HTTP_IF_NONE_MATCH), f->tag)) {
        r->status = 304;
        r->kind = REPLY_EMPTY;
        r->bytes = SLICE_NONE;
    } else {
        http_fields_add_id(&r->fields, &call->arena, HTTP_CONTENT_TYPE, slice_of(f->type));
    }
    r->length = (int64_t)r->bytes.len;
    http_fields_add_id(&r->fields, &call->arena, HTTP_ETAG, slice_of(f->tag));
    http_fields_add_id(&r->fields, &call->arena, HTTP_CACHE_CONTROL, SLICE("no-cache"));
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        http_fields_add(&r->fields, &call->arena, slice_of(fields[i].name), slice_of(fields[i].value));
    call->done = true;
    return true;
}
