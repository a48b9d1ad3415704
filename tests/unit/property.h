/*
 * What tests that try many inputs share: numbers that are the same on every
 * run, texts made of fragments that matter to the parser under test, and
 * copies that end exactly where their memory ends, so that AddressSanitizer
 * and Valgrind see the first byte that is read too many.
 */
#ifndef WEIR_TESTS_UNIT_PROPERTY_H
#define WEIR_TESTS_UNIT_PROPERTY_H

#include "base/slice.h"

struct property {
    uint64_t state;
}; /* any seed but 0 */

uint64_t property_next(struct property *p);
/* 0 to bound - 1. */
size_t property_below(struct property *p, size_t bound);
/* malloc'd to the very length; the caller frees .ptr through property_free(). */
struct slice property_exact(struct slice s);
/* Up to `most` fragments of the list (NULL at its end), now and then with a random byte. */
struct slice property_text(struct property *p, const char *const *fragments, size_t most);
void         property_free(struct slice s);

#endif
