/*
 * Reading the rate-limit fields.
 *
 * Fields of one family, unit and window make a statement; a list in them, or several
 * lines, makes several.  Nothing is preferred: each is a statement of its own, and whoever
 * holds them lets the tightest hold.  Times are measured against the API's own Date.
 */
#include "budget/learned.h"

#include "base/arena.h"
#include "base/clock.h"
#include "http/limit_name.h"
#include "http/list.h"
#include "http/structured.h"
#include "http/when.h"

enum {
    STATEMENTS_MOST = 16,
    VALUE_MOST = 4096, /* bytes of a field, lines joined: no API that means it says more */
    DAY_S = 86400,
    QUARTER_S = 900
};

static const struct learned_hint nothing = { .allowed = -1, .remaining = -1, .window_ns = -1, .reset_in_ns = -1 };

/* -- numbers and times -- */

/* "100", "598.0", "100;w=60", "\"100\"": a whole number, rounded down; -1 where there is none. */
static int64_t read_count(struct slice value)
{
    double number = 0;
    size_t at = 0;

    value = slice_trim(slice_sub(value, 0, slice_find(value, ';', 0)));
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        value = slice_sub(value, 1, value.len - 1);
    for (; at < value.len && value.ptr[at] >= '0' && value.ptr[at] <= '9'; at++)
        number = number * 10 + (value.ptr[at] - '0');
    if (at == 0 || number > 1e15)
        return -1;
    if (at < value.len && value.ptr[at] == '.')
        for (at++; at < value.len && value.ptr[at] >= '0' && value.ptr[at] <= '9';)
            at++;
    return at == value.len ? (int64_t)number : -1;
}

int64_t learned_date_ns(const struct http_response *r, int64_t now_wall_ns)
{
    int64_t date_ns;

    if (learned_is_old(r) ||
        !http_when_date(http_fields_get(&r->fields, HTTP_DATE), now_wall_ns / NS_PER_SEC, &date_ns))
        return -1;
    return date_ns;
}

/* What the API's moments are measured against: never our clock where it tells its own. */
static int64_t api_now_ns(const struct http_response *r, int64_t now_wall_ns)
{
    int64_t date_ns = learned_date_ns(r, now_wall_ns);

    return date_ns >= 0 ? date_ns : now_wall_ns;
}

/* -- Retry-After -- */

bool learned_is_refusal(unsigned status)
{
    return status == 429 || status == 403 || status == 418 || status == 420 || status == 430;
}

bool learned_is_illness(unsigned status)
{
    return status >= 500 && status <= 599;
}

struct learned_wait learned_wait(const struct http_response *r, int64_t now_wall_ns)
{
    struct learned_wait longest = { -1, false };
    int64_t             api_ns = -1; /* not looked for yet */

    for (unsigned i = 0; i < r->fields.count; i++) {
        const struct http_field *f = &r->fields.items[i];
        struct limit_name        name;
        struct http_when         w;

        if (!http_may_tell_a_limit(f->name) || !limit_name_read(f->name, &name) || name.part != LIMIT_PART_WAIT ||
            name.unit.len > 0)
            continue;
        if (api_ns < 0 && learned_is_old(r))
            return (struct learned_wait){ -1, false };
        if (api_ns < 0)
            api_ns = api_now_ns(r, now_wall_ns);
        w = http_when_read_list(f->value, name.in_ms ? NS_PER_MS : NS_PER_SEC, api_ns);
        longest.odd = longest.odd || w.odd;
        if (w.told && w.in_ns > longest.wait_ns)
            longest.wait_ns = w.in_ns;
    }
    return longest;
}

/* -- the families of single fields -- */

struct statement {
    struct limit_name name;               /* but for the part */
    struct slice      value[LIMIT_PARTS]; /* lines joined */
    bool              reset_in_ms, window_in_ms;
};

struct reading {
    struct arena            *arena;
    const struct limit_owns *owns;
    int64_t                  api_ns;
    unsigned                 status;
    struct statement         items[STATEMENTS_MOST];
    unsigned                 count;
    struct slice             resource;
    struct learned_hint     *out;
    unsigned                 hints;
};

static struct statement *statement_of(struct reading *r, const struct limit_name *n)
{
    struct statement *s;

    for (unsigned i = 0; i < r->count; i++) {
        s = &r->items[i];
        if (s->name.family == n->family && s->name.window_s == n->window_s && slice_eq_nocase(s->name.unit, n->unit))
            return s;
    }
    if (r->count == STATEMENTS_MOST)
        return NULL;
    s = &r->items[r->count++];
    *s = (struct statement){ .name = *n };
    return s;
}

static void sort_field(struct reading *r, const struct http_field *f)
{
    struct limit_name n;
    struct statement *s;

    if (!limit_field_read(r->owns, f->name, &n) || n.part == LIMIT_PART_OTHER || n.part == LIMIT_PART_STRUCTURED ||
        n.part == LIMIT_PART_POLICY || n.part == LIMIT_PART_WAIT)
        return;
    s = f->value.len <= VALUE_MOST ? statement_of(r, &n) : NULL;
    if (s == NULL)
        return;
    if (n.part == LIMIT_PART_RESET || n.part == LIMIT_PART_RESET_AFTER)
        s->reset_in_ms = n.in_ms;
    if (n.part == LIMIT_PART_WINDOW)
        s->window_in_ms = n.in_ms;
    if (s->value[n.part].ptr == NULL)
        s->value[n.part] = f->value.ptr != NULL ? f->value : SLICE("");
    else if (s->value[n.part].len + f->value.len <= VALUE_MOST)
        s->value[n.part] = ARENA_JOIN(r->arena, s->value[n.part], SLICE(", "), f->value);
}

/* The nth member of a list; ptr NULL where there are fewer. */
static struct slice member_at(struct slice text, unsigned at)
{
    struct http_list list = http_list_of_value(text);
    struct slice     member;

    while (http_list_next(&list, &member))
        if (at-- == 0)
            return member;
    return SLICE_NONE;
}

/* No more than are heard: each of them is looked for from the list's beginning. */
static unsigned members_of(struct slice text)
{
    struct http_list list = http_list_of_value(text);
    struct slice     member;
    unsigned         n = 0;

    while (n < LEARNED_MAX && http_list_next(&list, &member))
        n++;
    return n;
}

/* "100, 100;w=60, 5000;w=3600": the window of the member whose number is `allowed` (the draft's first form). */
static int64_t window_in_list(struct slice text, int64_t allowed)
{
    struct http_list list = http_list_of_value(text);
    struct slice     member;
    int64_t          seconds;

    while (http_list_next(&list, &member)) {
        size_t at = slice_find(member, ';', 0);

        if (at < member.len && read_count(member) == allowed &&
            slice_starts_with(slice_trim(slice_sub(member, at + 1, member.len)), SLICE("w="))) {
            seconds = read_count(slice_sub(member, slice_find(member, '=', 0) + 1, member.len));
            if (seconds > 0 && seconds < INT64_MAX / NS_PER_SEC)
                return seconds * NS_PER_SEC;
        }
    }
    return -1;
}

/* Windows that begin by the clock end by the clock; any other is over after its length at the latest. */
static int64_t until_window_ends(int64_t window_ns, int64_t api_ns)
{
    if (window_ns <= DAY_S * NS_PER_SEC && (DAY_S * NS_PER_SEC) % window_ns == 0)
        return window_ns - api_ns % window_ns;
    return window_ns;
}

/* Strava tells of a quarter of an hour and of a day, in this order and in no other words. */
static int64_t strava_window_ns(const struct statement *s, unsigned at, unsigned count)
{
    if (count != 2 || s->value[LIMIT_PART_REMAINING].ptr != NULL || s->value[LIMIT_PART_USED].ptr == NULL)
        return -1;
    return (at == 0 ? QUARTER_S : DAY_S) * NS_PER_SEC;
}

static int64_t window_of(const struct statement *s, unsigned at, unsigned count, int64_t allowed)
{
    struct http_when told = http_when_read(s->value[LIMIT_PART_WINDOW], s->window_in_ms ? NS_PER_MS : NS_PER_SEC, 0);
    int64_t          in_list;

    if (s->name.window_s > 0)
        return s->name.window_s * NS_PER_SEC;
    if (told.told && !told.odd && told.in_ns > 0)
        return told.in_ns; /* "60", "1s" */
    in_list = window_in_list(s->value[LIMIT_PART_LIMIT], allowed);
    return in_list > 0 ? in_list : strava_window_ns(s, at, count);
}

static void read_reset(const struct reading *r, const struct statement *s, unsigned at, unsigned count,
                       struct learned_hint *h)
{
    struct slice text =
        s->value[s->value[LIMIT_PART_RESET_AFTER].ptr != NULL ? LIMIT_PART_RESET_AFTER : LIMIT_PART_RESET];
    int64_t          unit_ns = s->reset_in_ms ? NS_PER_MS : NS_PER_SEC;
    struct http_when w;

    if (count > 1 && members_of(text) == count)
        text = member_at(text, at);
    w = http_when_read_list(text, unit_ns, r->api_ns);
    h->odd = w.odd;
    if (w.told)
        h->reset_in_ns = w.in_ns;
    else if (s->name.family == LIMIT_FAMILY_SHOPIFY) {
        h->reset_in_ns = NS_PER_SEC; /* it leaks: a second on there is room again */
        h->assumed = true;
    } else if (h->window_ns > 0) {
        h->reset_in_ns = until_window_ends(h->window_ns, r->api_ns);
        h->assumed = true;
    }
}

/* "32/40" */
static void read_ratio(struct slice text, struct learned_hint *h)
{
    size_t  at = slice_find(text, '/', 0);
    int64_t used = read_count(slice_sub(text, 0, at)), all = read_count(slice_sub(text, at + 1, text.len));

    if (used < 0 || all <= 0)
        return;
    h->allowed = all;
    h->remaining = used < all ? all - used : 0;
}

static void read_counts(const struct statement *s, unsigned at, unsigned count, struct learned_hint *h)
{
    struct slice limits = s->value[LIMIT_PART_LIMIT];
    int64_t      used;

    h->allowed = read_count(member_at(limits, count > 1 && members_of(limits) == count ? at : 0));
    h->remaining = read_count(member_at(s->value[LIMIT_PART_REMAINING], at));
    used = read_count(member_at(s->value[LIMIT_PART_USED], at));
    if (h->remaining < 0 && s->value[LIMIT_PART_REMAINING].ptr == NULL && used >= 0 && h->allowed >= 0)
        h->remaining = used < h->allowed ? h->allowed - used : 0;
    if (s->value[LIMIT_PART_RATIO].ptr != NULL)
        read_ratio(s->value[LIMIT_PART_RATIO], h);
}

static enum told_by told_by_family(enum limit_family f)
{
    static const enum told_by told[LIMIT_FAMILIES] = {
        [LIMIT_FAMILY_RATELIMIT] = TOLD_BY_RATELIMIT_FIELDS,
        [LIMIT_FAMILY_X_RATELIMIT] = TOLD_BY_X_RATELIMIT,
        [LIMIT_FAMILY_X_RATE_LIMIT] = TOLD_BY_X_RATE_LIMIT,
        [LIMIT_FAMILY_READ] = TOLD_BY_READ,
        [LIMIT_FAMILY_ANTHROPIC] = TOLD_BY_ANTHROPIC,
        [LIMIT_FAMILY_HUBSPOT] = TOLD_BY_HUBSPOT,
        [LIMIT_FAMILY_AZURE] = TOLD_BY_AZURE,
        [LIMIT_FAMILY_SHOPIFY] = TOLD_BY_SHOPIFY,
        [LIMIT_FAMILY_X] = TOLD_BY_X,
        [LIMIT_FAMILY_RETRY_AFTER] = TOLD_BY_RETRY_AFTER,
        [LIMIT_FAMILY_OWN] = TOLD_BY_OWN,
    };

    return told[f];
}

static void add_hint(struct reading *r, const struct learned_hint *h)
{
    if (r->hints < LEARNED_MAX)
        r->out[r->hints++] = *h;
}

static void read_statement(struct reading *r, const struct statement *s)
{
    unsigned count = members_of(s->value[LIMIT_PART_REMAINING]);

    if (count == 0)
        count = members_of(s->value[LIMIT_PART_USED]);
    for (unsigned i = 0; i < (count > 0 ? count : 1); i++) {
        struct learned_hint h = nothing;

        read_counts(s, i, count, &h);
        h.by = told_by_family(s->name.family);
        h.unit = s->name.unit;
        h.window_ns = window_of(s, i, count, h.allowed);
        read_reset(r, s, i, count, &h);
        /* Refused, and a reset is all that it says: until then. */
        if (s->value[LIMIT_PART_REMAINING].ptr == NULL && h.remaining < 0 &&
            (h.unit.len == 0 || s->name.family == LIMIT_FAMILY_OWN) && !h.assumed && h.reset_in_ns > 0 &&
            learned_is_refusal(r->status))
            h.remaining = 0;
        if (h.remaining >= 0)
            add_hint(r, &h);
    }
}

/* Discord's: a limit over everything is of no bucket. */
static bool is_global(const struct statement *s)
{
    return slice_eq_nocase(slice_trim(s->value[LIMIT_PART_GLOBAL]), SLICE("true")) ||
           slice_eq_nocase(slice_trim(s->value[LIMIT_PART_SCOPE]), SLICE("global"));
}

static void read_families(struct reading *r, const struct http_response *response)
{
    bool global = false;

    for (unsigned i = 0; i < response->fields.count; i++)
        sort_field(r, &response->fields.items[i]);
    for (unsigned i = 0; i < r->count; i++) {
        const struct statement *s = &r->items[i];

        global = global || is_global(s);
        if (r->resource.len == 0 && s->name.unit.len == 0)
            r->resource = slice_trim(
                s->value[s->value[LIMIT_PART_RESOURCE].len > 0 ? LIMIT_PART_RESOURCE : LIMIT_PART_BUCKET]);
        read_statement(r, s);
    }
    if (global)
        r->resource = SLICE("");
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

static int64_t seconds_ns(int64_t seconds)
{
    if (seconds < 0)
        return -1;
    return seconds < INT64_MAX / NS_PER_SEC ? seconds * NS_PER_SEC : INT64_MAX;
}

/* What a policy counts where it is not requests: bytes, tokens. */
static void read_unit(const struct sf_member *m, struct learned_hint *h)
{
    const struct sf_member *unit = parameter(m, "qu");

    if (unit != NULL && !slice_eq_nocase(unit->value.text, SLICE("requests")))
        h->unit = unit->value.text;
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
        if (h->window_ns < 0 && parameter_integer(m, "w") > 0)
            h->window_ns = seconds_ns(parameter_integer(m, "w"));
        read_unit(m, h);
        return;
    }
}

/* "default";r=50;t=30, "daily";r=900;t=4000 */
static void read_list(struct reading *r, const struct sf_members *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        const struct sf_member *m = &list->items[i];
        struct learned_hint     h = nothing;

        if (!is_name(m))
            continue;
        h.resource = m->value.text;
        h.by = TOLD_BY_RATELIMIT;
        h.remaining = parameter_integer(m, "r");
        h.allowed = parameter_integer(m, "l");
        h.reset_in_ns = seconds_ns(parameter_integer(m, "t"));
        read_unit(m, &h);
        if (h.remaining >= 0)
            add_hint(r, &h);
    }
}

/* limit=100, remaining=50, reset=30 */
static bool read_dictionary(struct reading *r, const struct sf_members *d)
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
            h.reset_in_ns = seconds_ns(m->value.integer);
    }
    if (h.remaining < 0)
        return false;
    h.by = TOLD_BY_RATELIMIT;
    add_hint(r, &h);
    return true;
}

static void read_structured(struct reading *r, const struct http_response *response)
{
    struct slice      text;
    struct sf_members members;

    if (http_fields_find(&response->fields, HTTP_RATELIMIT, 0) < 0)
        return;
    text = http_fields_join(&response->fields, SLICE("RateLimit"), r->arena);
    if (sf_parse_dictionary(text, r->arena, &members) && read_dictionary(r, &members))
        return;
    if (sf_parse_list(text, r->arena, &members))
        read_list(r, &members);
}

static void add_policies(struct reading *r, const struct http_response *response)
{
    struct sf_members policies;
    struct slice      text = http_fields_join(&response->fields, SLICE("RateLimit-Policy"), r->arena);

    if (text.ptr == NULL || !sf_parse_list(text, r->arena, &policies))
        return;
    for (unsigned i = 0; i < r->hints; i++) {
        struct learned_hint *h = &r->out[i];

        if (h->by == TOLD_BY_RATELIMIT || h->by == TOLD_BY_RATELIMIT_FIELDS)
            add_policy(&policies, h);
        if (h->reset_in_ns < 0 && h->window_ns > 0) { /* not told: at the latest then */
            h->reset_in_ns = h->window_ns;
            h->assumed = true;
        }
    }
}

/* Of requests before others, the tightest first. */
static bool goes_before(const struct learned_hint *a, const struct learned_hint *b)
{
    if ((a->unit.len > 0) != (b->unit.len > 0))
        return a->unit.len == 0;
    return a->remaining < b->remaining;
}

static void sort_hints(struct learned_hint *h, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        struct learned_hint moved = h[i];
        unsigned            at = i;

        for (; at > 0 && goes_before(&moved, &h[at - 1]); at--)
            h[at] = h[at - 1];
        h[at] = moved;
    }
}

/* A number that holds until nobody knows when, of nothing that has a name, holds nothing.  Of a limit that the
 * configuration names, that one's window is known. */
static void drop_empty(struct reading *r)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < r->hints; i++)
        if (r->out[i].reset_in_ns >= 0 || r->out[i].resource.len > 0 || r->out[i].allowed >= 0 || r->out[i].odd ||
            (r->out[i].by == TOLD_BY_OWN && r->out[i].unit.len > 0))
            r->out[kept++] = r->out[i];
    r->hints = kept;
}

/* Most answers say nothing, and cost next to nothing. */
static bool says_anything(const struct http_fields *f, const struct limit_owns *owns)
{
    struct limit_name n;

    for (unsigned i = 0; i < f->count; i++)
        if (limit_field_read(owns, f->items[i].name, &n))
            return true;
    return false;
}

static unsigned read_all(const struct http_response *response, const struct limit_owns *owns, int64_t now_wall_ns,
                         struct arena *a, struct learned_hint out[LEARNED_MAX])
{
    struct reading r = { .arena = a,
                         .owns = owns,
                         .status = response->status,
                         .out = out,
                         .api_ns = api_now_ns(response, now_wall_ns) };

    read_structured(&r, response);
    read_families(&r, response);
    for (unsigned i = 0; i < r.hints; i++)
        if (out[i].resource.len == 0 && out[i].unit.len == 0)
            out[i].resource = r.resource;
    add_policies(&r, response);
    drop_empty(&r);
    if (r.hints == 0 && r.resource.len > 0) {
        out[0] = nothing;
        out[0].resource = r.resource;
        r.hints = 1;
    }
    sort_hints(out, r.hints);
    return r.hints;
}

unsigned learned_read(const struct http_response *response, const struct limit_owns *owns, int64_t now_wall_ns,
                      struct arena *a, struct learned_hint out[LEARNED_MAX])
{
    if (response->status == 401 || !says_anything(&response->fields, owns) || learned_is_old(response))
        return 0;
    return read_all(response, owns, now_wall_ns, a, out);
}
