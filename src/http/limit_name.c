/*
 * The two tables.  A new family is a row of the first; a new word one of the second.  Words that
 * neither has name a unit of which nothing is known: tokens, points, reads.
 */
#include "http/limit_name.h"

static const struct {
    struct slice      begins;
    enum limit_family family;
    enum limit_part   alone; /* what the name without more is */
} families[] = {
    // clang-format off
    { SLICE("Retry-After"),                   LIMIT_FAMILY_RETRY_AFTER,  LIMIT_PART_WAIT },
    { SLICE("X-Retry-After"),                 LIMIT_FAMILY_RETRY_AFTER,  LIMIT_PART_WAIT },
    { SLICE("X-MS-Retry-After"),              LIMIT_FAMILY_RETRY_AFTER,  LIMIT_PART_WAIT },      /* Azure */
    { SLICE("RateLimit"),                     LIMIT_FAMILY_RATELIMIT,    LIMIT_PART_STRUCTURED },
    { SLICE("Rate-Limit"),                    LIMIT_FAMILY_RATELIMIT,    LIMIT_PART_LIMIT },
    { SLICE("X-RateLimit"),                   LIMIT_FAMILY_X_RATELIMIT,  LIMIT_PART_LIMIT },
    { SLICE("X-Rate-Limit"),                  LIMIT_FAMILY_X_RATE_LIMIT, LIMIT_PART_LIMIT },     /* Zendesk */
    { SLICE("X-ReadRateLimit"),               LIMIT_FAMILY_READ,         LIMIT_PART_LIMIT },     /* Strava */
    { SLICE("Anthropic-RateLimit"),           LIMIT_FAMILY_ANTHROPIC,    LIMIT_PART_OTHER },
    { SLICE("X-HubSpot-RateLimit"),           LIMIT_FAMILY_HUBSPOT,      LIMIT_PART_OTHER },
    { SLICE("X-MS-RateLimit"),                LIMIT_FAMILY_AZURE,        LIMIT_PART_OTHER },
    { SLICE("X-Shopify-Shop-Api-Call-Limit"), LIMIT_FAMILY_SHOPIFY,      LIMIT_PART_RATIO },
    { SLICE("X-App-Limit"),                   LIMIT_FAMILY_X,            LIMIT_PART_LIMIT },
    { SLICE("X-User-Limit"),                  LIMIT_FAMILY_X,            LIMIT_PART_LIMIT },
    // clang-format on
};

enum limit_name_kind { WORD_PART, WORD_REQUESTS, WORD_WINDOW, WORD_MS, WORD_AFTER, WORD_NOISE };
enum { MINUTE = 60, HOUR = 3600, DAY = 86400, MONTH = 30 * DAY, YEAR = 365 * DAY };

static const struct {
    struct slice         text;
    enum limit_name_kind kind;
    int64_t              is;
} words[] = {
    // clang-format off
    { SLICE("limit"), WORD_PART, LIMIT_PART_LIMIT },         { SLICE("max"), WORD_PART, LIMIT_PART_LIMIT },
    { SLICE("remaining"), WORD_PART, LIMIT_PART_REMAINING }, { SLICE("available"), WORD_PART, LIMIT_PART_REMAINING },
    { SLICE("left"), WORD_PART, LIMIT_PART_REMAINING },      { SLICE("used"), WORD_PART, LIMIT_PART_USED },
    { SLICE("usage"), WORD_PART, LIMIT_PART_USED },          { SLICE("observed"), WORD_PART, LIMIT_PART_USED },
    { SLICE("reset"), WORD_PART, LIMIT_PART_RESET },         { SLICE("resets"), WORD_PART, LIMIT_PART_RESET },
    { SLICE("resettime"), WORD_PART, LIMIT_PART_RESET },     { SLICE("policy"), WORD_PART, LIMIT_PART_POLICY },
    { SLICE("resource"), WORD_PART, LIMIT_PART_RESOURCE },   { SLICE("name"), WORD_PART, LIMIT_PART_RESOURCE },
    { SLICE("bucket"), WORD_PART, LIMIT_PART_BUCKET },       { SLICE("scope"), WORD_PART, LIMIT_PART_SCOPE },
    { SLICE("global"), WORD_PART, LIMIT_PART_GLOBAL },       { SLICE("interval"), WORD_PART, LIMIT_PART_WINDOW },
    { SLICE("window"), WORD_PART, LIMIT_PART_WINDOW },       { SLICE("retry"), WORD_PART, LIMIT_PART_WAIT },
    { SLICE("retryafter"), WORD_PART, LIMIT_PART_WAIT },     { SLICE("status"), WORD_PART, LIMIT_PART_OTHER },
    { SLICE("requests"), WORD_REQUESTS, 0 },                 { SLICE("request"), WORD_REQUESTS, 0 },
    { SLICE("reqs"), WORD_REQUESTS, 0 },                     { SLICE("req"), WORD_REQUESTS, 0 },
    { SLICE("calls"), WORD_REQUESTS, 0 },                    { SLICE("call"), WORD_REQUESTS, 0 },
    { SLICE("second"), WORD_WINDOW, 1 },                     { SLICE("secondly"), WORD_WINDOW, 1 },
    { SLICE("minute"), WORD_WINDOW, MINUTE },                { SLICE("minutely"), WORD_WINDOW, MINUTE },
    { SLICE("hour"), WORD_WINDOW, HOUR },                    { SLICE("hourly"), WORD_WINDOW, HOUR },
    { SLICE("day"), WORD_WINDOW, DAY },                      { SLICE("daily"), WORD_WINDOW, DAY },
    { SLICE("24hour"), WORD_WINDOW, DAY },                   { SLICE("month"), WORD_WINDOW, MONTH },
    { SLICE("monthly"), WORD_WINDOW, MONTH },                { SLICE("year"), WORD_WINDOW, YEAR },
    { SLICE("ms"), WORD_MS, 0 },                             { SLICE("milliseconds"), WORD_MS, 0 },
    { SLICE("after"), WORD_AFTER, 0 },                       { SLICE("in"), WORD_AFTER, 0 },
    { SLICE("time"), WORD_NOISE, 0 },                        { SLICE("at"), WORD_NOISE, 0 },
    { SLICE("timestamp"), WORD_NOISE, 0 },                   { SLICE("epoch"), WORD_NOISE, 0 },
    { SLICE("seconds"), WORD_NOISE, 0 },                     { SLICE("per"), WORD_NOISE, 0 },
    // clang-format on
};

static bool is_break(char c)
{
    return c == '-' || c == '_';
}

/* The longest family whose beginning ends at a word's end. */
static int find_family(struct slice name)
{
    int best = -1;

    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        size_t n = families[i].begins.len, at = (name.ptr[0] | 0x20) == 'x' ? 2 : 0;

        /* Nearly all are told apart by one letter, and X- from what is not. */
        if (name.len >= n && ((name.ptr[at] ^ families[i].begins.ptr[at]) & ~0x20) == 0 &&
            (name.len == n || is_break(name.ptr[n])) && slice_eq_nocase(slice_sub(name, 0, n), families[i].begins) &&
            (best < 0 || n > families[best].begins.len))
            best = (int)i;
    }
    return best;
}

static int find_word(struct slice word)
{
    if (word.len == 0)
        return -1;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (words[i].text.len == word.len && ((words[i].text.ptr[0] ^ word.ptr[0]) & ~0x20) == 0 &&
            slice_eq_nocase(words[i].text, word))
            return (int)i;
    return -1;
}

/* Unknown words are the unit, from the first to the last of them. */
static void add_unit(struct limit_name *n, struct slice word)
{
    if (n->unit.len == 0)
        n->unit = word;
    else
        n->unit.len = (size_t)(word.ptr + word.len - n->unit.ptr);
}

static void read_word(struct limit_name *n, struct slice word, bool *has_part)
{
    int found = find_word(word);

    if (found < 0) {
        add_unit(n, word);
        return;
    }
    switch (words[found].kind) {
    case WORD_PART:
        if (!*has_part)
            n->part = (enum limit_part)words[found].is;
        *has_part = true;
        break;
    case WORD_WINDOW:
        n->window_s = words[found].is;
        break;
    case WORD_MS:
        n->in_ms = true;
        break;
    case WORD_AFTER:
        if (n->part == LIMIT_PART_RESET)
            n->part = LIMIT_PART_RESET_AFTER;
        break;
    case WORD_REQUESTS:
    case WORD_NOISE:
        break;
    }
}

bool limit_name_read(struct slice name, struct limit_name *out)
{
    int          family = http_may_tell_a_limit(name) ? find_family(name) : -1;
    struct slice rest;
    bool         has_part = false;

    if (family < 0)
        return false;
    *out = (struct limit_name){ .family = families[family].family, .part = families[family].alone, .unit = SLICE("") };
    rest = slice_sub(name, families[family].begins.len, name.len);
    if (rest.len > 0 && out->part == LIMIT_PART_STRUCTURED)
        out->part = LIMIT_PART_LIMIT;
    while (rest.len > 0) {
        size_t end = 1;

        while (end < rest.len && !is_break(rest.ptr[end]))
            end++;
        read_word(out, slice_sub(rest, 1, end), &has_part);
        rest = slice_sub(rest, end, rest.len);
    }
    if (out->part == LIMIT_PART_OTHER && !has_part && out->window_s > 0)
        out->part = LIMIT_PART_LIMIT; /* X-HubSpot-RateLimit-Daily */
    return true;
}

/* "X-Tokens-Reset-Ms": milliseconds, as with the families. */
static bool ends_in_ms(struct slice name)
{
    size_t at = name.len;
    int    found;

    while (at > 0 && !is_break(name.ptr[at - 1]))
        at--;
    found = find_word(slice_sub(name, at, name.len));
    return found >= 0 && words[found].kind == WORD_MS;
}

bool limit_own_read(const struct limit_owns *owns, struct slice name, struct limit_name *out)
{
    for (unsigned i = 0; i < owns->count; i++) {
        const struct limit_own *o = &owns->items[i];
        bool                    remains = slice_eq_nocase(name, slice_of(o->remaining));

        if (!remains && (o->reset == NULL || !slice_eq_nocase(name, slice_of(o->reset))))
            continue;
        *out = (struct limit_name){ .family = LIMIT_FAMILY_OWN,
                                    .part = remains ? LIMIT_PART_REMAINING : LIMIT_PART_RESET,
                                    .unit = o->limit != NULL ? slice_of(o->limit) : SLICE(""),
                                    .in_ms = !remains && ends_in_ms(name) };
        return true;
    }
    return false;
}

bool limit_name_is_of_field(const struct limit_owns *owns, const struct http_field *field)
{
    struct limit_name name;

    return limit_field_read(owns, field->name, &name) && name.family != LIMIT_FAMILY_RETRY_AFTER;
}
