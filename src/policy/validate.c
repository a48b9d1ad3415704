/*
 * Conditionals in both directions, what a 304 changes, and what a write
 * makes invalid.
 */
#include "policy/validate.h"

#include "base/clock.h"
#include "http/date.h"
#include "http/hop.h"
#include "http/limit_name.h"
#include "http/media.h"
#include "http/url.h"
#include "policy/etag.h"

/* ---- answering a client's conditional (RFC 9110 13, RFC 9111 4.3.2) ---- */

static struct etag stored_tag(const struct http_fields *stored)
{
    return etag_parse(http_fields_get(stored, HTTP_ETAG));
}

static bool none_match_holds(const struct http_fields *request, const struct http_fields *stored)
{
    struct etag tag = stored_tag(stored);

    for (int at = http_fields_find(request, HTTP_IF_NONE_MATCH, 0); at >= 0;
         at = http_fields_find(request, HTTP_IF_NONE_MATCH, (unsigned)at + 1)) {
        struct slice value = request->items[at].value;

        if (slice_eq(value, SLICE("*")) || etag_list_has(value, tag))
            return true;
    }
    return false;
}

/* 4.3.2: Last-Modified, else Date, else the time it was received. */
static int64_t modified_s(const struct stored_response *r)
{
    static const enum http_name sources[] = { HTTP_LAST_MODIFIED, HTTP_DATE };
    int64_t                     received_s = r->received_wall_ns / NS_PER_SEC, seconds;

    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (http_date_parse(http_fields_get(&r->head.fields, sources[i]), received_s, &seconds))
            return seconds;
    return received_s;
}

enum precondition policy_precondition(const struct http_request *request, const struct stored_response *stored)
{
    const struct http_fields *f = &request->fields;
    int64_t                   since;

    /* RFC 9110 13.2.1: only where the answer would be a success anyway.  A QUERY too: RFC 10008 2.6. */
    if ((request->method != HTTP_GET && request->method != HTTP_HEAD && request->method != HTTP_QUERY) ||
        stored->head.status < 200 || stored->head.status > 299)
        return PRECONDITION_NONE;
    if (http_fields_find(f, HTTP_IF_NONE_MATCH, 0) >= 0)
        return none_match_holds(f, &stored->head.fields) ? PRECONDITION_NOT_MODIFIED : PRECONDITION_NONE;
    if (http_fields_count(f, HTTP_IF_MODIFIED_SINCE) != 1 ||
        !http_date_parse(http_fields_get(f, HTTP_IF_MODIFIED_SINCE), stored->received_wall_ns / NS_PER_SEC, &since))
        return PRECONDITION_NONE;
    return modified_s(stored) <= since ? PRECONDITION_NOT_MODIFIED : PRECONDITION_NONE;
}

/* ---- asking the origin (4.3.1) ---- */

static void remove_conditions(struct http_fields *fields)
{
    static const enum http_name conditionals[] = { HTTP_IF_NONE_MATCH, HTTP_IF_MODIFIED_SINCE, HTTP_IF_MATCH,
                                                   HTTP_IF_UNMODIFIED_SINCE, HTTP_IF_RANGE };

    for (size_t i = 0; i < sizeof conditionals / sizeof conditionals[0]; i++)
        http_fields_remove(fields, conditionals[i]);
}

void policy_unconditional_fields(struct http_fields *fields)
{
    remove_conditions(fields);
    http_fields_remove(fields, HTTP_RANGE);
}

bool policy_conditional_fields(const struct stored_response *stored, struct http_fields *fields, struct arena *a)
{
    struct slice tag = http_fields_get(&stored->head.fields, HTTP_ETAG);
    struct slice modified = http_fields_get(&stored->head.fields, HTTP_LAST_MODIFIED);

    remove_conditions(fields);
    /* Of a part its tag tells, which is the whole's; where it changed the range is wanted anew.  A
     * whole is asked for as a whole. */
    if (stored->head.status == 206 && etag_parse(tag).opaque.ptr == NULL)
        return false;
    if (stored->head.status != 206)
        http_fields_remove(fields, HTTP_RANGE);
    /* A tag that is none is still the origin's, who may know what to make of it. */
    if (tag.len > 0)
        http_fields_add_id(fields, a, HTTP_IF_NONE_MATCH, arena_copy(a, tag));
    if (modified.len > 0)
        http_fields_add_id(fields, a, HTTP_IF_MODIFIED_SINCE, arena_copy(a, modified));
    return tag.len > 0 || modified.len > 0;
}

/* ---- what a 304 does (3.2, 4.3.3, 4.3.4) ---- */

bool policy_304_selects(const struct http_response *r304, const struct stored_response *stored)
{
    const struct http_fields *new = &r304->fields, *old = &stored->head.fields;
    struct slice new_tag = http_fields_get(new, HTTP_ETAG), old_tag = http_fields_get(old, HTTP_ETAG);
    struct slice new_date = http_fields_get(new, HTTP_LAST_MODIFIED);
    struct slice old_date = http_fields_get(old, HTTP_LAST_MODIFIED);
    struct etag  tag = etag_parse(new_tag);

    if (new_tag.ptr != NULL && old_tag.ptr != NULL) {
        if (tag.opaque.ptr == NULL) /* malformed, but the same on both sides */
            return slice_eq(new_tag, old_tag);
        return tag.weak ? etag_equal_weakly(tag, etag_parse(old_tag)) : etag_equal_strongly(tag, etag_parse(old_tag));
    }
    if (new_date.ptr != NULL && old_date.ptr != NULL)
        return slice_eq(new_date, old_date);
    /* A strong tag of which the stored response knows nothing is another representation's.  Else
     * Weir asked about this one response alone, and a 304 that names no validator can mean no
     * other. */
    return tag.opaque.ptr == NULL || tag.weak;
}

bool policy_head_selects(const struct http_response *head200, const struct stored_response *stored)
{
    static const enum http_name compared[] = { HTTP_ETAG, HTTP_LAST_MODIFIED, HTTP_CONTENT_LENGTH };

    if (head200->status != 200 || stored->head.status != 200)
        return false;
    for (size_t i = 0; i < sizeof compared / sizeof compared[0]; i++) {
        struct slice new = http_fields_get(&head200->fields, compared[i]);
        struct slice old = http_fields_get(&stored->head.fields, compared[i]);
        int64_t      length;

        if (compared[i] == HTTP_CONTENT_LENGTH) {
            /* What was chunked has a length all the same. */
            if (slice_to_int64(new, &length) && length != stored->body_bytes)
                return false;
        } else if (new.ptr != NULL && !slice_eq(new, old)) {
            return false;
        }
    }
    return true;
}

/*
 * May a 304 change it in the record?  3.2 excepts what 3.1 keeps out,
 * Content-Length, and what the stored bytes depend upon or what was used up
 * in receiving them: their coding, their range and their type.  Parameters of
 * the type may change.  Set-Cookie is changed only where it was kept.
 */
static bool is_updated(const struct http_field *field, const struct http_fields *stored, const struct limit_owns *owns)
{
    if (field->id == HTTP_CONTENT_TYPE)
        return http_media_is_same_type(field->value, http_fields_get(stored, HTTP_CONTENT_TYPE));
    if (field->id == HTTP_SET_COOKIE && http_fields_find(stored, HTTP_SET_COOKIE, 0) < 0)
        return false;
    return (http_name_flags(field->id) & HTTP_NOT_UPDATED) == 0 && !limit_name_is_of_field(owns, field);
}

/* Does the 304 have an update of the stored field? */
static bool has_update(const struct http_field *field, const struct http_fields *update,
                       const struct http_fields *stored, const struct limit_owns *owns)
{
    int at = http_fields_find_name(update, field->name, 0);

    return at >= 0 && is_updated(&update->items[at], stored, owns);
}

/* Of the stored field: is there an update, or does it speak of an exchange that is past? */
static bool is_replaced(const struct http_field *field, const struct http_fields *update,
                        const struct http_fields *stored, const struct limit_owns *owns)
{
    /* They belong to the times of the response that brought them: an Age or a Date of before beside
     * the new times would make it older, or its Expires later, than it is. */
    if (field->id == HTTP_AGE || field->id == HTTP_DATE)
        return true;
    return has_update(field, update, stored, owns);
}

struct http_fields policy_freshen(const struct http_fields *stored, const struct http_fields *update,
                                  const struct limit_owns *owns, struct arena *a)
{
    struct http_fields fresh = { 0 }, news = http_fields_end_to_end(update, a);

    for (unsigned i = 0; i < stored->count; i++)
        if (!is_replaced(&stored->items[i], &news, stored, owns))
            http_fields_add(&fresh, a, stored->items[i].name, stored->items[i].value);
    for (unsigned i = 0; i < news.count; i++)
        if (is_updated(&news.items[i], stored, owns))
            http_fields_add(&fresh, a, news.items[i].name, news.items[i].value);
    return http_fields_copy(&fresh, a);
}

struct http_fields policy_304_fields(const struct http_fields *stored, struct arena *a)
{
    /* RFC 9110 15.4.5; Last-Modified only where there is no tag, the targeted fields with
     * Cache-Control. */
    static const bool sent[HTTP_NAME_COUNT] = {
        [HTTP_CACHE_CONTROL] = true,
        [HTTP_CDN_CACHE_CONTROL] = true,
        [HTTP_CONTENT_LOCATION] = true,
        [HTTP_DATE] = true,
        [HTTP_ETAG] = true,
        [HTTP_EXPIRES] = true,
        [HTTP_VARY] = true,
        [HTTP_AGE] = true,
        [HTTP_VIA] = true,
        [HTTP_CACHE_STATUS] = true,
    };
    struct http_fields fields = { 0 };
    bool               has_tag = http_fields_find(stored, HTTP_ETAG, 0) >= 0;

    for (unsigned i = 0; i < stored->count; i++) {
        const struct http_field *field = &stored->items[i];

        if (sent[field->id] || (field->id == HTTP_LAST_MODIFIED && !has_tag))
            http_fields_add(&fields, a, field->name, field->value);
    }
    return fields;
}

/* ---- invalidation (4.4) ---- */

/* RFC 3986 5.2.4, on an absolute path without its query. */
static struct slice remove_dot_segments(struct slice path, struct arena *a)
{
    char  *out = arena_alloc_raw(a, path.len + 1);
    size_t used = 0;

    for (size_t at = 0; at < path.len;) {
        size_t       end = slice_find(path, '/', at + 1);
        struct slice segment = slice_sub(path, at + 1, end); /* path[at] is '/' */
        bool         up = slice_eq(segment, SLICE(".."));

        if (up)
            while (used > 0 && out[--used] != '/')
                ;
        if (up || slice_eq(segment, SLICE("."))) {
            if (end == path.len)
                out[used++] = '/';
        } else {
            memcpy(out + used, path.ptr + at, end - at);
            used += end - at;
        }
        at = end;
    }
    return (struct slice){ out, used };
}

/* RFC 3986 5.2.2 for a reference without scheme and authority; its path may be relative. */
static struct slice resolve_target(const struct http_url *base, struct slice reference, struct arena *a)
{
    struct slice base_path, query, path, reference_path;
    size_t       directory;

    http_target_split(base->target, &base_path, &query);
    if (reference.ptr[0] == '?')
        return arena_printf(a, SLICE_FMT SLICE_FMT, SLICE_ARG(base_path), SLICE_ARG(reference));
    http_target_split(reference, &reference_path, &query);
    directory = base_path.len;
    while (directory > 0 && base_path.ptr[directory - 1] != '/')
        directory--;
    path = reference_path;
    if (reference_path.ptr[0] != '/')
        path = arena_printf(a, SLICE_FMT SLICE_FMT, directory > 0 ? (int)directory : 1,
                            directory > 0 ? base_path.ptr : "/", SLICE_ARG(reference_path));
    path = remove_dot_segments(path, a);
    if (query.ptr == NULL)
        return path;
    return arena_printf(a, SLICE_FMT "?" SLICE_FMT, SLICE_ARG(path), SLICE_ARG(query));
}

static bool is_same_origin(const struct http_url *a, const struct http_url *b)
{
    return slice_eq_nocase(a->scheme, b->scheme) && slice_eq_nocase(a->host, b->host) && a->port == b->port;
}

/* The reference as a URL spelled with the base's own scheme and authority; ptr NULL where it leads
 * to another origin. */
static struct slice resolve(const struct http_url *base, struct slice reference, struct arena *a)
{
    struct http_url url;
    struct slice    target, absolute = reference;

    reference = absolute = slice_sub(reference, 0, slice_find(reference, '#', 0));
    if (reference.len == 0)
        return SLICE_NONE;
    if (slice_starts_with(reference, SLICE("//")))
        absolute = arena_printf(a, SLICE_FMT ":" SLICE_FMT, SLICE_ARG(base->scheme), SLICE_ARG(reference));
    if (http_url_parse(absolute, &url)) {
        if (!is_same_origin(base, &url))
            return SLICE_NONE;
        target = url.target.len == 0 ? SLICE("/") : url.target;
    } else if (absolute.ptr != reference.ptr || slice_find(reference, ':', 0) < slice_find(reference, '/', 0)) {
        return SLICE_NONE; /* "//" and no host, or some other scheme */
    } else {
        target = resolve_target(base, reference, a);
    }
    return arena_printf(a, SLICE_FMT "://" SLICE_FMT SLICE_FMT, SLICE_ARG(base->scheme), SLICE_ARG(base->authority),
                        SLICE_ARG(target));
}

unsigned policy_invalidated(const struct http_request *request, const struct http_response *response,
                            struct slice effective_url, struct arena *a, struct slice out[3])
{
    static const enum http_name pointers[] = { HTTP_LOCATION, HTTP_CONTENT_LOCATION };
    struct http_url             base;
    unsigned                    count = 0;

    if (http_method_is_safe(request->method) || response->status < 200 || response->status > 399)
        return 0;
    out[count++] = effective_url;
    if (!http_url_parse(effective_url, &base))
        return count;
    for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++) {
        struct slice value = http_fields_get(&response->fields, pointers[i]);
        struct slice url = value.ptr != NULL ? resolve(&base, value, a) : SLICE_NONE;
        bool         known = url.ptr == NULL;

        for (unsigned k = 0; k < count; k++)
            known = known || slice_eq(out[k], url);
        if (!known)
            out[count++] = url;
    }
    return count;
}
