/*
 * The terms of all limits' charges over one body.  What cannot be decoded, or becomes very large out of little, says
 * nothing from there on, and nothing is found.
 */
#include "upstream/metering.h"

#include "base/arena.h"
#include "budget/term.h"
#include "http/json_values.h"
#include "http/media.h"
#include "http/plain_body.h"

#include <stdlib.h>

struct metering {
    const struct upstream_options *options;
    const struct http_response    *head;
    struct plain_body              plain;
    struct json_values            *values;
};

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
    plain_body_open(&m->plain, &head->fields);
    m->values = json_values_open(pointers, count,
                                 http_media_is_event_stream(http_fields_get(&head->fields, HTTP_CONTENT_TYPE)));
    return m;
}

void metering_close(struct metering *m)
{
    if (m == NULL)
        return;
    plain_body_close(&m->plain);
    json_values_close(m->values);
    free(m);
}

static bool take(void *context, const char *bytes, size_t count)
{
    json_values_feed(context, bytes, count);
    return true;
}

void metering_feed(struct metering *m, const char *bytes, size_t count)
{
    if (m->values == NULL)
        m->plain.coded_bytes += count;
    else
        plain_body_feed(&m->plain, bytes, count, take, m->values);
}

static bool value_at(void *context, const char *pointer, double *out)
{
    const struct metering *m = context;

    return m->values != NULL && !m->plain.is_broken && json_values_at(m->values, pointer, out);
}

unsigned metering_end(struct metering *m, struct estimate out[LEDGER_MAX_LIMITS])
{
    const struct term_facts facts = { .body_bytes = (int64_t)m->plain.coded_bytes,
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
