/*
 * Reading the field, and bringing queries to one spelling as application/x-www-form-urlencoded is read (WHATWG URL).
 */
#include "policy/search.h"

#include "http/list.h"
#include "http/structured.h"
#include "http/url.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>

/* -- one name or value -- */

static bool is_continuation(unsigned char c, unsigned char low, unsigned char high)
{
    return c >= low && c <= high;
}

/* Length of the UTF-8 sequence at the beginning; 0: there is none, and *bad bytes of it make one U+FFFD. */
static size_t sequence(const unsigned char *s, size_t left, size_t *bad)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t        need;

    *bad = 1;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    need = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : low;
    high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : high;
    for (size_t i = 1; i < need; i++, low = 0x80, high = 0xbf) {
        if (i >= left || !is_continuation(s[i], low, high)) {
            *bad = i;
            return 0;
        }
    }
    return need;
}

/* "+" is a blank, "%xx" a byte, and what is no UTF-8 then is U+FFFD. */
static struct slice decode(struct slice text, struct arena *a)
{
    char        *plus = arena_alloc_raw(a, text.len + 1), *out, *at;
    struct slice bytes;

    for (size_t i = 0; i < text.len; i++)
        plus[i] = text.ptr[i] == '+' ? ' ' : text.ptr[i];
    bytes = http_percent_decode((struct slice){ plus, text.len }, a);
    out = at = arena_alloc_raw(a, 3 * bytes.len + 1);
    while (bytes.len > 0) {
        size_t bad, length = sequence((const unsigned char *)bytes.ptr, bytes.len, &bad);

        memcpy(at, length > 0 ? bytes.ptr : "\xef\xbf\xbd", length > 0 ? length : 3);
        at += length > 0 ? length : 3;
        bytes = slice_sub(bytes, length > 0 ? length : bad, bytes.len);
    }
    return (struct slice){ out, (size_t)(at - out) };
}

/* -- the field -- */

/* The strings of an inner list; false where one is none, or there are too many. */
static bool read_names(struct slice list, struct arena *a, struct search_variance *v)
{
    size_t at = 0;

    while (at < list.len) {
        size_t begin;

        if (list.ptr[at] == '(' || list.ptr[at] == ')' || list.ptr[at] == ' ') {
            at++;
            continue;
        }
        if (list.ptr[at] != '"' || v->count == SEARCH_NAMES)
            return false;
        for (begin = ++at; at < list.len && list.ptr[at] != '"'; at++)
            at += list.ptr[at] == '\\';
        v->names[v->count++] = decode(http_unquote(slice_sub(list, begin - 1, at + 1), a), a);
        for (at++; at < list.len && list.ptr[at] != ' ' && list.ptr[at] != ')'; at++) /* its parameters */
            for (bool quoted = list.ptr[at] == '"'; quoted && at + 1 < list.len; quoted = list.ptr[at] != '"')
                at += 1 + (list.ptr[at + 1] == '\\');
    }
    return true;
}

static bool read_params(const struct sf_item *value, struct arena *a, struct search_variance *v)
{
    if (value->type == SF_BOOLEAN) {
        v->ignores_all = value->integer != 0;
        return true;
    }
    return value->type == SF_INNER_LIST && read_names(value->text, a, v);
}

bool policy_search_variance(const struct http_fields *f, struct arena *a, struct search_variance *out)
{
    const struct sf_member *except = NULL;
    struct sf_members       members;

    out->ignores_order = out->ignores_all = false;
    out->count = 0;
    if (http_fields_find(f, HTTP_NO_VARY_SEARCH, 0) < 0)
        return false;
    out->text = http_fields_join(f, SLICE("No-Vary-Search"), a);
    if (!sf_parse_dictionary(out->text, a, &members))
        return false;
    for (unsigned i = 0; i < members.count; i++) {
        const struct sf_member *m = &members.items[i];

        if (slice_eq(m->key, SLICE("key-order"))) {
            if (m->value.type != SF_BOOLEAN)
                return false;
            out->ignores_order = m->value.integer != 0;
        } else if (slice_eq(m->key, SLICE("params"))) {
            if (!read_params(&m->value, a, out))
                return false;
        } else if (slice_eq(m->key, SLICE("except"))) {
            except = m;
        }
    }
    if (except != NULL &&
        (!out->ignores_all || except->value.type != SF_INNER_LIST || !read_names(except->value.text, a, out)))
        return false;
    return out->ignores_order || out->ignores_all || out->count > 0;
}

/* -- queries -- */

struct search_pair {
    struct slice name, value;
    unsigned     at;
};

static bool counts(const struct search_variance *v, struct slice name)
{
    for (unsigned i = 0; i < v->count; i++)
        if (slice_eq(v->names[i], name))
            return v->ignores_all;
    return !v->ignores_all;
}

/* By name; equal names stay in their order. Any order that is the same for both will do. */
static int compare(const void *one, const void *two)
{
    const struct search_pair *a = one, *b = two;
    const int                 order = slice_compare(a->name, b->name);

    return order != 0 ? order : a->at < b->at ? -1 : 1;
}

static char *put(char *to, struct slice s)
{
    memcpy(to, &s.len, sizeof s.len);
    if (s.len > 0)
        memcpy(to + sizeof s.len, s.ptr, s.len);
    return to + sizeof s.len + s.len;
}

struct slice policy_search_canonical(const struct search_variance *v, struct slice query, struct arena *a)
{
    struct search_pair *pairs = arena_alloc_raw(a, SEARCH_PAIRS * sizeof *pairs);
    struct slice        parameter;
    size_t              bytes = 0;
    unsigned            count = 0;
    char               *text, *at;

    while (http_query_next(&query, &parameter)) {
        const size_t equals = slice_find(parameter, '=', 0);
        struct slice name;

        if (parameter.len == 0)
            continue;
        name = decode(slice_sub(parameter, 0, equals), a);
        if (!counts(v, name))
            continue;
        if (count == SEARCH_PAIRS)
            return SLICE_NONE;
        pairs[count] = (struct search_pair){ name, decode(slice_sub(parameter, equals + 1, parameter.len), a), count };
        bytes += 2 * sizeof name.len + name.len + pairs[count].value.len;
        count++;
    }
    if (v->ignores_order)
        qsort(pairs, count, sizeof *pairs, compare);
    text = at = arena_alloc_raw(a, bytes + 1);
    for (unsigned i = 0; i < count; i++)
        at = put(put(at, pairs[i].name), pairs[i].value);
    return (struct slice){ text, bytes };
}

/* -- keys -- */

struct search_key { /* a key's text in three */
    struct slice before, query, after;
};

static struct search_key split(struct slice full)
{
    const size_t end = slice_find(full, '\n', 0), mark = slice_find(slice_sub(full, 0, end), '?', 0);

    return (struct search_key){ slice_sub(full, 0, mark), slice_sub(full, mark + 1, mark < end ? end : mark),
                                slice_sub(full, end, full.len) };
}

bool policy_search_is_same(const struct search_variance *v, struct slice key, struct slice other, struct arena *a)
{
    const struct search_key one = split(key), two = split(other);
    struct slice            of_one, of_two;

    if (!slice_eq(one.before, two.before) || !slice_eq(one.after, two.after))
        return false;
    of_one = policy_search_canonical(v, one.query, a);
    of_two = policy_search_canonical(v, two.query, a);
    return of_one.ptr != NULL && of_two.ptr != NULL && slice_eq(of_one, of_two);
}

/* No name of a tag hashes to these: they sort before all others. */
static void begin_label(uint8_t out[LABEL_BYTES], uint8_t kind)
{
    memset(out, 0, LABEL_BYTES);
    out[LABEL_NAME_BYTES - 1] = kind;
}

void policy_search_path_label(const struct cache_key *key, uint8_t out[LABEL_BYTES])
{
    begin_label(out, 1);
    memcpy(out + LABEL_NAME_BYTES, key->path_tag, LABEL_BYTES - LABEL_NAME_BYTES);
}

bool policy_search_label(const struct cache_key *key, const struct search_variance *v, struct arena *a,
                         uint8_t out[LABEL_BYTES])
{
    const struct search_key parts = split(key->full);
    const struct slice      all[] = { parts.before, parts.after, v->text, policy_search_canonical(v, parts.query, a) };
    XXH64_canonical_t       canonical;
    XXH64_hash_t            sum = 0;

    if (all[3].ptr == NULL)
        return false;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        sum = XXH3_64bits_withSeed(all[i].ptr, all[i].len, sum);
    begin_label(out, 2);
    XXH64_canonicalFromHash(&canonical, sum);
    memcpy(out + LABEL_NAME_BYTES, canonical.digest, sizeof canonical.digest);
    return true;
}

void policy_search_labels(const struct cache_key *key, const struct http_fields *f, struct arena *a, struct labels *l)
{
    struct search_variance v;
    uint8_t                two[2][LABEL_BYTES];

    if (!policy_search_variance(f, a, &v) || !policy_search_label(key, &v, a, two[1]))
        return;
    policy_search_path_label(key, two[0]);
    l->count = l->count > LABELS_AT_MOST - 2 ? LABELS_AT_MOST - 2 : l->count;
    memmove(l->items[2], l->items[0], (size_t)l->count * LABEL_BYTES);
    memcpy(l->items[0], two, sizeof two);
    l->count += 2;
}
