/*
 * Equal safe items are asked once, whether or not their answer may be stored: those that come while the first is under
 * way wait for it, and those that come later hear what it heard.
 *
 * What the cache has needs no keeping: the next one is a hit. Of the rest the text stands in a spool, up to KEPT_BYTES
 * of it.
 */
#include "jobs/internal.h"

#include <stdlib.h>
#include <xxhash.h>

enum { KEPT_BODY_BYTES = 1024 * 1024, KEPT_BYTES = 256 * 1024 * 1024 };

struct known_answer {
    struct table_node node;
    uint64_t          second; /* half of the hash */
    int64_t           at, bytes;
    unsigned          status;
};

static char *add(char *at, struct slice s)
{
    at = (char *)memcpy(at, &s.len, sizeof s.len) + sizeof s.len;
    return s.len > 0 ? (char *)memcpy(at, s.ptr, s.len) + s.len : at;
}

/* Method, target and every field: host and credentials are among those. */
static void hash_request(struct item_twins *t, const struct http_request *r, struct arena *a)
{
    size_t        bytes = r->method_name.len + r->target.len + (2 + 2 * r->fields.count) * sizeof(size_t);
    char         *text, *at;
    XXH128_hash_t sum;

    for (unsigned i = 0; i < r->fields.count; i++)
        bytes += r->fields.items[i].name.len + r->fields.items[i].value.len;
    text = arena_alloc_raw(a, bytes);
    at = add(add(text, r->method_name), r->target);
    for (unsigned i = 0; i < r->fields.count; i++)
        at = add(add(at, r->fields.items[i].name), r->fields.items[i].value);
    sum = XXH3_128bits(text, bytes);
    t->hash[0] = sum.low64;
    t->hash[1] = sum.high64;
}

static const struct known_answer *find_answer(const struct batch *b, const struct item_twins *t)
{
    TABLE_EACH(n, &b->answers, t->hash[0])
    if (CONTAINER_OF(n, struct known_answer, node)->second == t->hash[1])
        return CONTAINER_OF(n, struct known_answer, node);
    return NULL;
}

static struct item *find_leader(const struct batch *b, const struct item_twins *t)
{
    TABLE_EACH(n, &b->leaders, t->hash[0])
    if (CONTAINER_OF(n, struct item, twins.node)->twins.hash[1] == t->hash[1])
        return CONTAINER_OF(n, struct item, twins.node);
    return NULL;
}

enum twin twins_find(struct item *i)
{
    struct batch              *b = i->batch;
    struct item_twins         *t = &i->twins;
    const struct known_answer *known;
    struct item               *leader;

    if (!http_method_is_safe(i->asked.request.method) || i->asked.body.ptr != NULL)
        return TWIN_NONE;
    hash_request(t, &i->asked.request, &i->arena);
    known = find_answer(b, t);
    if (known != NULL) {
        i->status = known->status;
        i->has_answer = i->is_twin = true;
        result_share(&i->text, i->id, b->kept, known->at, known->bytes, &i->arena);
        return TWIN_ANSWERED;
    }
    leader = find_leader(b, t);
    if (leader != NULL) {
        SLIST_INSERT_HEAD(&leader->twins.followers, i, twins.follower);
        return TWIN_FOLLOWS;
    }
    t->leads = true;
    table_add(&b->leaders, &t->node, t->hash[0]);
    return TWIN_NONE;
}

void twins_keep(struct item *i)
{
    struct batch        *b = i->batch;
    struct known_answer *k;
    int64_t              at;

    if (!i->twins.leads || !i->has_answer || i->is_hit || i->is_stored || i->text.length > KEPT_BODY_BYTES)
        return;
    if (b->kept == NULL)
        b->kept = service_spool(b->outer);
    at = spool_length(b->kept);
    if (at > KEPT_BYTES || !result_keep(&i->text, b->kept, b->out.form != FORM_JSON))
        return;
    k = mem_alloc(sizeof *k);
    *k = (struct known_answer){ .second = i->twins.hash[1],
                                .at = at,
                                .bytes = spool_length(b->kept) - at,
                                .status = i->status };
    table_add(&b->answers, &k->node, i->twins.hash[0]);
    result_share(&i->text, i->id, b->kept, k->at, k->bytes, &i->arena);
}

struct item *twins_next(struct item *leader)
{
    struct item *i = SLIST_FIRST(&leader->twins.followers);

    if (i != NULL)
        SLIST_REMOVE_HEAD(&leader->twins.followers, twins.follower);
    return i;
}

void twins_leave(struct item *i)
{
    if (i->twins.leads)
        table_remove(&i->batch->leaders, &i->twins.node);
    i->twins.leads = false;
}

void twins_close(struct batch *b)
{
    struct table_walk  walk = { 0 };
    struct table_node *n;

    while ((n = table_next(&b->answers, &walk)) != NULL) {
        table_remove(&b->answers, n);
        free(CONTAINER_OF(n, struct known_answer, node));
    }
    table_free(&b->answers);
    table_free(&b->leaders);
    spool_release(b->kept);
}
