/*
 * From bytes to items.  A document is looked at whole before anything is asked; lines begin each at its end.
 */
#include "jobs/internal.h"

#include "http/media.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { CHECKED_AT_ONCE = 64, MEMBERS_MOST = 32 /* of an envelope */, NAME_MOST = 32 };

struct known_id {
    struct table_node node;
    uint64_t          second; /* with the node's hash 128 bits of it */
};

static struct slice say(struct batch *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static struct slice say(struct batch *b, const char *format, ...)
{
    char    text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return arena_copy(b->arena, slice_of(text));
}

/* -- the shape -- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void input_begin(struct batch *b, struct slice type)
{
    struct input *in = &b->in;

    in->body = service_spool(b->outer);
    in->is_lines = http_media_is_same_type(type, SLICE("application/x-ndjson")) ||
                   http_media_is_same_type(type, SLICE("application/ndjson")) ||
                   http_media_is_same_type(type, SLICE("application/jsonl"));
    scan_begin(&in->scan, in->body, 0);
}

static enum batch_shape shape_of(const struct input *in, char first)
{
    if (first == '[')
        return SHAPE_LIST;
    return first == '{' && !in->is_lines ? SHAPE_KEYS : SHAPE_LINES;
}

static void refuse_size(struct batch *b)
{
    batch_refuse(b, PROBLEM_BATCH_TOO_LARGE,
                 say(b, "%s may have batch.max_body, %lld bytes. Lines (NDJSON) need no end.",
                     b->in.shape == SHAPE_LINES ? "A line" : "A document", (long long)batch_bounds(b)->max_body_bytes));
}

static void refuse_json(struct batch *b, int64_t at)
{
    batch_refuse(b, PROBLEM_BATCH_NOT_JSON,
                 say(b,
                     "It stops being JSON at byte %lld. A list, an object or an envelope with \"requests\" is wanted, "
                     "or "
                     "lines with a URL or an item each.",
                     (long long)at));
}

/* One object is a dictionary, unless a second value follows: then they were lines from the first one on. */
static void check_document(struct batch *b, const char *bytes, size_t count)
{
    struct input *in = &b->in;
    int64_t       before = spool_length(in->body) - (int64_t)count;

    for (size_t i = 0; i < count && in->shape != SHAPE_LINES && !b->refused; i++) {
        bool whole = json_check_end(&in->json);

        if (json_check_feed(&in->json, bytes + i, 1))
            continue;
        if (whole && in->shape == SHAPE_KEYS && (bytes[i] == '{' || bytes[i] == '"'))
            in->shape = SHAPE_LINES;
        else
            refuse_json(b, before + (int64_t)i);
    }
    if (in->shape != SHAPE_LINES && !b->refused && spool_length(in->body) > batch_bounds(b)->max_body_bytes)
        refuse_size(b);
}

/* Of lines that are not read yet it is known how many there are. */
static void count_lines(struct input *in, const char *bytes, size_t count)
{
    for (size_t at = 0, end; at < count; at = end + 1) {
        const char *line_end = memchr(bytes + at, '\n', count - at);

        end = line_end != NULL ? (size_t)(line_end - bytes) : count;
        while (at < end && !in->in_line)
            in->in_line = !is_space(bytes[at++]);
        if (line_end != NULL) {
            in->lines += in->in_line;
            in->in_line = false;
        }
    }
}

size_t input_add(struct batch *b, const char *bytes, size_t count)
{
    struct input *in = &b->in;
    struct fault  why;

    if (b->refused)
        return count;
    if (spool_write(in->body, bytes, count, &why) != 0) {
        batch_refuse(b, PROBLEM_NO_RESOURCES, say(b, "The batch could not be kept: %s.", why.text));
        return count;
    }
    count_lines(in, bytes, count);
    for (size_t i = 0; i < count && in->shape == SHAPE_UNKNOWN; i++)
        if (!is_space(bytes[i]))
            in->shape = shape_of(in, bytes[i]);
    if (in->shape == SHAPE_LIST || in->shape == SHAPE_KEYS)
        check_document(b, bytes, count);
    return count;
}

/* -- the envelope -- */

static json_t *load(struct slice text)
{
    return json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

static struct slice name_of(struct batch *b, struct span key)
{
    json_t      *v = load(scan_text(&b->in.scan, key, b->arena));
    struct slice name = arena_copy(b->arena, (struct slice){ json_string_value(v), json_string_length(v) });

    json_decref(v);
    return name;
}

/* Is `requests` an array or an object, and every other member the name of an option? */
static bool is_envelope(struct batch *b, struct span *requests)
{
    struct json_scan s;
    struct span      key, value;
    bool             has_requests = false, is_list = false;
    struct slice     unknown = SLICE_NONE;

    scan_begin(&s, b->in.body, 0);
    scan_enter(&s);
    for (unsigned n = 0; scan_next(&s, &key, &value); n++) {
        struct slice name = SLICE("a longer name");
        char         first = '\0';

        if (n == MEMBERS_MOST)
            return false;
        if (key.to - key.from <= NAME_MOST)
            name = name_of(b, key);
        spool_peek(b->in.body, value.from, &first, 1);
        if (slice_eq(name, SLICE("requests")) && (first == '[' || first == '{') && !has_requests) {
            has_requests = true;
            is_list = first == '[';
            *requests = value;
        } else if (!wanted_knows(name) && unknown.ptr == NULL) {
            unknown = name;
        }
    }
    if (is_list && slice_eq(unknown, SLICE("requests")))
        batch_refuse(b, PROBLEM_BATCH_OPTION, SLICE("requests: it stands there twice."));
    else if (is_list && unknown.ptr != NULL) /* a list is no item, so it was meant as an envelope */
        batch_refuse(b, PROBLEM_BATCH_OPTION,
                     say(b, "\"" SLICE_FMT "\" is no option: " WANTED_NAMES ".", SLICE_ARG(unknown)));
    return has_requests && unknown.ptr == NULL;
}

static void read_options(struct batch *b)
{
    struct json_scan s;
    struct span      key, value;

    scan_begin(&s, b->in.body, 0);
    scan_enter(&s);
    while (scan_next(&s, &key, &value) && !b->refused) {
        struct slice name = name_of(b, key);
        json_t      *v;
        const char  *wrong;

        if (slice_eq(name, SLICE("requests")))
            continue;
        v = load(scan_text(&s, value, b->arena));
        wrong = v != NULL ? wanted_set(&b->wanted, batch_bounds(b), name, v, b->arena) : "an option cannot be read";
        json_decref(v);
        if (wrong != NULL)
            batch_refuse(b, PROBLEM_BATCH_OPTION, say(b, "%s.", wrong));
    }
}

static void begin_document(struct batch *b)
{
    struct input *in = &b->in;
    struct span   requests;

    scan_begin(&in->scan, in->body, 0);
    if (in->shape == SHAPE_KEYS && is_envelope(b, &requests)) {
        char first = '[';

        b->wanted.said = 0; /* what stands here counts more than the query */
        read_options(b);
        batch_check_wanted(b);
        spool_peek(in->body, requests.from, &first, 1);
        in->shape = first == '[' ? SHAPE_LIST : SHAPE_KEYS;
        scan_begin(&in->scan, in->body, requests.from);
    }
    scan_peek(&in->scan);
    in->items_at = in->scan.at;
    scan_enter(&in->scan);
}

void input_end(struct batch *b)
{
    struct input *in = &b->in;

    in->ended = true;
    spool_finish(in->body, SPOOL_WHOLE);
    if (b->refused)
        return;
    if (in->shape == SHAPE_UNKNOWN)
        batch_refuse(b, PROBLEM_BATCH_NOT_JSON,
                     SLICE("There is nothing in it. A list of URLs or items, an object of them, or lines are wanted."));
    else if (in->shape == SHAPE_LINES) {
        in->checked = true;
        in->count = in->lines + in->in_line;
    } else if (!json_check_end(&in->json))
        refuse_json(b, spool_length(in->body));
    else
        begin_document(b);
}

/* -- ids -- */

/* False: it was there. */
static bool note_id(struct input *in, struct slice id)
{
    XXH128_hash_t    h = XXH3_128bits(id.ptr, id.len);
    struct known_id *k;

    TABLE_EACH(n, &in->ids, h.low64)
    if (CONTAINER_OF(n, struct known_id, node)->second == h.high64)
        return false;
    k = mem_alloc(sizeof *k);
    k->second = h.high64;
    table_add(&in->ids, &k->node, h.low64);
    return true;
}

static void forget_ids(struct input *in)
{
    struct table_walk  walk = { 0 };
    struct table_node *n;

    while ((n = table_next(&in->ids, &walk)) != NULL) {
        table_remove(&in->ids, n);
        free(CONTAINER_OF(n, struct known_id, node));
    }
    table_free(&in->ids);
}

/* Of all items once: while a document is looked at, or as lines come. */
static const char *name_item(struct batch *b, struct item *i, bool first_time)
{
    i->id = i->asked.id.ptr != NULL ? i->asked.id
            : i->key.ptr != NULL    ? i->key
                                    : arena_printf(&i->arena, "%llu", (unsigned long long)i->index);
    return first_time && !note_id(&b->in, i->id) ? "id: another item has it" : NULL;
}

/* -- documents -- */

static bool read_member(struct batch *b, struct item *i, const char **wrong)
{
    struct input           *in = &b->in;
    const struct item_asked asked = batch_asked(b);
    struct span             key, value;
    struct slice            text;

    if (!scan_next(&in->scan, in->shape == SHAPE_KEYS ? &key : NULL, &value))
        return false;
    i->index = in->next++;
    i->key = in->shape == SHAPE_KEYS ? scan_text(&in->scan, key, &i->arena) : SLICE_NONE;
    text = scan_text(&in->scan, value, &i->arena);
    *wrong = text.ptr != NULL ? item_read(text, &asked, &i->asked, &i->arena) : "it cannot be read again from the disk";
    return true;
}

static void refuse_item(struct batch *b, const struct item *i, const char *wrong)
{
    if (i->key.ptr != NULL)
        batch_refuse(b, PROBLEM_BATCH_ITEM,
                     say(b, "Item " SLICE_FMT ": %s. Nothing was sent.", SLICE_ARG(slice_sub(i->key, 0, 80)), wrong));
    else
        batch_refuse(b, PROBLEM_BATCH_ITEM,
                     say(b, "Item %llu: %s. Nothing was sent.", (unsigned long long)i->index, wrong));
}

static bool check_one(struct batch *b)
{
    struct item *i = item_new(b);
    const char  *wrong = NULL;
    bool         more = read_member(b, i, &wrong);

    if (more && wrong == NULL)
        wrong = name_item(b, i, true);
    if (more && wrong == NULL)
        prospect_count(b, i);
    if (more && wrong != NULL)
        refuse_item(b, i, wrong);
    else if (more && b->in.next > batch_bounds(b)->max_requests)
        batch_refuse(b, PROBLEM_BATCH_TOO_LARGE,
                     say(b, "A document may have batch.max_requests, %u items. Lines (NDJSON) need no end.",
                         batch_bounds(b)->max_requests));
    else if (more && later_is_wanted(b))
        later_note(b, i);
    item_free(i);
    return more && !b->refused;
}

bool input_check(struct batch *b)
{
    struct input *in = &b->in;

    for (unsigned n = 0; n < CHECKED_AT_ONCE; n++)
        if (!check_one(b)) {
            in->checked = true;
            in->count = in->next;
            in->next = 0;
            forget_ids(in);
            scan_begin(&in->scan, in->body, in->items_at);
            scan_enter(&in->scan);
            return true;
        }
    return false;
}

/* -- lines -- */

/* The next one that holds anything; false: it has not ended yet. */
static bool next_line(struct batch *b, struct span *line)
{
    struct input     *in = &b->in;
    struct json_scan *s = &in->scan;

    if (in->looked <= s->at && scan_peek(s) == '\0')
        return false;
    line->from = s->at;
    if (in->looked > s->at)
        s->at = in->looked;
    if (scan_to_line_end(s)) {
        line->to = s->at++;
        return true;
    }
    line->to = in->looked = s->at;
    if (in->ended || line->to - line->from > batch_bounds(b)->max_body_bytes)
        return true;
    s->at = line->from;
    return false;
}

static const char *read_line(struct batch *b, struct item *i, struct span line)
{
    const struct item_asked asked = batch_asked(b);
    struct json_check       json = { 0 };
    struct slice            text;

    if (line.to - line.from > batch_bounds(b)->max_body_bytes)
        return "it is longer than batch.max_body";
    text = scan_text(&b->in.scan, line, &i->arena);
    if (text.ptr == NULL)
        return "it cannot be read again from the disk";
    while (text.len > 0 && is_space(text.ptr[text.len - 1]))
        text.len--;
    if (text.ptr[0] != '{' && text.ptr[0] != '"')
        return item_read_url(text, &asked, &i->asked, &i->arena);
    if (!json_check_feed(&json, text.ptr, text.len) || !json_check_end(&json))
        return "it is no JSON object, string or URL";
    return item_read(text, &asked, &i->asked, &i->arena);
}

static bool next_of_lines(struct batch *b, struct item *i, const char **wrong)
{
    struct input *in = &b->in;
    struct span   line;

    if (!next_line(b, &line)) {
        in->all_read = in->ended;
        return false;
    }
    i->index = in->next++;
    *wrong = read_line(b, i, line);
    if (*wrong != NULL)
        i->asked.id = SLICE_NONE;
    if (*wrong == NULL)
        *wrong = name_item(b, i, true);
    else
        name_item(b, i, false);
    if (*wrong != NULL && i->index == 0 && !b->out.answered) {
        refuse_item(b, i, *wrong);
        return false;
    }
    return true;
}

bool input_next(struct batch *b, struct item *i, const char **wrong)
{
    struct input *in = &b->in;

    *wrong = NULL;
    if (in->shape == SHAPE_LINES)
        return next_of_lines(b, i, wrong);
    if (!in->checked || in->all_read)
        return false;
    if (!read_member(b, i, wrong)) {
        in->all_read = true;
        return false;
    }
    name_item(b, i, false);
    return true;
}

void input_close(struct batch *b)
{
    forget_ids(&b->in);
    spool_release(b->in.body);
}
