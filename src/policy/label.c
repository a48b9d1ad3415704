/*
 * From the fields that mark a response to labels.
 */
#include "policy/label.h"

#include "http/list.h"
#include "http/structured.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum label_kind { KIND_GROUP = 1, KIND_TAG };

static void put_hash(uint8_t out[8], struct slice text, uint64_t seed)
{
    XXH64_canonical_t canonical;

    XXH64_canonicalFromHash(&canonical, XXH3_64bits_withSeed(text.ptr, text.len, seed));
    memcpy(out, canonical.digest, sizeof canonical.digest);
}

void policy_label_name(struct slice name, uint8_t out[LABEL_NAME_BYTES])
{
    put_hash(out, name, 0);
}

struct slice policy_labels_slice(const struct labels *l)
{
    return (struct slice){ (const char *)l->items, (size_t)l->count * LABEL_BYTES };
}

static void add(struct labels *l, enum label_kind kind, struct slice origin, struct slice name)
{
    uint8_t label[LABEL_BYTES];

    if (name.len == 0 || name.len > LABEL_NAME_LONGEST || l->count == LABELS_AT_MOST)
        return;
    policy_label_name(name, label);
    put_hash(label + LABEL_NAME_BYTES, origin, kind);
    for (unsigned i = 0; i < l->count; i++)
        if (memcmp(l->items[i], label, LABEL_BYTES) == 0)
            return;
    memcpy(l->items[l->count++], label, LABEL_BYTES);
}

/* A List of Strings (RFC 9875 2): of one that is anything else nothing counts. Parameters say nothing. */
static void add_groups(struct labels *l, struct slice origin, const struct http_fields *f, enum http_name id,
                       struct arena *a)
{
    struct slice      text;
    struct sf_members groups;

    if (http_fields_find(f, id, 0) < 0)
        return;
    text = http_fields_join(f, slice_of(http_name_text(id)), a);
    if (!sf_parse_list(text, a, &groups))
        return;
    for (unsigned i = 0; i < groups.count; i++)
        if (groups.items[i].value.type != SF_STRING)
            return;
    for (unsigned i = 0; i < groups.count; i++)
        add(l, KIND_GROUP, origin, groups.items[i].value.text);
}

/* Separated by commas. */
static void add_cache_tags(struct labels *l, struct slice origin, const struct http_fields *f)
{
    struct http_list list = http_list_of_field(f, HTTP_CACHE_TAG);
    struct slice     tag;

    while (http_list_next(&list, &tag))
        add(l, KIND_TAG, origin, tag);
}

/* Separated by blanks. */
static void add_surrogate_keys(struct labels *l, struct slice origin, const struct http_fields *f)
{
    for (int i = http_fields_find(f, HTTP_SURROGATE_KEY, 0); i >= 0;
         i = http_fields_find(f, HTTP_SURROGATE_KEY, (unsigned)i + 1)) {
        struct slice rest = f->items[i].value;

        while (rest.len > 0) {
            size_t end = 0;

            while (end < rest.len && rest.ptr[end] != ' ' && rest.ptr[end] != '\t')
                end++;
            add(l, KIND_TAG, origin, slice_sub(rest, 0, end));
            rest = slice_sub(rest, end + 1, rest.len);
        }
    }
}

void policy_labels(const struct policy_options *o, struct slice origin, const struct http_fields *f, struct arena *a,
                   struct labels *out)
{
    out->count = 0;
    add_groups(out, origin, f, HTTP_CACHE_GROUPS, a);
    for (const char *const *tag = o->tags; tag != NULL && *tag != NULL; tag++)
        add(out, KIND_TAG, origin, slice_of(*tag));
    add_cache_tags(out, origin, f);
    add_surrogate_keys(out, origin, f);
}

void policy_invalidated_groups(struct slice origin, const struct http_fields *f, struct arena *a, struct labels *out)
{
    out->count = 0;
    add_groups(out, origin, f, HTTP_CACHE_GROUP_INVALIDATION, a);
}
