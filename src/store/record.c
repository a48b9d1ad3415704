/*
 * Encoding and decoding of records.
 *
 * Fields: a stamp of the name table, a count, then for each field its
 * id, lengths, name NUL value NUL.  The ids are believed where the stamp is that of this
 * program's table; else (another version wrote it) names are looked up anew.
 */
#include "store/record.h"

#include <xxhash.h>

#include <pthread.h>

enum { FLAG_INVALIDATED = 1, FLAG_HAD_CREDENTIAL = 2, FLAG_PROOF = 4, FLAG_MASKED = 8 };

struct record_head {
    uint64_t sum;      /* of all that follows, up to the body */
    uint64_t body_sum; /* of an inline body; FLAG_PROOF: of the file */
    uint64_t id;
    int64_t  requested_wall_ns, received_wall_ns;
    int64_t  body_bytes;
    uint64_t body_file;
    uint32_t full_key_bytes, selection_bytes, fields_bytes;
    uint16_t status;
    uint8_t  upstream_bytes;
    uint8_t  flags;
    uint8_t  tag[STORE_HASH_BYTES];
};

struct fields_head {
    uint32_t stamp, count;
};
struct field_head {
    uint16_t id, name_bytes;
    uint32_t value_bytes;
};

_Static_assert(sizeof(struct record_head) == 88, "no padding: all of it is checksummed");

/* -- keys -- */

struct record_key record_key(const uint8_t hash[STORE_HASH_BYTES], const uint8_t variant[STORE_HASH_BYTES])
{
    struct record_key key;

    memcpy(key.bytes, hash, STORE_HASH_BYTES);
    memcpy(key.bytes + STORE_HASH_BYTES, variant, STORE_HASH_BYTES);
    return key;
}

struct slice record_key_slice(const struct record_key *key)
{
    return (struct slice){ (const char *)key->bytes, sizeof key->bytes };
}

/* Keys are hashes already: mixing is enough. */
static uint64_t key_mix(const void *key)
{
    static const uint64_t odd[] = { 0x9E3779B185EBCA87u, 0xC2B2AE3D27D4EB4Fu, 0x165667B19E3779F9u,
                                    0x85EBCA77C2B2AE63u };
    uint64_t              words[4], mixed = 0;

    memcpy(words, key, sizeof words);
    for (int i = 0; i < 4; i++)
        mixed += (words[i] ^ words[i] >> 29) * odd[i];
    return mixed;
}

static uint64_t head_sum(const void *key, const char *value, size_t bytes)
{
    return XXH3_64bits(value + sizeof(uint64_t), bytes - sizeof(uint64_t)) ^ key_mix(key);
}

/* -- fields -- */

static uint32_t       names_stamp; /* written once, under names_once */
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

static void make_names_stamp(void)
{
    XXH64_hash_t sum = HTTP_NAME_COUNT;

    for (int id = HTTP_NAME_OTHER + 1; id < HTTP_NAME_COUNT; id++) {
        const char *text = http_name_text((enum http_name)id);

        sum = XXH3_64bits_withSeed(text, strlen(text), sum);
    }
    names_stamp = (uint32_t)sum;
}

static uint32_t own_stamp(void)
{
    pthread_once(&names_once, make_names_stamp);
    return names_stamp;
}

/* 0: cannot be encoded. */
static size_t fields_size(const struct http_fields *f)
{
    size_t size = sizeof(struct fields_head);

    for (unsigned i = 0; i < f->count; i++) {
        if (f->items[i].name.len > UINT16_MAX || f->items[i].value.len > UINT32_MAX / 2)
            return 0;
        size += sizeof(struct field_head) + f->items[i].name.len + 1 + f->items[i].value.len + 1;
    }
    return size <= UINT32_MAX ? size : 0;
}

static char *put(char *to, const void *bytes, size_t count)
{
    if (count > 0)
        memcpy(to, bytes, count);
    return to + count;
}

static char *put_slice(char *to, struct slice s)
{
    return put(to, s.ptr, s.len);
}

static char *put_fields(char *to, const struct http_fields *f)
{
    const struct fields_head head = { own_stamp(), f->count };

    to = put(to, &head, sizeof head);
    for (unsigned i = 0; i < f->count; i++) {
        const struct http_field *field = &f->items[i];
        const struct field_head  each = { (uint16_t)field->id, (uint16_t)field->name.len, (uint32_t)field->value.len };

        to = put(to, &each, sizeof each);
        to = put_slice(to, field->name);
        *to++ = '\0';
        to = put_slice(to, field->value);
        *to++ = '\0';
    }
    return to;
}

struct slice record_encode_fields(const struct http_fields *f, struct arena *a)
{
    size_t size = fields_size(f);
    char  *room;

    if (size == 0)
        return SLICE_NONE;
    room = arena_alloc_raw(a, size);
    put_fields(room, f);
    return (struct slice){ room, size };
}

/* The next field; false where the bytes do not hold one. */
static bool take_field(struct slice *rest, bool ids_known, struct http_field *out)
{
    struct field_head head;
    size_t            bytes;

    if (rest->len < sizeof head)
        return false;
    memcpy(&head, rest->ptr, sizeof head);
    bytes = (size_t)head.name_bytes + 1 + head.value_bytes + 1;
    *rest = slice_sub(*rest, sizeof head, rest->len);
    if (rest->len < bytes)
        return false;
    out->name = (struct slice){ rest->ptr, head.name_bytes };
    out->value = (struct slice){ rest->ptr + head.name_bytes + 1, head.value_bytes };
    out->id = ids_known && head.id < HTTP_NAME_COUNT ? (enum http_name)head.id : http_name_parse(out->name);
    *rest = slice_sub(*rest, bytes, rest->len);
    return true;
}

static bool skip_field(struct slice *rest)
{
    struct field_head head;
    size_t            bytes;

    if (rest->len < sizeof head)
        return false;
    memcpy(&head, rest->ptr, sizeof head);
    bytes = sizeof head + (size_t)head.name_bytes + 1 + head.value_bytes + 1;
    if (rest->len < bytes)
        return false;
    *rest = slice_sub(*rest, bytes, rest->len);
    return true;
}

struct http_fields store_record_fields(const struct store_record *record, struct arena *a)
{
    struct slice       rest = record->encoded_fields;
    struct http_fields fields = { 0 };
    struct fields_head head;
    bool               ids_known;

    if (rest.len < sizeof head)
        return fields;
    memcpy(&head, rest.ptr, sizeof head);
    rest = slice_sub(rest, sizeof head, rest.len);
    ids_known = head.stamp == own_stamp();
    if (head.count == 0 || head.count > rest.len / sizeof(struct field_head))
        return fields;
    fields.items = arena_alloc_raw(a, head.count * sizeof *fields.items);
    fields.capacity = head.count;
    while (fields.count < head.count && take_field(&rest, ids_known, &fields.items[fields.count]))
        fields.count++;
    return fields;
}

struct slice store_record_labels(const struct store_record *record)
{
    struct slice       rest = record->encoded_fields;
    struct fields_head head;

    if (rest.len < sizeof head)
        return SLICE("");
    memcpy(&head, rest.ptr, sizeof head);
    rest = slice_sub(rest, sizeof head, rest.len);
    for (uint32_t i = 0; i < head.count; i++)
        if (!skip_field(&rest))
            return SLICE("");
    return rest.len % STORE_LABEL_BYTES == 0 && rest.len / STORE_LABEL_BYTES <= STORE_LABELS_AT_MOST ? rest : SLICE("");
}

bool store_has_label(struct slice labels, const uint8_t *label, size_t bytes)
{
    for (size_t at = 0; at + STORE_LABEL_BYTES <= labels.len; at += STORE_LABEL_BYTES)
        if (memcmp(labels.ptr + at, label, bytes) == 0)
            return true;
    return false;
}

/* -- records -- */

/* Of all that stands where fields stand; 0: cannot be encoded. */
static size_t fields_part_size(const struct record_parts *p)
{
    size_t size;

    if (p->fields == NULL)
        return p->encoded_fields.len;
    size = fields_size(p->fields);
    return size == 0 ? 0 : size + p->labels.len;
}

static char *put_fields_part(char *to, const struct record_parts *p)
{
    if (p->fields == NULL)
        return put_slice(to, p->encoded_fields);
    return put_slice(put_fields(to, p->fields), p->labels);
}

size_t record_size(const struct record_parts *p)
{
    size_t fields = fields_part_size(p);
    size_t size;

    if (fields == 0 || fields > UINT32_MAX || p->full_key.len > UINT32_MAX / 2 || p->selection.len > UINT32_MAX / 2 ||
        p->upstream.len > UINT8_MAX)
        return 0;
    size = sizeof(struct record_head) + p->full_key.len + p->selection.len + p->upstream.len + fields;
    if (p->body_file == 0)
        return size + (size_t)p->body_bytes;
    return p->proof.mark != 0 ? size + sizeof p->proof.mark : size;
}

char *record_begin(const struct record_parts *p, void *room)
{
    size_t             fields = fields_part_size(p);
    struct record_head head = {
        .id = p->id,
        .requested_wall_ns = p->requested_wall_ns,
        .received_wall_ns = p->received_wall_ns,
        .body_bytes = p->body_bytes,
        .body_file = p->body_file,
        .full_key_bytes = (uint32_t)p->full_key.len,
        .selection_bytes = (uint32_t)p->selection.len,
        .fields_bytes = (uint32_t)fields,
        .status = (uint16_t)p->status,
        .upstream_bytes = (uint8_t)p->upstream.len,
        .flags = (uint8_t)((p->invalidated ? FLAG_INVALIDATED : 0) | (p->had_credential ? FLAG_HAD_CREDENTIAL : 0) |
                           (p->masked ? FLAG_MASKED : 0)),
    };
    char *to = room;

    if (p->body_file != 0 && p->proof.mark != 0) {
        head.flags |= FLAG_PROOF;
        head.body_sum = p->proof.sum;
    }

    memcpy(head.tag, p->tag, sizeof head.tag);
    to = put(to, &head, sizeof head);
    to = put_slice(to, p->full_key);
    to = put_slice(to, p->selection);
    to = put_slice(to, p->upstream);
    to = put_fields_part(to, p);
    return (head.flags & FLAG_PROOF) != 0 ? put(to, &p->proof.mark, sizeof p->proof.mark) : to;
}

void record_seal(const struct record_key *key, void *room, size_t size)
{
    struct record_head head;
    char              *value = room;
    size_t             body;

    memcpy(&head, value, sizeof head);
    body = head.body_file == 0 ? (size_t)head.body_bytes : 0;
    if ((head.flags & FLAG_PROOF) == 0)
        head.body_sum = XXH3_64bits(value + size - body, body);
    memcpy(value, &head, sizeof head);
    head.sum = head_sum(key->bytes, value, size - body);
    memcpy(value, &head, sizeof head);
}

/* Bytes of all that stands before the body. */
static uint64_t bytes_before_body(const struct record_head *head)
{
    return sizeof *head + (uint64_t)head->full_key_bytes + head->selection_bytes + head->upstream_bytes +
           head->fields_bytes + ((head->flags & FLAG_PROOF) != 0 && head->body_file != 0 ? sizeof(uint64_t) : 0);
}

void record_read(struct slice key, struct slice value, struct record *out)
{
    struct store_record *v = &out->view;
    struct record_head   head;
    const char          *at = value.ptr + sizeof head;

    memcpy(&head, value.ptr, sizeof head);
    *v = (struct store_record){
        .status = head.status,
        .requested_wall_ns = head.requested_wall_ns,
        .received_wall_ns = head.received_wall_ns,
        .body_bytes = head.body_bytes,
        .body_file = head.body_file,
        .invalidated = (head.flags & FLAG_INVALIDATED) != 0,
        .had_credential = (head.flags & FLAG_HAD_CREDENTIAL) != 0,
        .masked = (head.flags & FLAG_MASKED) != 0,
        .id = head.id,
    };
    v->full_key = (struct slice){ at, head.full_key_bytes };
    v->selection = (struct slice){ at += head.full_key_bytes, head.selection_bytes };
    v->upstream = (struct slice){ at += head.selection_bytes, head.upstream_bytes };
    v->encoded_fields = (struct slice){ at += head.upstream_bytes, head.fields_bytes };
    v->proof.sum = head.body_sum;
    if ((head.flags & FLAG_PROOF) != 0 && head.body_file != 0)
        memcpy(&v->proof.mark, at + head.fields_bytes, sizeof v->proof.mark);
    if (head.body_file == 0)
        v->body = (struct slice){ at + head.fields_bytes, (size_t)head.body_bytes };
    memcpy(v->hash, key.ptr, STORE_HASH_BYTES);
    memcpy(v->variant, key.ptr + STORE_HASH_BYTES, STORE_HASH_BYTES);
    memcpy(out->tag, head.tag, sizeof out->tag);
}

bool record_decode(struct slice key, struct slice value, struct record *out)
{
    struct record_head head;
    uint64_t           before_body, body;

    if (key.len != RECORD_KEY_BYTES || value.len < sizeof head)
        return false;
    memcpy(&head, value.ptr, sizeof head);
    before_body = bytes_before_body(&head);
    body = head.body_file == 0 ? (uint64_t)head.body_bytes : 0;
    if (head.body_bytes < 0 || before_body > value.len || value.len - before_body != body)
        return false;
    if (head.sum != head_sum(key.ptr, value.ptr, before_body))
        return false;
    record_read(key, value, out);
    return true;
}

bool store_inline_is_right(const struct store_record *r)
{
    return r->body_file != 0 || XXH3_64bits(r->body.ptr, r->body.len) == r->proof.sum;
}

bool record_body_is_right(const struct record *r)
{
    return store_inline_is_right(&r->view);
}
