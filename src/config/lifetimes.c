/*
 * How long answers are fresh, as settings state it: ttl, and status with one for each status.
 */
#include "config/checks.h"
#include "config/snapshot.h"

#include "http/duration.h"

struct read_ttl {
    struct policy_ttl ttl;
    char              zone[128]; /* "": none */
};

static const char wanted[] =
    "a duration such as \"1h\", \"until 04:00 Europe/Berlin\", \"origin\", \"origin else 1h\", "
    "\"never\", \"revalidate\" or \"forever\" is wanted";

/* "04:00 Europe/Berlin" */
static const char *read_until(struct slice text, struct read_ttl *out)
{
    const size_t end = slice_find(text, ' ', 0);
    struct slice name = slice_trim(slice_sub(text, end, text.len));
    struct zone *zone = NULL;

    if (!zone_time_of_day(slice_sub(text, 0, end), &out->ttl.minute) || name.len == 0 || name.len >= sizeof out->zone)
        return "after \"until\" a time and its zone are wanted, such as \"until 04:00 Europe/Berlin\"";
    memcpy(out->zone, name.ptr, name.len);
    out->zone[name.len] = '\0';
    zone = zone_open(out->zone);
    zone_close(zone);
    return zone != NULL ? NULL : "there is no such time zone; wanted are IANA's names, as Europe/Berlin or UTC";
}

/* NULL, or what is wrong. */
static const char *read_ttl(struct slice text, struct read_ttl *out)
{
    static const struct {
        const char   *word;
        enum ttl_kind kind;
    } words[] = {
        { "origin", TTL_ORIGIN },
        { "never", TTL_NEVER },
        { "revalidate", TTL_REVALIDATE },
        { "forever", TTL_FOREVER },
    };
    bool otherwise = slice_starts_with(text, SLICE("origin else "));

    *out = (struct read_ttl){ .ttl = { .kind = TTL_ORIGIN } };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_eq(text, slice_of(words[i].word))) {
            out->ttl.kind = words[i].kind;
            return NULL;
        }
    }
    if (otherwise)
        text = slice_trim(slice_sub(text, 12, text.len));
    if (slice_starts_with(text, SLICE("until "))) {
        out->ttl.kind = otherwise ? TTL_ORIGIN_ELSE_UNTIL : TTL_UNTIL;
        return read_until(slice_trim(slice_sub(text, 6, text.len)), out);
    }
    out->ttl.kind = otherwise ? TTL_ORIGIN_ELSE : TTL_FIXED;
    return http_duration_parse(text, &out->ttl.ns) ? NULL : wanted;
}

/* Which has been opened before. */
static const struct zone *zone_of(struct snapshot *snap, const char *name)
{
    struct owned_zone *own;

    SLIST_FOREACH (own, &snap->zones, next)
        if (strcmp(zone_name(own->zone), name) == 0)
            return own->zone;
    own = arena_alloc(&snap->arena, sizeof *own);
    own->zone = zone_open(name);
    if (own->zone == NULL) /* its file went since the text was checked: no reason to end */
        own->zone = zone_open("UTC");
    SLIST_INSERT_HEAD(&snap->zones, own, next);
    return own->zone;
}

static struct policy_ttl with_zone(struct snapshot *snap, const struct read_ttl *read)
{
    struct policy_ttl ttl = read->ttl;

    if (read->zone[0] != '\0')
        ttl.zone = zone_of(snap, read->zone);
    return ttl;
}

bool check_ttl(const char *text, struct fault *why)
{
    struct read_ttl got;
    const char     *wrong = read_ttl(slice_of(text), &got);

    if (wrong != NULL)
        fault_set(why, "\"%s\" is no ttl; %s", text, wrong);
    return wrong == NULL;
}

struct policy_ttl snapshot_ttl(struct snapshot *snap, const char *text)
{
    struct read_ttl got;

    read_ttl(slice_of(text), &got);
    return with_zone(snap, &got);
}

static const char *read_status_ttl(const char *text, struct policy_status_ttl *out, struct read_ttl *ttl)
{
    struct slice all = slice_of(text), status = slice_sub(all, 0, slice_find(all, ' ', 0));

    if (!checks_status_range(status, &out->first, &out->last) || status.len == all.len)
        return "a status and a ttl are wanted, such as \"404 1m\" or \"5xx never\"";
    return read_ttl(slice_trim(slice_sub(all, status.len, all.len)), ttl);
}

bool check_status_ttl(const char *text, struct fault *why)
{
    struct policy_status_ttl got;
    struct read_ttl          ttl;
    const char              *wrong = read_status_ttl(text, &got, &ttl);

    if (wrong != NULL)
        fault_set(why, "\"%s\" is no status rule; %s", text, wrong);
    return wrong == NULL;
}

struct policy_status_ttl snapshot_status_ttl(struct snapshot *snap, const char *text)
{
    struct policy_status_ttl got = { 0 };
    struct read_ttl          ttl;

    read_status_ttl(text, &got, &ttl);
    got.ttl = with_zone(snap, &ttl);
    return got;
}
