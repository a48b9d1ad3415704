/*
 * Reading the rate-limit fields.
 *
 * The structured RateLimit field counts before the families of single fields,
 * since it may tell of several policies at once.  A reset is seconds from now, or an epoch
 * in seconds or milliseconds (told apart by size), with or without a fraction,
 * a date, or a duration as "1m30s"; an epoch is measured against the API's own Date
 * where the clocks differ.
 */
#include "budget/learned.h"

#include "base/clock.h"
#include "budget/retry.h"
#include "http/date.h"
#include "http/list.h"
#include "http/structured.h"

#define EPOCH_FROM_S  1e9             /* September 2001; nobody's window is 31 years */
#define EPOCH_FROM_MS 1e11
#define LONGEST_S     (366.0 * 86400)
#define CLOCKS_AGREE_NS (2 * NS_PER_SEC)

static const struct learned_hint nothing = { .allowed = -1, .remaining = -1, .window_ns = -1, .reset_in_ns = -1 };

/* -- numbers and times -- */

/* Digits with or without a fraction at the beginning of *rest, which then stands behind them. */
static bool take_number(struct slice *rest, double *out)
{
    size_t at = 0;
    double value = 0, part = 1;

    for (; at < rest->len && rest->ptr[at] >= '0' && rest->ptr[at] <= '9'; at++)
        value = value * 10 + (rest->ptr[at] - '0');
    if (at == 0)
        return false;
    if (at < rest->len && rest->ptr[at] == '.')
        for (at++; at < rest->len && rest->ptr[at] >= '0' && rest->ptr[at] <= '9'; at++)
            value += (rest->ptr[at] - '0') * (part /= 10);
    *rest = slice_sub(*rest, at, rest->len);
    *out = value;
    return true;
}

/* "100", "598.0", "100, 100;w=60": the first number; -1 where there is none. */
static int64_t read_count(struct slice value)
{
    double number;

    value = slice_trim(value);
    if (!take_number(&value, &number) || number > 1e15)
        return -1;
    return value.len == 0 || value.ptr[0] == ',' || value.ptr[0] == ';' || value.ptr[0] == ' ' ? (int64_t)number : -1;
}

static int64_t seconds_ns(double s)
{
    return s >= LONGEST_S ? (int64_t)LONGEST_S * NS_PER_SEC : (int64_t)(s * 1e9);
}

/* "1m30s", "250ms". */
static bool read_duration(struct slice value, int64_t *ns)
{
    static const struct { struct slice unit; double seconds; } units[] = {
        { SLICE("ms"), 1e-3 }, { SLICE("s"), 1 }, { SLICE("m"), 60 }, { SLICE("h"), 3600 }, { SLICE("d"), 86400 },
    };
    double sum = 0, number;

    if (value.len == 0)
        return false;
    while (value.len > 0) {
        size_t i = 0;

        if (!take_number(&value, &number))
            return false;
        while (i < sizeof units / sizeof units[0] && !slice_starts_with(value, units[i].unit))
            i++;
        if (i == sizeof units / sizeof units[0])
            return false;
        sum += number * units[i].seconds;
        value = slice_sub(value, units[i].unit.len, value.len);
    }
    *ns = seconds_ns(sum);
    return true;
}

/* "2026-01-31T12:00:00Z", a fraction passed over. */
static bool read_iso_date(struct slice value, int64_t *epoch_s)
{
    static const char  shape[] = "0000-00-00T00:00:00";
    static const int   before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    int64_t            part[6] = { 0 }, days, y;
    int                n = 0;

    if (value.len < sizeof shape || value.ptr[value.len - 1] != 'Z')
        return false;
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        char c = value.ptr[i];

        if (shape[i] == '0' ? c < '0' || c > '9' : c != shape[i])
            return false;
        if (shape[i] == '0')
            part[n] = part[n] * 10 + (c - '0');
        else
            n++;
    }
    if (part[1] < 1 || part[1] > 12 || part[0] < 1970)
        return false;
    y = part[0] - (part[1] <= 2);     /* leap days up to this year's February */
    days = 365 * (part[0] - 1970) + y / 4 - y / 100 + y / 400 - 477 + before[part[1] - 1] + part[2] - 1;
    *epoch_s = ((days * 24 + part[3]) * 60 + part[4]) * 60 + part[5];
    return true;
}

int64_t learned_date_ns(const struct http_response *r, int64_t now_wall_ns)
{
    int64_t seconds;

    if (!http_date_parse(http_fields_get(&r->fields, HTTP_DATE), now_wall_ns / NS_PER_SEC, &seconds))
        return -1;
    return seconds * NS_PER_SEC;
}

/* What the API's epochs are measured against: finer than Date where the clocks agree. */
static int64_t api_now_ns(const struct http_response *r, int64_t now_wall_ns)
{
    int64_t date_ns = learned_date_ns(r, now_wall_ns);

    if (date_ns < 0 || (date_ns - now_wall_ns < CLOCKS_AGREE_NS && now_wall_ns - date_ns < CLOCKS_AGREE_NS))
        return now_wall_ns;
    return date_ns;
}

static int64_t until_epoch(double epoch_s, int64_t api_ns)
{
    double in_s = epoch_s - (double)api_ns / 1e9;

    return in_s > 0 ? seconds_ns(in_s) : 0;
}

static int64_t read_reset(struct slice value, int64_t api_ns)
{
    struct slice rest = value = slice_trim(value);
    double       number;
    int64_t      ns;

    if (take_number(&rest, &number) && (rest.len == 0 || rest.ptr[0] == ',' || rest.ptr[0] == ';')) {
        if (number >= EPOCH_FROM_MS)
            return until_epoch(number / 1e3, api_ns);
        return number >= EPOCH_FROM_S ? until_epoch(number, api_ns) : seconds_ns(number);
    }
    if (read_duration(value, &ns))
        return ns;
    if (http_date_parse(value, api_ns / NS_PER_SEC, &ns) || read_iso_date(value, &ns))
        return until_epoch((double)ns, api_ns);
    return -1;
}

/* -- the families of single fields -- */

enum part { PART_LIMIT, PART_REMAINING, PART_RESET, PART_RESET_AFTER, PART_RESOURCE, PART_BUCKET, PARTS };

static const struct slice families[] = { SLICE("RateLimit-"), SLICE("X-RateLimit-"), SLICE("X-Rate-Limit-") };
static const struct slice part_names[PARTS] = {
    [PART_LIMIT]       = SLICE("Limit"),
    [PART_REMAINING]   = SLICE("Remaining"),
    [PART_RESET]       = SLICE("Reset"),
    [PART_RESET_AFTER] = SLICE("Reset-After"),
    [PART_RESOURCE]    = SLICE("Resource"),
    [PART_BUCKET]      = SLICE("Bucket"),
};
enum { FAMILIES = sizeof families / sizeof families[0] };

struct family { struct slice part[PARTS]; };

static void sort_field(const struct http_field *f, struct family into[FAMILIES])
{
    if (!http_may_tell_a_limit(f->name))
        return;
    for (int i = 0; i < FAMILIES; i++) {
        if (!slice_eq_nocase(slice_sub(f->name, 0, families[i].len), families[i]))
            continue;
        for (int part = 0; part < PARTS; part++)
            if (slice_eq_nocase(slice_sub(f->name, families[i].len, f->name.len), part_names[part]) &&
                into[i].part[part].ptr == NULL)
                into[i].part[part] = f->value;
    }
}

/* The first family that tells how many remain, and the resource's name from whichever has it. */
static bool read_families(const struct http_response *r, int64_t now_wall_ns, struct learned_hint *out)
{
    static const enum told_by told[FAMILIES] = { TOLD_BY_RATELIMIT_FIELDS, TOLD_BY_X_RATELIMIT, TOLD_BY_X_RATE_LIMIT };
    struct family             family[FAMILIES] = { 0 };
    bool          found = false;

    *out = nothing;
    for (unsigned i = 0; i < r->fields.count; i++)
        sort_field(&r->fields.items[i], family);
    for (int i = 0; i < FAMILIES; i++) {
        const struct slice *part = family[i].part;

        if (out->resource.len == 0)
            out->resource = slice_trim(part[PART_RESOURCE].len > 0 ? part[PART_RESOURCE] : part[PART_BUCKET]);
        if (found || (part[PART_REMAINING].ptr == NULL && part[PART_LIMIT].ptr == NULL))
            continue;
        out->allowed = read_count(part[PART_LIMIT]);
        out->remaining = read_count(part[PART_REMAINING]);
        out->reset_in_ns = read_reset(part[part[PART_RESET_AFTER].ptr != NULL ? PART_RESET_AFTER : PART_RESET],
                                      api_now_ns(r, now_wall_ns));
        out->by = told[i];
        found = out->remaining >= 0;
    }
    return found || out->resource.len > 0;
}

/* -- the structured fields -- */

static const struct sf_member *parameter(const struct sf_member *m, const char *key)
{
    for (unsigned i = 0; i < m->parameter_count; i++)
        if (slice_eq(m->parameters[i].key, slice_of(key)))
            return &m->parameters[i];
    return NULL;
}

static int64_t parameter_integer(const struct sf_member *m, const char *key)
{
    const struct sf_member *p = parameter(m, key);

    return p != NULL && p->value.type == SF_INTEGER && p->value.integer >= 0 ? p->value.integer : -1;
}

static int64_t window_ns(int64_t seconds)
{
    return seconds > 0 ? seconds_ns((double)seconds) : -1;
}

/* A policy that counts bytes or the like says nothing about requests. */
static bool counts_requests(const struct sf_member *m)
{
    const struct sf_member *unit = parameter(m, "qu");

    return unit == NULL || slice_eq(unit->value.text, SLICE("requests"));
}

static bool is_name(const struct sf_member *m)
{
    return m->value.type == SF_STRING || m->value.type == SF_TOKEN;
}

/* What RateLimit-Policy says of the policy of this name (new form), or, without one, of the only one or the one with
 * this quota (old form: 100;w=60). */
static void add_policy(const struct sf_members *policies, struct learned_hint *h)
{
    for (unsigned i = 0; i < policies->count; i++) {
        const struct sf_member *m = &policies->items[i];
        int64_t                 quota = is_name(m) ? parameter_integer(m, "q") : m->value.integer;

        if (is_name(m) ? !slice_eq(m->value.text, h->resource)
                       : m->value.type != SF_INTEGER || (h->allowed >= 0 ? quota != h->allowed : policies->count > 1))
            continue;
        if (h->allowed < 0)
            h->allowed = quota;
        h->window_ns = window_ns(parameter_integer(m, "w"));
        return;
    }
}

/* "default";r=50;t=30, "daily";r=900;t=4000 */
static unsigned read_list(const struct sf_members *list, struct learned_hint out[LEARNED_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < list->count && count < LEARNED_MAX; i++) {
        const struct sf_member *m = &list->items[i];
        struct learned_hint     h = nothing;

        if (!is_name(m) || !counts_requests(m))
            continue;
        h.resource = m->value.text;
        h.by = TOLD_BY_RATELIMIT;
        h.remaining = parameter_integer(m, "r");
        h.allowed = parameter_integer(m, "l");
        h.reset_in_ns = parameter_integer(m, "t") >= 0 ? seconds_ns((double)parameter_integer(m, "t")) : -1;
        if (h.remaining >= 0)
            out[count++] = h;
    }
    return count;
}

/* limit=100, remaining=50, reset=30 */
static unsigned read_dictionary(const struct sf_members *d, struct learned_hint out[LEARNED_MAX])
{
    struct learned_hint h = nothing;

    for (unsigned i = 0; i < d->count; i++) {
        const struct sf_member *m = &d->items[i];

        if (m->value.type != SF_INTEGER || m->value.integer < 0)
            continue;
        if (slice_eq(m->key, SLICE("limit")))
            h.allowed = m->value.integer;
        else if (slice_eq(m->key, SLICE("remaining")))
            h.remaining = m->value.integer;
        else if (slice_eq(m->key, SLICE("reset")))
            h.reset_in_ns = seconds_ns((double)m->value.integer);
    }
    if (h.remaining < 0)
        return 0;
    h.by = TOLD_BY_RATELIMIT;
    out[0] = h;
    return 1;
}

static unsigned read_structured(const struct http_response *r, struct arena *a, struct learned_hint out[LEARNED_MAX])
{
    struct slice      text;
    struct sf_members members;
    unsigned          count = 0;

    if (http_fields_find(&r->fields, HTTP_RATELIMIT, 0) < 0)
        return 0;
    text = http_fields_join(&r->fields, SLICE("RateLimit"), a);
    if (sf_parse_dictionary(text, a, &members))
        count = read_dictionary(&members, out);
    if (count == 0 && sf_parse_list(text, a, &members))
        count = read_list(&members, out);
    return count;
}

/* The tightest first. */
static void sort_hints(struct learned_hint *h, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        struct learned_hint moved = h[i];
        unsigned            at = i;

        for (; at > 0 && h[at - 1].remaining > moved.remaining; at--)
            h[at] = h[at - 1];
        h[at] = moved;
    }
}

unsigned learned_read(const struct http_response *r, int64_t now_wall_ns, struct arena *a,
                      struct learned_hint out[LEARNED_MAX])
{
    struct sf_members   policies = { NULL, 0 };
    struct learned_hint single;
    struct slice        text;
    unsigned            count;
    bool                have_single;

    if (r->status == 401)
        return 0;
    have_single = read_families(r, now_wall_ns, &single);
    count = read_structured(r, a, out);
    if (count == 0 && have_single) {
        out[0] = single;
        count = 1;
    } else if (count == 1 && out[0].resource.len == 0) {
        out[0].resource = single.resource;
    }
    if (count == 0)
        return 0;
    text = http_fields_join(&r->fields, SLICE("RateLimit-Policy"), a);
    if (text.ptr == NULL || !sf_parse_list(text, a, &policies))
        policies.count = 0;
    for (unsigned i = 0; i < count; i++) {
        add_policy(&policies, &out[i]);
        if (out[i].reset_in_ns < 0 && out[i].remaining >= 0)  /* not told: at the latest then */
            out[i].reset_in_ns = out[i].window_ns;
    }
    sort_hints(out, count);
    return count;
}

int64_t learned_block_ns(const struct http_response *r, int64_t now_wall_ns)
{
    struct slice value = http_fields_get(&r->fields, HTTP_RETRY_AFTER);

    if (r->status != 429 && r->status != 503 && r->status != 403)
        return -1;
    return retry_after_ns(value, slice_to_int64(slice_trim(value), &(int64_t){ 0 }) ? now_wall_ns
                                                                                    : api_now_ns(r, now_wall_ns));
}

bool learned_body_may_tell(const struct http_response *r)
{
    struct learned_hint single;

    if ((r->status != 403 && r->status != 429) || http_fields_find(&r->fields, HTTP_RETRY_AFTER, 0) >= 0)
        return false;
    return !read_families(r, 0, &single) || single.remaining != 0;
}

/* As GitHub's manual has it: "wait for at least one minute before retrying". */
int64_t learned_body_block_ns(struct slice body)
{
    static const struct slice words[] = { SLICE("secondary rate limit"), SLICE("abuse detection mechanism") };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (size_t at = 0; at + words[i].len <= body.len; at++)
            if (slice_eq_nocase(slice_sub(body, at, at + words[i].len), words[i]))
                return 60 * NS_PER_SEC;
    return -1;
}
