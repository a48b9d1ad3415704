/*
 * The terms of all limits' charges over one body.  What cannot be decoded, or becomes very large out of little, says
 * nothing from there on, and nothing is found.
 */
#include "upstream/metering.h"

#include "base/arena.h"
#include "budget/term.h"
#include "http/inflate.h"
#include "http/json_values.h"
#include "http/media.h"

#include <stdlib.h>

enum {
    CHUNK_BYTES = 16 * 1024,      /* of what is inflated at a time */
    FREE_MOST = 32 * 1024 * 1024, /* inflated from however little */
    TIMES = 100                   /* beyond that: as much as what came */
};

struct metering {
    const struct upstream_options *options;
    const struct http_response    *head;
    struct inflater               *coding; /* NULL: none */
    struct json_values            *values;
    bool                           is_unreadable; /* its coding is broken, a bomb, or none that is known */
    uint64_t                       coded_bytes, plain_bytes;
};

static bool is_plain(const struct http_fields *f)
{
    struct slice coding = slice_trim(http_fields_get(f, HTTP_CONTENT_ENCODING));

    return http_fields_count(f, HTTP_CONTENT_ENCODING) <= 1 &&
           (coding.len == 0 || slice_eq_nocase(coding, SLICE("identity")));
}

static unsigned gather_pointers(const struct upstream_options *o, const char *out[JSON_VALUES_MOST])
{
    unsigned count = 0;

    for (unsigned i = 0; i < o->limit_count; i++)
        for (unsigned k = 0; k < o->limits[i].charge_count; k++) {
            const struct limit_term *t = &o->limits[i].charges[k];
            bool                     is_known = false;

            for (unsigned n = 0; n < count; n++)
                is_known = is_known || (t->kind == TERM_JSON && strcmp(out[n], t->name) == 0);
            if (t->kind == TERM_JSON && !is_known && count < JSON_VALUES_MOST)
                out[count++] = t->name;
        }
    return count;
}

struct metering *metering_open(const struct upstream_options *o, const struct http_response *head)
{
    const char      *pointers[JSON_VALUES_MOST];
    unsigned         count = gather_pointers(o, pointers);
    struct metering *m = mem_alloc(sizeof *m);

    m->options = o;
    m->head = head;
    if (count == 0)
        return m;
    if (!is_plain(&head->fields)) {
        m->coding = inflater_open(&head->fields);
        m->is_unreadable = m->coding == NULL;
    }
    m->values = json_values_open(pointers, count,
                                 http_media_is_event_stream(http_fields_get(&head->fields, HTTP_CONTENT_TYPE)));
    return m;
}

void metering_close(struct metering *m)
{
    if (m == NULL)
        return;
    inflater_close(m->coding);
    json_values_close(m->values);
    free(m);
}

static bool is_bomb(const struct metering *m)
{
    return m->plain_bytes > FREE_MOST && m->plain_bytes / TIMES > m->coded_bytes;
}

void metering_feed(struct metering *m, const char *bytes, size_t count)
{
    char   plain[CHUNK_BYTES];
    size_t got;
    bool   sound = true;

    m->coded_bytes += count;
    if (m->values == NULL || m->is_unreadable)
        return;
    if (m->coding == NULL) {
        json_values_feed(m->values, bytes, count);
        return;
    }
    inflater_feed(m->coding, bytes, count);
    while (!is_bomb(m) && (got = inflater_take(m->coding, plain, sizeof plain, &sound)) > 0) {
        m->plain_bytes += got;
        json_values_feed(m->values, plain, got);
    }
    m->is_unreadable = !sound || is_bomb(m);
}

static bool value_at(void *context, const char *pointer, double *out)
{
    const struct metering *m = context;

    return m->values != NULL && !m->is_unreadable && json_values_at(m->values, pointer, out);
}

unsigned metering_end(struct metering *m, struct estimate out[LEDGER_MAX_LIMITS])
{
    const struct term_facts facts = { .body_bytes = (int64_t)m->coded_bytes,
                                      .fields = &m->head->fields,
                                      .json = value_at,
                                      .context = m };
    unsigned                count = 0;

    if (m->values != NULL)
        json_values_end(m->values);
    for (unsigned i = 0; i < m->options->limit_count && count < LEDGER_MAX_LIMITS; i++) {
        const struct limit_options *o = &m->options->limits[i];

        if (!terms_amount(o->charges, o->charge_count, o->scale, &facts, &out[count].amount))
            continue;
        out[count++].limit = ledger_limit_name(o->name);
    }
    return count;
}
