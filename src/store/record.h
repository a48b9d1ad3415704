/*
 * How a stored response stands in the database: one value under hash and
 * variant, in the machine's own byte order.
 *
 *   head (fixed size), full key, selection, upstream, fields, labels, inline body
 *
 * The labels are counted among the fields' bytes: they are what is left after the last field, so that neither who wrote
 * a record before there were any nor who reads it and knows of none has to care.
 *
 * Two checksums (XXH3-64): one over everything before the body, mixed with the
 * key so that a record under another's key shows; one over the inline body,
 * which stands in the head.  Of a body file that is the sum of its content, and a mark of the file itself stands
 * where an inline body would.  Pure; any thread.
 */
#ifndef WEIR_STORE_RECORD_H
#define WEIR_STORE_RECORD_H

#include "store/store.h"

enum { RECORD_KEY_BYTES = 2 * STORE_HASH_BYTES };

struct record_key {
    uint8_t bytes[RECORD_KEY_BYTES];
}; /* hash, then variant */

struct record_parts { /* what a record is made from */
    struct record_key         key;
    uint8_t                   tag[STORE_HASH_BYTES];
    uint64_t                  id;
    int64_t                   requested_wall_ns, received_wall_ns;
    unsigned                  status;
    bool                      invalidated, had_credential, masked;
    struct slice              full_key, selection, upstream;
    const struct http_fields *fields;         /* NULL: encoded_fields instead */
    struct slice              encoded_fields; /* with the labels after them */
    struct slice              labels;         /* beside `fields` */
    int64_t                   body_bytes;
    uint64_t                  body_file; /* 0: inline */
    struct body_proof         proof;     /* of the file */
};

struct record { /* what a value says */
    struct store_record view;
    uint8_t             tag[STORE_HASH_BYTES];
};

struct record_key record_key(const uint8_t hash[STORE_HASH_BYTES], const uint8_t variant[STORE_HASH_BYTES]);
struct slice      record_key_slice(const struct record_key *);

/* Bytes of the value; 0 where it cannot be encoded (a name over 64 KiB, a key over 4 GiB). */
size_t record_size(const struct record_parts *);
/* Writes all but an inline body; returns the place where that belongs. */
char *record_begin(const struct record_parts *, void *room);
/* Puts the checksums, when the body is there. */
void record_seal(const struct record_key *, void *room, size_t size);

/* One of those that sort before all others. */
static inline bool record_label_is_of_search(const char *label)
{
    static const char zeros[STORE_LABEL_NAME_BYTES - 1];

    return memcmp(label, zeros, sizeof zeros) == 0;
}

/* Fields as they stand in a record; ptr NULL where they cannot. */
struct slice record_encode_fields(const struct http_fields *, struct arena *);

/* False where it is damaged.  An inline body is not looked at. */
bool record_decode(struct slice key, struct slice value, struct record *out);
/* The same of a value that was found right before, without looking again. */
void record_read(struct slice key, struct slice value, struct record *out);
bool record_body_is_right(const struct record *);

#endif
