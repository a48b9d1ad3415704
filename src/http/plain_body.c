/*
 * An inflater, where there is a coding, and the bound on what it may make out of nothing.
 */
#include "http/plain_body.h"

#include "http/inflate.h"

enum {
    PLAIN_BYTES = 16 * 1024,       /* of what is inflated at a time */
    FREE_BYTES = 32 * 1024 * 1024, /* inflated from however little */
    TIMES_MOST = 100               /* beyond that: as much as what came. All others wait while it is read */
};

/* No coding, or the one that says so (RFC 9110 8.4.1 has it for Accept-Encoding alone; some send it). */
static bool is_plain(const struct http_fields *f)
{
    struct slice coding = slice_trim(http_fields_get(f, HTTP_CONTENT_ENCODING));

    return http_fields_count(f, HTTP_CONTENT_ENCODING) <= 1 &&
           (coding.len == 0 || slice_eq_nocase(coding, SLICE("identity")));
}

bool plain_body_open(struct plain_body *p, const struct http_fields *head)
{
    *p = (struct plain_body){ 0 };
    if (is_plain(head))
        return true;
    p->coding = inflater_open(head);
    p->is_broken = p->coding == NULL;
    return !p->is_broken;
}

void plain_body_close(struct plain_body *p)
{
    inflater_close(p->coding);
    p->coding = NULL;
}

/* Two megabytes may hold two thousand of nothing. */
static bool is_bomb(const struct plain_body *p)
{
    return p->plain_bytes > FREE_BYTES && p->plain_bytes / TIMES_MOST > p->coded_bytes;
}

bool plain_body_feed(struct plain_body *p, const char *bytes, size_t count, plain_body_each each, void *context)
{
    char   plain[PLAIN_BYTES];
    size_t got;
    bool   sound = true;

    p->coded_bytes += count;
    if (p->is_broken)
        return false;
    if (p->coding == NULL)
        return each(context, bytes, count);
    inflater_feed(p->coding, bytes, count);
    while (!is_bomb(p) && (got = inflater_take(p->coding, plain, sizeof plain, &sound)) > 0) {
        p->plain_bytes += got;
        if (!each(context, plain, got)) {
            p->is_broken = true;
            return false;
        }
    }
    p->is_broken = !sound || is_bomb(p);
    return !p->is_broken;
}

bool plain_body_is_whole(const struct plain_body *p)
{
    return !p->is_broken && (p->coding == NULL || inflater_is_whole(p->coding));
}
