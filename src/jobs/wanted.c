/*
 * One row an option: how it is read, and what would be right.
 */
#include "jobs/wanted.h"

#include "base/decimal.h"
#include "http/duration.h"
#include "http/hop.h"
#include "http/url.h"

#include <limits.h>
#include <string.h>

struct option_reading {
    struct wanted              *wanted;
    const struct batch_options *bounds;
    const json_t               *value;
    struct arena               *arena;
};

static struct slice text_of(const json_t *v)
{
    return json_is_string(v) ? (struct slice){ json_string_value(v), json_string_length(v) } : SLICE_NONE;
}

/* A number, or one as a text: of a query. */
static bool read_count(const json_t *v, uint64_t least, uint64_t most, uint64_t *out)
{
    struct slice s = text_of(v);
    uint64_t     n = 0;

    if (json_is_integer(v) && json_integer_value(v) >= 0)
        n = (uint64_t)json_integer_value(v);
    else if (s.ptr == NULL || s.len == 0 || s.len > 9)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(s.ptr[i] - '0');
    }
    *out = n;
    return n >= least && n <= most;
}

static bool read_order(struct option_reading *r)
{
    struct slice s = text_of(r->value);

    r->wanted->by_completion = slice_eq(s, SLICE("completed"));
    r->wanted->has_order = true;
    return r->wanted->by_completion || slice_eq(s, SLICE("input"));
}

/* What is done first is given first, where no order is asked for. */
static bool read_take(struct option_reading *r)
{
    return read_count(r->value, 1, UINT32_MAX, &r->wanted->take);
}

static bool read_concurrency(struct option_reading *r)
{
    uint64_t n;
    bool     good = read_count(r->value, 1, r->bounds->concurrency, &n);

    if (good)
        r->wanted->concurrency = (unsigned)n;
    return good;
}

static bool read_max_wait(struct option_reading *r)
{
    int64_t ns;

    r->wanted->max_wait = arena_copy(r->arena, text_of(r->value));
    return text_of(r->value).ptr != NULL && http_duration_parse(r->wanted->max_wait, &ns);
}

static bool read_priority(struct option_reading *r)
{
    struct slice s = text_of(r->value);

    r->wanted->priority = arena_copy(r->arena, s);
    return slice_eq(s, SLICE("batch")) || slice_eq(s, SLICE("interactive"));
}

static bool read_progress(struct option_reading *r)
{
    return text_of(r->value).ptr != NULL && http_duration_parse(text_of(r->value), &r->wanted->progress_ns) &&
           r->wanted->progress_ns > 0;
}

/* "2xx", "404", 404 */
static bool read_status(const json_t *v, unsigned *first, unsigned *last)
{
    struct slice s = text_of(v);
    uint64_t     n;

    if (s.len == 3 && s.ptr[0] >= '1' && s.ptr[0] <= '9' && slice_eq_nocase(slice_sub(s, 1, 3), SLICE("xx"))) {
        *first = (unsigned)(s.ptr[0] - '0') * 100;
        *last = *first + 99;
        return true;
    }
    if (!read_count(v, 100, 999, &n))
        return false;
    *first = *last = (unsigned)n;
    return true;
}

static bool add_status(struct wanted *w, const json_t *v)
{
    if (w->accepted == WANTED_STATUSES || !read_status(v, &w->accept[w->accepted].first, &w->accept[w->accepted].last))
        return false;
    w->accepted++;
    return true;
}

static bool read_accept(struct option_reading *r)
{
    struct slice rest = text_of(r->value);
    size_t       i;
    json_t      *v;

    r->wanted->accepted = 0;
    if (json_is_array(r->value)) {
        json_array_foreach(r->value, i, v) if (!add_status(r->wanted, v)) return false;
        return json_array_size(r->value) > 0;
    }
    if (!json_is_string(r->value))
        return add_status(r->wanted, r->value);
    while (rest.len > 0) {
        size_t end = slice_find(rest, ',', 0);
        bool   good;

        v = json_stringn(rest.ptr, end);
        good = add_status(r->wanted, v);
        json_decref(v);
        if (!good)
            return false;
        rest = slice_sub(rest, end + 1, rest.len);
    }
    return r->wanted->accepted > 0;
}

static bool read_upstream(struct option_reading *r)
{
    r->wanted->upstream = arena_copy(r->arena, text_of(r->value)).ptr;
    return json_is_string(r->value) && *r->wanted->upstream != '\0';
}

static bool read_async(struct option_reading *r)
{
    struct slice s = text_of(r->value);

    r->wanted->async = json_is_true(r->value) || slice_eq(s, SLICE("true")) || slice_eq(s, SLICE("1"));
    return r->wanted->async || json_is_false(r->value) || slice_eq(s, SLICE("false")) || slice_eq(s, SLICE("0"));
}

bool wanted_may_carry(struct slice name)
{
    static const char *const others[] = { "Host", "Content-Length", "Expect", "Origin", "Via", "Forwarded" };

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (slice_eq_nocase(name, slice_of(others[i])))
            return false;
    if (name.len > 4 && slice_eq_nocase(slice_sub(name, 0, 4), SLICE("Sec-")))
        return false;
    return !http_name_stays_here(name) || slice_eq_nocase(slice_sub(name, 0, 5), SLICE("Weir-"));
}

static bool read_headers(struct option_reading *r)
{
    const char *name;
    json_t     *v;

    if (!json_is_object(r->value))
        return false;
    json_object_foreach((json_t *)(uintptr_t)r->value, name, v)
    {
        struct slice value = text_of(v);

        if (value.ptr == NULL || !http_is_token(slice_of(name)) || !http_is_field_value(value) ||
            !wanted_may_carry(slice_of(name)))
            return false;
        http_fields_add(&r->wanted->fields, r->arena, arena_copy(r->arena, slice_of(name)),
                        arena_copy(r->arena, value));
    }
    return true;
}

static const struct option_row {
    const char *name;
    bool (*read)(struct option_reading *);
    const char *right;
} rows[] = {
    { "order", read_order, "order: \"input\" or \"completed\" is wanted" },
    { "take", read_take, "take: a number of at least 1 is wanted" },
    { "accept", read_accept, "accept: statuses are wanted, such as [\"2xx\", 404], up to 16" },
    { "concurrency", read_concurrency, "concurrency: a number from 1 up to the setting batch.concurrency is wanted" },
    { "max_wait", read_max_wait, "max_wait: a duration such as \"5m\" or \"forever\" is wanted" },
    { "priority", read_priority, "priority: \"batch\" or \"interactive\" is wanted" },
    { "upstream", read_upstream, "upstream: an upstream's name is wanted" },
    { "headers", read_headers,
      "headers: an object of names and values is wanted, such as {\"Accept\": \"text/csv\"}, and none of Host, "
      "Content-Length, Origin and what belongs to a connection" },
    { "progress", read_progress, "progress: a duration above 0 such as \"5s\" is wanted" },
    { "async", read_async, "async: true is wanted" },
};

static const struct option_row *find_row(struct slice name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (slice_eq(name, slice_of(rows[i].name)))
            return &rows[i];
    return NULL;
}

void wanted_begin(struct wanted *w, const struct batch_options *bounds)
{
    *w = (struct wanted){ .concurrency = bounds->concurrency,
                          .max_wait = SLICE("forever"),
                          .priority = SLICE("batch") };
}

bool wanted_knows(struct slice name)
{
    return find_row(name) != NULL;
}

const char *wanted_set(struct wanted *w, const struct batch_options *bounds, struct slice name, const json_t *value,
                       struct arena *a)
{
    const struct option_row *row = find_row(name);
    struct option_reading    r = { w, bounds, value, a };
    unsigned                 bit = row != NULL ? 1U << (row - rows) : 0;

    if ((w->said & bit) != 0)
        return arena_printf(a, "%s: it stands there twice", row->name).ptr;
    w->said |= bit;
    return row != NULL && !row->read(&r) ? row->right : NULL;
}

const char *wanted_read_query(struct wanted *w, const struct batch_options *bounds, struct slice query, struct arena *a)
{
    struct slice parameter;

    while (http_query_next(&query, &parameter)) {
        size_t       equals = slice_find(parameter, '=', 0);
        struct slice name = slice_sub(parameter, 0, equals), value = slice_sub(parameter, equals + 1, parameter.len);
        json_t      *v;
        const char  *wrong;

        if (parameter.len == 0)
            continue;
        if (!wanted_knows(name) || slice_eq(name, SLICE("headers")))
            return arena_printf(a,
                                "The query's \"" SLICE_FMT "\" is no option: " WANTED_NAMES
                                ", but for headers, which need an envelope.",
                                SLICE_ARG(name))
                .ptr;
        value = http_percent_decode(value, a);
        v = json_stringn(value.ptr, value.len);
        wrong = v != NULL ? wanted_set(w, bounds, name, v, a) : "The query is not in UTF-8.";
        json_decref(v);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

bool wanted_accepts(const struct wanted *w, unsigned status)
{
    if (w->accepted == 0)
        return status >= 200 && status <= 299;
    for (unsigned i = 0; i < w->accepted; i++)
        if (status >= w->accept[i].first && status <= w->accept[i].last)
            return true;
    return false;
}
