/*
 * The conditions of an upstream over one JSON body or stream of events, and the mark that ends such a stream.
 */
#include "upstream/verdict.h"

#include "base/arena.h"
#include "http/condition.h"
#include "http/event_mark.h"
#include "http/json_values.h"
#include "http/media.h"
#include "http/plain_body.h"

#include <stdlib.h>

struct body_verdict {
    struct plain_body   plain;
    struct json_values *values;         /* NULL: no conditions */
    unsigned            never, refused; /* how many conditions; those of `never` come first */
    bool                is_stream, has_mark, is_whole, is_complete;
    struct event_mark   mark;
    struct arena        arena; /* the pointers */
};

static unsigned add_conditions(struct body_verdict *v, const char *const *texts, const char **pointers,
                               struct slice *wanted, unsigned at)
{
    unsigned count = 0;

    for (; texts != NULL && texts[count] != NULL && at + count < JSON_VALUES_MOST; count++) {
        struct condition c;

        if (!condition_parse(slice_of(texts[count]), &c))
            break;
        pointers[at + count] = arena_copy(&v->arena, c.pointer).ptr;
        wanted[at + count] = c.value;
    }
    return count;
}

static void open_conditions(struct body_verdict *v, const struct retry_options *o)
{
    const char  *pointers[JSON_VALUES_MOST];
    struct slice wanted[JSON_VALUES_MOST];

    v->never = add_conditions(v, o->never, pointers, wanted, 0);
    v->refused = add_conditions(v, o->refused, pointers, wanted, v->never);
    if (v->never + v->refused == 0)
        return;
    v->values = json_values_open(pointers, v->never + v->refused, v->is_stream);
    for (unsigned i = 0; i < v->never + v->refused; i++)
        json_values_want(v->values, i, wanted[i]);
}

static bool has_any(const char *const *texts)
{
    return texts != NULL && texts[0] != NULL;
}

struct body_verdict *verdict_open(const struct retry_options *o, const char *complete, const struct http_response *head)
{
    struct slice         type = http_fields_get(&head->fields, HTTP_CONTENT_TYPE);
    bool                 conditions = has_any(o->never) || has_any(o->refused), stream;
    struct body_verdict *v;

    if (!conditions && complete == NULL)
        return NULL;
    stream = http_media_is_event_stream(type);
    if (!(stream && complete != NULL) && !(conditions && (stream || http_media_is_json(type))))
        return NULL;
    v = mem_alloc(sizeof *v);
    v->is_stream = stream;
    v->has_mark = stream && complete != NULL;
    v->mark.mark = slice_of(complete);
    plain_body_open(&v->plain, &head->fields);
    if (conditions)
        open_conditions(v, o);
    return v;
}

void verdict_close(struct body_verdict *v)
{
    if (v == NULL)
        return;
    plain_body_close(&v->plain);
    json_values_close(v->values);
    arena_free(&v->arena);
    free(v);
}

static bool take(void *context, const char *bytes, size_t count)
{
    struct body_verdict *v = context;

    if (v->values != NULL)
        json_values_feed(v->values, bytes, count);
    if (v->has_mark)
        event_mark_feed(&v->mark, bytes, count);
    return true;
}

void verdict_feed(struct body_verdict *v, const char *bytes, size_t count)
{
    if (v != NULL)
        plain_body_feed(&v->plain, bytes, count, take, v);
}

void verdict_end(struct body_verdict *v)
{
    if (v == NULL || v->is_whole)
        return;
    v->is_whole = true;
    if (v->values != NULL)
        json_values_end(v->values);
    v->is_complete = v->has_mark && event_mark_end(&v->mark) && plain_body_is_whole(&v->plain);
}

bool verdict_may_decide(const struct body_verdict *v, bool is_listed)
{
    return v != NULL && v->values != NULL && !v->is_stream && !v->plain.is_broken && (v->never > 0 || !is_listed);
}

static bool says(const struct body_verdict *v, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++)
        if (json_values_is_wanted(v->values, i))
            return true;
    return false;
}

bool verdict_is_never(const struct body_verdict *v)
{
    return v != NULL && v->is_whole && v->values != NULL && says(v, 0, v->never);
}

bool verdict_is_refused(const struct body_verdict *v)
{
    return v != NULL && v->is_whole && v->values != NULL && says(v, v->never, v->refused);
}

bool verdict_is_failure(const struct body_verdict *v)
{
    return verdict_is_never(v) || verdict_is_refused(v);
}

bool verdict_is_complete(const struct body_verdict *v)
{
    return v != NULL && v->is_complete;
}
