/*
 * What is stored of another query that says the same (No-Vary-Search): looked for on a miss, and only where anything
 * stored varies so.
 *
 * What is on its way to the store is looked through; in the database the label of the path tells which variances there
 * are, and the label of each what it has for this query.  All of it is bounded: an API that says something else with
 * each answer gains nothing, and costs no more.
 */
#include "engine/internal.h"

#include "policy/search.h"

enum { COMING_AT_MOST = 16, VARIANCES_AT_MOST = 4, OF_PATH_AT_MOST = 8, OF_QUERY_AT_MOST = 8 };

struct similar {
    struct exchange       *x;
    struct search_variance variances[VARIANCES_AT_MOST]; /* that differ, in the exchange's arena */
    unsigned               count;
    int64_t                received_ns; /* of the newest that was found */
    struct similar_key    *found;
    bool                   any;
};

static void note_variance(struct similar *s, const struct search_variance *v)
{
    for (unsigned i = 0; i < s->count; i++)
        if (slice_eq(s->variances[i].text, v->text))
            return;
    if (s->count == VARIANCES_AT_MOST)
        return;
    s->variances[s->count] = *v;
    s->variances[s->count].text = arena_copy(&s->x->arena, v->text);
    s->count++;
}

/* Names are decoded into the arena; the newest wins. */
static void judge(const struct store_record *r, void *context)
{
    struct similar        *s = context;
    struct arena          *a = &s->x->arena;
    struct http_fields     fields = store_record_fields(r, a);
    struct search_variance v;

    if (!policy_search_variance(&fields, a, &v))
        return;
    note_variance(s, &v);
    if ((s->any && r->received_wall_ns <= s->received_ns) || !policy_search_is_same(&v, r->full_key, s->x->key.full, a))
        return;
    s->any = true;
    s->received_ns = r->received_wall_ns;
    memcpy(s->found->hash, r->hash, sizeof s->found->hash);
    s->found->full = arena_copy(a, r->full_key);
}

/* Of several the least: whoever looks at the same time finds the same. */
static void note_label(struct sight *seen, const uint8_t label[LABEL_BYTES])
{
    if (!seen->has_search || memcmp(label, seen->search, LABEL_BYTES) < 0)
        memcpy(seen->search, label, LABEL_BYTES);
    seen->has_search = true;
}

bool similar_find(struct exchange *x, struct similar_key *out)
{
    struct store_reader *reader = x->engine->reader;
    struct similar      *s = arena_alloc(&x->arena, sizeof *s);
    uint8_t              label[LABEL_BYTES];

    s->x = x;
    s->found = out;
    policy_search_path_label(&x->key, label);
    store_coming_of_path(reader, x->key.path_tag, COMING_AT_MOST, judge, s);
    store_of_label(reader, label, OF_PATH_AT_MOST, judge, s);
    x->seen.has_search = false;
    for (unsigned i = 0; i < s->count; i++)
        if (policy_search_label(&x->key, &s->variances[i], &x->arena, label)) {
            store_of_label(reader, label, OF_QUERY_AT_MOST, judge, s);
            note_label(&x->seen, label);
        }
    return s->any;
}
