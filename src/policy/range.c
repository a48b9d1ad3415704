/*
 * Ranges are read against a complete length; what a stored part can give is
 * asked afterwards.
 */
#include "policy/range.h"

#include "base/clock.h"
#include "http/date.h"
#include "http/list.h"
#include "policy/etag.h"
#include "policy/validate.h"

/* ---- Content-Range ---- */

static bool take_number(struct slice *s, int64_t *out)
{
    size_t digits = 0;

    while (digits < s->len && s->ptr[digits] >= '0' && s->ptr[digits] <= '9')
        digits++;
    if (!slice_to_int64(slice_sub(*s, 0, digits), out))
        return false;
    *s = slice_sub(*s, digits, s->len);
    return true;
}

static bool take_byte(struct slice *s, char c)
{
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = slice_sub(*s, 1, s->len);
    return true;
}

bool policy_content_range_parse(struct slice value, struct byte_range *range, int64_t *complete)
{
    struct slice      s = slice_sub(value, 6, value.len);
    struct byte_range r = { -1, -1 };
    int64_t           length = -1;
    bool              any_range, any_length;

    if (!slice_eq_nocase(slice_sub(value, 0, 6), SLICE("bytes ")))
        return false;
    any_range = !take_byte(&s, '*');
    if (any_range && (!take_number(&s, &r.first) || !take_byte(&s, '-') || !take_number(&s, &r.last)))
        return false;
    if (!take_byte(&s, '/'))
        return false;
    any_length = !take_byte(&s, '*');
    if ((any_length && !take_number(&s, &length)) || s.len > 0 || (!any_range && !any_length))
        return false;
    /* The byte after the last one is counted with, too. */
    if (any_range && (r.last < r.first || r.last == INT64_MAX || (any_length && r.last >= length)))
        return false;
    *range = r;
    *complete = length;
    return true;
}

/* ---- Range ---- */

/* One range-spec against `length` (14.1.2).  False where it is malformed; first > last where it is
 * not satisfiable. */
static bool read_spec(struct slice spec, int64_t length, struct byte_range *out)
{
    static const struct byte_range unsatisfiable = { 1, 0 };
    int64_t                        n;
    size_t                         dash = slice_find(spec, '-', 0);
    struct slice                   first = slice_sub(spec, 0, dash), last = slice_sub(spec, dash + 1, spec.len);
    bool                           huge;

    if (dash == spec.len || (first.len == 0 && last.len == 0))
        return false;
    for (size_t i = 0; i < spec.len; i++)
        if (i != dash && (spec.ptr[i] < '0' || spec.ptr[i] > '9'))
            return false;
    *out = unsatisfiable;
    if (first.len == 0) { /* the last n bytes */
        huge = !slice_to_int64(last, &n) || n > length;
        if (huge || n > 0)
            *out = (struct byte_range){ huge ? 0 : length - n, length - 1 };
        return true;
    }
    if (!slice_to_int64(first, &out->first))
        return true; /* beyond any end */
    huge = last.len == 0 || !slice_to_int64(last, &n);
    if (!huge && n < out->first)
        return false;
    out->last = huge || n >= length ? length - 1 : n;
    return true;
}

/* Adds a range; what overlaps or adjoins one that is there becomes one with it, at the earlier
 * place. */
static void add_range(struct byte_range *out, unsigned *count, struct byte_range r)
{
    unsigned place = *count, kept = 0;

    for (unsigned i = 0; i < *count; i++) {
        struct byte_range o = out[i];

        if (o.first > r.last + 1 || r.first > o.last + 1) {
            out[kept++] = o;
            continue;
        }
        r.first = o.first < r.first ? o.first : r.first;
        r.last = o.last > r.last ? o.last : r.last;
        place = kept < place ? kept : place;
    }
    place = place < kept ? place : kept;
    memmove(&out[place + 1], &out[place], (kept - place) * sizeof out[0]);
    out[place] = r;
    *count = kept + 1;
}

static enum range_result read_ranges(struct slice value, int64_t length, struct byte_range *out, unsigned *count)
{
    struct http_list list;
    struct slice     spec;
    unsigned         specs = 0;

    *count = 0;
    if (!slice_eq_nocase(slice_sub(value, 0, 6), SLICE("bytes=")))
        return RANGE_IGNORE;
    list = http_list_of_value(slice_sub(value, 6, value.len));
    while (http_list_next(&list, &spec)) {
        struct byte_range r;

        if (++specs > RANGE_MAX || !read_spec(spec, length, &r))
            return RANGE_IGNORE;
        if (r.first <= r.last)
            add_range(out, count, r);
    }
    if (specs == 0)
        return RANGE_IGNORE;
    return *count > 0 ? RANGE_PARTS : RANGE_UNSATISFIABLE;
}

/* ---- If-Range ---- */

static bool date_of(const struct http_fields *f, enum http_name id, int64_t now_s, int64_t *out)
{
    return http_date_parse(http_fields_get(f, id), now_s, out);
}

/* 13.1.5: the strong tag, or exactly the date of a Last-Modified that is strong (8.8.2.2). */
static bool if_range_holds(const struct http_fields *request, const struct stored_response *stored)
{
    const struct http_fields *f = &stored->head.fields;
    struct slice              wanted = http_fields_get(request, HTTP_IF_RANGE);
    int64_t                   now_s = stored->received_wall_ns / NS_PER_SEC, asked, modified, date;

    if (wanted.ptr == NULL)
        return true;
    if (etag_parse(wanted).opaque.ptr != NULL)
        return etag_equal_strongly(etag_parse(wanted), etag_parse(http_fields_get(f, HTTP_ETAG)));
    return date_of(request, HTTP_IF_RANGE, now_s, &asked) && date_of(f, HTTP_LAST_MODIFIED, now_s, &modified) &&
           asked == modified && date_of(f, HTTP_DATE, now_s, &date) && date > modified;
}

static bool asks_for_ranges(const struct http_request *r)
{
    return r->method == HTTP_GET && http_fields_count(&r->fields, HTTP_RANGE) == 1;
}

enum range_result policy_range(const struct http_request *request, const struct stored_response *stored, int64_t length,
                               struct byte_range out[RANGE_MAX], unsigned *count)
{
    *count = 0;
    /* Of nothing there is no part, and no Content-Range could say so. */
    if (!asks_for_ranges(request) || stored->head.status != 200 || length == 0 ||
        !if_range_holds(&request->fields, stored))
        return RANGE_IGNORE;
    return read_ranges(http_fields_get(&request->fields, HTTP_RANGE), length, out, count);
}

/* ---- parts ---- */

bool policy_part_of(const struct stored_response *part, struct byte_range *range, int64_t *complete)
{
    const struct http_fields *f = &part->head.fields;

    return part->head.status == 206 && http_fields_count(f, HTTP_CONTENT_RANGE) == 1 &&
           policy_content_range_parse(http_fields_get(f, HTTP_CONTENT_RANGE), range, complete) && range->first >= 0 &&
           (part->body_bytes < 0 || part->body_bytes == range->last - range->first + 1);
}

enum range_result policy_range_in_part(const struct http_request *request, const struct stored_response *part,
                                       struct byte_range out[RANGE_MAX], unsigned *count)
{
    struct byte_range held;
    int64_t           complete;
    enum range_result result;

    *count = 0;
    if (!asks_for_ranges(request) || !policy_part_of(part, &held, &complete) || complete < 0 ||
        !if_range_holds(&request->fields, part))
        return RANGE_IGNORE;
    result = read_ranges(http_fields_get(&request->fields, HTTP_RANGE), complete, out, count);
    for (unsigned i = 0; result == RANGE_PARTS && i < *count; i++)
        if (out[i].first < held.first || out[i].last > held.last)
            result = RANGE_IGNORE;
    if (result != RANGE_PARTS)
        *count = 0;
    return result;
}

bool policy_holds_range(const struct http_request *request, const struct stored_response *stored)
{
    struct byte_range ranges[RANGE_MAX];
    unsigned          count;
    enum range_result result;

    if (stored->head.status != 206)
        return true;
    result = policy_range_in_part(request, stored, ranges, &count);
    return result == RANGE_UNSATISFIABLE || (result == RANGE_PARTS && count == 1);
}

bool policy_completing_fields(const struct stored_response *part, struct http_fields *fields, struct arena *a)
{
    struct slice      validator = http_fields_get(&part->head.fields, HTTP_ETAG);
    struct etag       tag = etag_parse(validator);
    struct byte_range held;
    int64_t           complete;

    if (!policy_part_of(part, &held, &complete) || tag.opaque.ptr == NULL || tag.weak)
        return false;
    if (held.first > 0 && held.last + 1 != complete)
        return false; /* something lacks at either end */
    policy_unconditional_fields(fields);
    if (held.first > 0)
        http_fields_add_id(fields, a, HTTP_RANGE, arena_printf(a, "bytes=0-%lld", (long long)held.first - 1));
    else
        http_fields_add_id(fields, a, HTTP_RANGE, arena_printf(a, "bytes=%lld-", (long long)held.last + 1));
    http_fields_add_id(fields, a, HTTP_IF_RANGE, arena_copy(a, validator));
    return held.first > 0 || held.last + 1 != complete;
}

bool policy_parts_combine(const struct stored_response *part, const struct stored_response *other)
{
    struct byte_range a, b;
    int64_t           complete_a, complete_b;

    if (!etag_equal_strongly(etag_parse(http_fields_get(&part->head.fields, HTTP_ETAG)),
                             etag_parse(http_fields_get(&other->head.fields, HTTP_ETAG))) ||
        !policy_part_of(part, &a, &complete_a) || !policy_part_of(other, &b, &complete_b))
        return false;
    if (complete_a >= 0 && complete_b >= 0 && complete_a != complete_b)
        return false;
    return a.first <= b.last + 1 && b.first <= a.last + 1;
}
