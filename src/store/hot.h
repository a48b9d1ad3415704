/*
 * Copies of what a reader finds again and again, side by side in memory of its own.
 *
 * In a large database each record stands on a page of its own, and so does the way there: a look-up of what is hot
 * misses the processor's tables of addresses five times, however few records are hot.  Copies of them stand together,
 * in huge pages where the database is large.  A copy is believed while the store's `snapshot`, another number after
 * each commit, is the one it was made under; else the database is asked and, where the record is the same, it holds on.
 *
 * Only what is alone under its hash, of some KiB at most, and was found twice.  A ring: the
 * oldest is written over.  A reader's own, its thread's.
 */
#ifndef WEIR_STORE_HOT_H
#define WEIR_STORE_HOT_H

#include "store/record.h"

enum {
    HOT_BYTES = 8 * 1024 * 1024, /* of copies; memory is taken as it is used */
    HOT_VALUE_BYTES = 4 * 1024   /* a longer value is not copied */
};
/* In a smaller one everything stands close together: copies spare the look-up, but are no reason for huge pages. */
#define HOT_DATABASE_BYTES (UINT64_C(16) * 1024 * 1024)

struct hot;

struct hot *hot_open(void);          /* NULL: there is no memory for it */
void        hot_close(struct hot *); /* NULL is fine */
/* From now on it takes huge pages. */
void hot_enlarge(struct hot *);
bool hot_is_large(const struct hot *);
/* The key and the value, until the next hot_offer(); false: none that may be believed. */
bool hot_find(const struct hot *, const uint8_t hash[STORE_HASH_BYTES], uint64_t snapshot, struct slice *key,
              struct slice *value);
/* What the database had under that snapshot or a later one, and nothing else under its hash. */
void hot_offer(struct hot *, uint64_t snapshot, struct slice key, struct slice value);

#endif
