/*
 * Accept-Encoding and Accept-Language: members with weights, brought to one
 * spelling, and the question whether a coding may be sent.
 */
#include "http/encoding.h"

#include "http/list.h"

#include <stdio.h>
#include <stdlib.h>

enum { WEIGHT_ONE = 1000 };

struct weighted {
    struct slice name;
    int          weight; /* 0 to 1000 */
};

struct wishes {
    struct weighted *items;
    unsigned         count;
};

/* RFC 9110 12.4.2: "0" or "1" with up to three decimals; what cannot be read is no weight. */
static int parse_weight(struct slice s)
{
    int weight;

    if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') || (s.len > 1 && s.ptr[1] != '.'))
        return WEIGHT_ONE;
    weight = (s.ptr[0] - '0') * WEIGHT_ONE;
    for (size_t i = 2, unit = 100; i < s.len; i++, unit /= 10) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return WEIGHT_ONE;
        weight += (s.ptr[i] - '0') * (int)unit;
    }
    return weight < WEIGHT_ONE ? weight : WEIGHT_ONE;
}

/* "name;q=0.5" */
static struct weighted split_weight(struct slice member)
{
    size_t          end = slice_find(member, ';', 0);
    struct weighted w = { slice_trim(slice_sub(member, 0, end)), WEIGHT_ONE };

    while (end < member.len) {
        size_t       begin = end + 1;
        struct slice parameter;

        end = slice_find(member, ';', begin);
        parameter = slice_trim(slice_sub(member, begin, end));
        if (parameter.len >= 2 && (parameter.ptr[0] | 0x20) == 'q' && parameter.ptr[1] == '=')
            w.weight = parse_weight(slice_sub(parameter, 2, parameter.len));
    }
    return w;
}

/* The x- aliases of RFC 9110 8.4.1. */
static struct slice without_alias(struct slice coding)
{
    if (slice_eq_nocase(coding, SLICE("x-gzip")) || slice_eq_nocase(coding, SLICE("x-compress")))
        return slice_sub(coding, 2, coding.len);
    return coding;
}

static struct slice lower_copy(struct slice s, struct arena *a)
{
    char *p = arena_alloc_raw(a, s.len);

    for (size_t i = 0; i < s.len; i++)
        p[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] | 0x20) : s.ptr[i];
    return (struct slice){ p, s.len };
}

static struct wishes read_wishes(const struct http_fields *request, enum http_name id, struct arena *a)
{
    struct wishes    wishes = { NULL, 0 };
    struct http_list list = http_list_of_field(request, id);
    unsigned         members = 0;
    struct slice     member;

    while (http_list_next(&list, &member))
        members++;
    if (members == 0)
        return wishes;
    wishes.items = arena_alloc_raw(a, members * sizeof *wishes.items);
    list = http_list_of_field(request, id);
    while (http_list_next(&list, &member)) {
        struct weighted w = split_weight(member);

        if (!http_is_token(w.name))
            continue;
        w.name = lower_copy(w.name, a);
        wishes.items[wishes.count++] = w;
    }
    return wishes;
}

static int by_name(const void *left, const void *right)
{
    const struct weighted *l = left, *r = right;
    size_t                 shorter = l->name.len < r->name.len ? l->name.len : r->name.len;
    int                    order = memcmp(l->name.ptr, r->name.ptr, shorter);

    if (order != 0)
        return order;
    return (l->name.len > r->name.len) - (l->name.len < r->name.len);
}

/* RFC 9110 12.5.4: the order of what weighs the same says nothing that could be relied upon. */
static int by_preference(const void *left, const void *right)
{
    const struct weighted *l = left, *r = right;

    if (l->weight != r->weight)
        return l->weight > r->weight ? -1 : 1;
    return by_name(left, right);
}

/* Weights become ranks, so that the same preferences read the same whatever numbers say so: 1, 0.999,
 * 0.998...  What is refused stays told apart from what is not spoken of. */
static void rank(struct wishes wishes)
{
    int above = WEIGHT_ONE + 1, place = WEIGHT_ONE + 1;

    for (unsigned i = 0; i < wishes.count; i++) {
        int weight = wishes.items[i].weight;

        if (weight == 0)
            return;
        if (weight < above && place > 1)
            place--;
        above = weight;
        wishes.items[i].weight = place;
    }
}

/* "a, b;q=0.999, c;q=0" */
static struct slice write_wishes(struct wishes wishes, struct arena *a)
{
    static const char weight[] = ";q=0.000";
    size_t            room = 1, used = 0;
    char             *out;

    for (unsigned i = 0; i < wishes.count; i++)
        room += wishes.items[i].name.len + 2 + sizeof weight;
    out = arena_alloc_raw(a, room);
    for (unsigned i = 0; i < wishes.count; i++) {
        struct weighted w = wishes.items[i];

        if (i > 0) {
            out[used++] = ',';
            out[used++] = ' ';
        }
        memcpy(out + used, w.name.ptr, w.name.len);
        used += w.name.len;
        if (w.weight < WEIGHT_ONE)
            used += (size_t)snprintf(out + used, sizeof weight, w.weight == 0 ? ";q=0" : ";q=0.%03d", w.weight);
    }
    return (struct slice){ out, used };
}

struct slice http_accept_encoding_normalise(const struct http_fields *request, struct arena *a)
{
    struct wishes wishes = read_wishes(request, HTTP_ACCEPT_ENCODING, a);
    struct wishes kept = { wishes.items, 0 };

    for (unsigned i = 0; i < wishes.count; i++) {
        struct weighted w = wishes.items[i];

        w.name = without_alias(w.name);
        if (w.weight > 0 && !slice_eq(w.name, SLICE("identity")))
            kept.items[kept.count++] = w;
    }
    if (kept.count == 0)
        return SLICE("");
    qsort(kept.items, kept.count, sizeof *kept.items, by_name);
    wishes.count = 1;
    for (unsigned i = 1; i < kept.count; i++)
        if (!slice_eq(kept.items[i].name, kept.items[wishes.count - 1].name))
            wishes.items[wishes.count++] = kept.items[i];
    for (unsigned i = 0; i < wishes.count; i++)
        wishes.items[i].weight = WEIGHT_ONE;
    return write_wishes(wishes, a);
}

struct slice http_accept_language_normalise(const struct http_fields *request, struct arena *a)
{
    struct wishes wishes = read_wishes(request, HTTP_ACCEPT_LANGUAGE, a);

    if (wishes.count == 0)
        return SLICE("");
    qsort(wishes.items, wishes.count, sizeof *wishes.items, by_preference);
    rank(wishes);
    return write_wishes(wishes, a);
}

/* The weight of `coding` by its own name, else by "*", else `otherwise`. */
static int weight_of(const struct http_fields *request, struct slice coding, int otherwise)
{
    struct http_list list = http_list_of_field(request, HTTP_ACCEPT_ENCODING);
    struct slice     member;

    while (http_list_next(&list, &member)) {
        struct weighted w = split_weight(member);

        if (slice_eq_nocase(without_alias(w.name), coding))
            return w.weight;
        if (slice_eq(w.name, SLICE("*")))
            otherwise = w.weight;
    }
    return otherwise;
}

/* The codings of the IANA registry: what stands in no list cannot have been negotiated. */
static bool is_negotiable(struct slice coding)
{
    static const char *const names[] = { "gzip", "deflate", "br",        "zstd", "compress",
                                         "dcb",  "dcz",     "aes128gcm", "exi",  "pack200-gzip" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_eq_nocase(coding, slice_of(names[i])))
            return true;
    return false;
}

bool http_coding_is_negotiated(struct slice content_encoding)
{
    struct http_list codings = http_list_of_value(content_encoding);
    struct slice     coding;

    while (http_list_next(&codings, &coding))
        if (is_negotiable(without_alias(coding)))
            return true;
    return false;
}

bool http_coding_is_acceptable(const struct http_fields *request, struct slice content_encoding)
{
    struct http_list codings = http_list_of_value(content_encoding);
    bool             coded = false;
    struct slice     coding;

    if (http_fields_find(request, HTTP_ACCEPT_ENCODING, 0) < 0)
        return true; /* RFC 9110 12.5.3: no preference at all */
    while (http_list_next(&codings, &coding)) {
        if (slice_eq_nocase(coding, SLICE("identity")))
            continue;
        coded = true;
        if (is_negotiable(without_alias(coding)) && weight_of(request, without_alias(coding), 0) == 0)
            return false;
    }
    return coded || weight_of(request, SLICE("identity"), WEIGHT_ONE) > 0;
}
