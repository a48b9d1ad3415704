/*
 * Looking for what answers a request: the lines of its key, and of those the ones that fit it best.
 *
 * The key is what line 1 says.  Requests that are equal by it may still want different things of one URL: a part of it,
 * or only to hear that nothing has changed.  A part goes to who asks for that part, a 304 to who brings that tag.
 */
#include "snapshot/internal.h"

#include <sodium.h>

#include <stdlib.h>

uint64_t find_key(const struct redaction *r, struct slice method, struct slice url, struct slice body)
{
    crypto_generichash_state state;
    unsigned char            out[crypto_generichash_BYTES_MIN];
    uint64_t                 key;
    struct slice             parts[3] = { redaction_matches(r, "method") ? method : SLICE(""),
                              redaction_matches(r, "url") ? url : SLICE(""),
                              redaction_matches(r, "body") ? body : SLICE("") };

    /* Bodies are equal by their bytes, whatever their type is called. */
    parts[2].len = parts[2].len > HASH_HEX ? HASH_HEX : parts[2].len;
    crypto_generichash_init(&state, NULL, 0, crypto_generichash_BYTES_MIN);
    for (int i = 0; i < 3; i++) {
        crypto_generichash_update(&state, (const unsigned char *)&parts[i].len, sizeof parts[i].len);
        crypto_generichash_update(&state, (const unsigned char *)parts[i].ptr, parts[i].len);
    }
    crypto_generichash_final(&state, out, sizeof out);
    memcpy(&key, out, sizeof key);
    return key;
}

void find_index(struct snapshot_reader *s)
{
    for (size_t i = 0; i < s->all.count; i++) {
        struct gathered_line *l = &s->all.lines[i];

        l->served = 0;
        l->read = NULL;
        table_add(&s->by_key, &l->node, find_key(&s->all.redaction, l->method, l->url, l->body));
    }
}

bool snapshot_matches_body(const struct snapshot_reader *s)
{
    return redaction_matches(&s->all.redaction, "body");
}

/* ---- which of those that are alike ---- */

static const enum http_name selecting[] = { HTTP_RANGE,         HTTP_IF_RANGE,
                                            HTTP_IF_NONE_MATCH, HTTP_IF_MODIFIED_SINCE,
                                            HTTP_IF_MATCH,      HTTP_IF_UNMODIFIED_SINCE };
static const enum http_name preferred[] = { HTTP_ACCEPT, HTTP_ACCEPT_LANGUAGE, HTTP_ACCEPT_ENCODING };

static bool is_same(const struct http_fields *a, const struct http_fields *b, enum http_name id)
{
    struct slice x = http_fields_get(a, id), y = http_fields_get(b, id);

    return (x.ptr == NULL) == (y.ptr == NULL) && slice_eq(x, y);
}

/* How well it fits; below 0: not at all. */
static int fit_of(const struct snapshot_reader *s, const struct http_fields *asked, const struct snapshot_exchange *x)
{
    int  fit = 16;
    bool plain = true, same = true;

    for (char *const *m = s->all.redaction.match; m != NULL && *m != NULL; m++) {
        struct slice name = slice_of(*m);
        struct arena a = { 0 };
        bool         equal = true;

        if (slice_starts_with(name, SLICE("header:"))) {
            name = slice_sub(name, 7, name.len);
            equal = slice_eq(http_fields_join(asked, name, &a), http_fields_join(&x->request, name, &a));
        }
        arena_free(&a);
        if (!equal)
            return -1;
    }
    for (size_t i = 0; i < sizeof selecting / sizeof *selecting; i++) {
        same = same && is_same(asked, &x->request, selecting[i]);
        plain = plain && http_fields_get(&x->request, selecting[i]).ptr == NULL;
    }
    if (!same && !plain)
        return -1;
    fit += same ? 8 : 0;
    for (size_t i = 0; i < sizeof preferred / sizeof *preferred; i++)
        fit += is_same(asked, &x->request, preferred[i]) ? 1 : 0;
    return fit;
}

/* A line of the key, and how well it fits. */
struct candidate_line {
    struct gathered_line    *line;
    struct snapshot_exchange x;
    int                      fit;
};

static int by_order(const void *one, const void *other)
{
    const struct candidate_line *a = one, *b = other;
    size_t                       least = a->line->time.len < b->line->time.len ? a->line->time.len : b->line->time.len;
    int                          order = memcmp(a->line->time.ptr, b->line->time.ptr, least);

    return order != 0 ? order : (a->line->order > b->line->order) - (a->line->order < b->line->order);
}

static bool is_alike(const struct snapshot_reader *s, const struct gathered_line *l, struct slice method,
                     struct slice url, struct slice body)
{
    const struct redaction *r = &s->all.redaction;

    return (!redaction_matches(r, "method") || slice_eq(l->method, method)) &&
           (!redaction_matches(r, "url") || slice_eq(l->url, url)) &&
           (!redaction_matches(r, "body") || slice_eq(slice_sub(l->body, 0, HASH_HEX), slice_sub(body, 0, HASH_HEX)));
}

static enum snapshot_found choose(struct snapshot_reader *s, struct candidate_line *c, size_t count, int best,
                                  struct snapshot_exchange *out)
{
    size_t fitting = 0, wanted;

    for (size_t i = 0; i < count; i++)
        if (c[i].fit == best)
            c[fitting++] = c[i];
    if (fitting == 0)
        return SNAPSHOT_MISSED;
    qsort(c, fitting, sizeof *c, by_order);
    wanted = fitting - 1;
    if (s->order == SNAPSHOT_SEQUENCE && c[0].line->served < wanted)
        wanted = c[0].line->served;
    c[0].line->served++;
    *out = c[wanted].x;
    return SNAPSHOT_FOUND;
}

/* A line is read as JSON when it is first wanted: a program mostly asks the same again. */
static bool read_once(struct snapshot_reader *s, struct gathered_line *l, struct fault *why)
{
    struct snapshot_exchange x;

    if (l->read != NULL)
        return true;
    if (line_read(l->text, &x, &s->all.arena, why) != 0)
        return false;
    l->read = arena_alloc(&s->all.arena, sizeof *l->read);
    *l->read = x;
    l->read->seq = l->seq;
    return true;
}

static enum snapshot_found find_alike(struct snapshot_reader *s, struct slice method, struct slice url,
                                      struct slice body, const struct http_fields *fields,
                                      struct snapshot_exchange *out, struct arena *a, struct fault *why)
{
    struct candidate_line *c = NULL;
    size_t                 count = 0, capacity = 0;
    int                    best = 0;

    TABLE_EACH(n, &s->by_key, find_key(&s->all.redaction, method, url, body))
    {
        struct gathered_line *l = CONTAINER_OF(n, struct gathered_line, node);

        if (!is_alike(s, l, method, url, body))
            continue;
        ARENA_ROOM(a, c, capacity, count);
        if (!read_once(s, l, why)) {
            struct fault inner = *why;

            fault_set(why, "the recorded exchange %.*s " SLICE_FMT ": %.700s", SLICE_ARG(method), SLICE_ARG(url),
                      inner.text);
            return SNAPSHOT_BROKEN;
        }
        c[count].x = *l->read;
        c[count].line = l;
        c[count].fit = fit_of(s, fields, &c[count].x);
        best = c[count].fit > best ? c[count].fit : best;
        count++;
    }
    return count > 0 ? choose(s, c, count, best, out) : SNAPSHOT_MISSED;
}

enum snapshot_found snapshot_find(struct snapshot_reader *s, const struct snapshot_request *q,
                                  struct snapshot_exchange *out, struct snapshot_nearest *nearest, struct arena *a,
                                  struct fault *why)
{
    struct secrets_known   *own = secrets_known_open();
    const struct redaction *r = &s->all.redaction;
    enum snapshot_found     found;
    struct slice            url, body, name;
    struct http_fields      fields;

    redact_learn(r, own, q->url, q->fields);
    url = redact_url(r, own, q->url, a);
    fields = redact_request(r, own, q->fields, a);
    body = redact_body(r, NULL, true, &fields, q->body, a).bytes;
    name = line_name_body(body, http_fields_get(&fields, HTTP_CONTENT_TYPE), a);
    found = find_alike(s, q->method, url, name, &fields, out, a, why);
    if (found == SNAPSHOT_MISSED && nearest != NULL)
        nearest_find(s, q->method, url, name, body, nearest, a);
    secrets_known_close(own);
    return found;
}
