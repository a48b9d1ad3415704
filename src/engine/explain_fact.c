/*
 * Facts of what is stored, for an explanation that has no store: what another configuration would make of it.
 *
 * The daemon gives those of one path, as a request of its own would find them; a run of weir --explain takes them for
 * all that is stored.  Of a head only the fields are given that policy goes by: no cookie is among them.
 */
#include "engine/explain_parts.h"

#include "policy/key.h"
#include "store/record.h"

static bool is_of_policy(enum http_name id)
{
    static const enum http_name ids[] = { HTTP_AGE,           HTTP_CACHE_CONTROL, HTTP_CONTENT_ENCODING,
                                          HTTP_CONTENT_RANGE, HTTP_CONTENT_TYPE,  HTTP_DATE,
                                          HTTP_ETAG,          HTTP_EXPIRES,       HTTP_LAST_MODIFIED,
                                          HTTP_PRAGMA,        HTTP_VARY,          HTTP_VIA };

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (id == ids[i])
            return true;
    return false;
}

static void keep_fact(const struct store_record *r, void *context)
{
    struct explain      *e = context;
    struct explain_fact *f;
    struct arena         scratch = { 0 };
    struct http_fields   fields;
    size_t               whose = slice_find(r->full_key, ' ', 0);

    if (e->out.fact_count == EXPLAIN_FACTS)
        return;
    f = &e->facts[e->out.fact_count++];
    *f = (struct explain_fact){
        .is_own = !entry_is_shared(r),
        .key = arena_copy(&e->arena, slice_sub(r->full_key, whose + 1, r->full_key.len)),
        .selection = arena_copy(&e->arena, r->selection),
        .upstream = arena_copy(&e->arena, r->upstream),
        .status = r->status,
        .requested_wall_ns = r->requested_wall_ns,
        .received_wall_ns = r->received_wall_ns,
        .set_back_ns = r->set_back_ns,
        .body_bytes = r->body_bytes,
        .invalidated = r->invalidated,
        .had_credential = r->had_credential,
    };
    fields = store_record_fields(r, &scratch);
    for (unsigned i = 0; i < fields.count; i++)
        if (is_of_policy(fields.items[i].id))
            http_fields_add(&f->fields, &e->arena, arena_copy(&e->arena, fields.items[i].name),
                            arena_copy(&e->arena, fields.items[i].value));
    arena_free(&scratch);
}

void explain_gather_facts(struct explain *e)
{
    e->out.fact_count = 0;
    e->out.facts = e->facts = arena_alloc(&e->arena, EXPLAIN_FACTS * sizeof *e->facts);
    explain_each_near(e, EXPLAIN_FACTS, keep_fact, e);
}

/* -- the way back -- */

static const char hex[] = "0123456789abcdef";

/* Whoever asks is the one whose own answers those are. */
static struct slice whole_key(const struct exchange *x, const struct explain_fact *f, struct arena *a)
{
    static const struct partition nobodys;
    char                          whose[2 * PARTITION_BYTES];

    if (!f->is_own)
        return ARENA_JOIN(a, SLICE("- "), f->key);
    if (memcmp(&x->who.partition, &nobodys, sizeof nobodys) == 0)
        return ARENA_JOIN(a, SLICE("own "), f->key);
    for (unsigned i = 0; i < PARTITION_BYTES; i++) {
        whose[2 * i] = hex[x->who.partition.bytes[i] >> 4];
        whose[2 * i + 1] = hex[x->who.partition.bytes[i] & 15];
    }
    return ARENA_JOIN(a, (struct slice){ whose, sizeof whose }, SLICE(" "), f->key);
}

/* Its body is so many zeros, and no longer than what stands in a record: nobody reads it. */
static struct store_record record_of(const struct exchange *x, const struct explain_fact *f, struct arena *a)
{
    const int64_t bytes = f->body_bytes < STORE_INLINE_BYTES ? f->body_bytes : STORE_INLINE_BYTES;

    return (struct store_record){
        .full_key = whole_key(x, f, a),
        .selection = f->selection,
        .encoded_fields = record_encode_fields(&f->fields, a),
        .status = f->status,
        .requested_wall_ns = f->requested_wall_ns,
        .received_wall_ns = f->received_wall_ns,
        .set_back_ns = f->set_back_ns,
        .body_bytes = bytes,
        .body = { arena_alloc(a, (size_t)bytes + 1), (size_t)bytes },
        .invalidated = f->invalidated,
        .had_credential = f->had_credential,
        .upstream = f->upstream,
        .id = 1,
    };
}

enum store_result explain_fact_look_up(struct exchange *x, store_accept accept, struct store_record *out)
{
    enum store_result result = STORE_MISS;

    for (unsigned i = 0; i < x->mode.dry->fact_count; i++) {
        struct store_record r = record_of(x, &x->mode.dry->facts[i], &x->arena);

        if (!slice_eq(r.full_key, x->key.full))
            continue;
        if (result == STORE_MISS)
            result = STORE_OTHER_VARIANT;
        if ((result == STORE_HIT && r.received_wall_ns < out->received_wall_ns) || !accept(&r, x))
            continue;
        *out = r;
        result = STORE_HIT;
    }
    return result;
}

void explain_fact_each(struct explain *e, store_near_each each, void *context)
{
    for (unsigned i = 0; i < e->dry.fact_count; i++) {
        struct store_record r = record_of(e->x, &e->dry.facts[i], &e->arena);

        each(&r, context);
    }
}
