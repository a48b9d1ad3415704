/*
 * A database file looked at page by page, without LMDB, which asserts or
 * faults on a damaged page.  Everything is read with pread() and believed
 * only within the file's bounds, so nothing that a disk may say does harm.
 *
 * The layout is that of LMDB 0.9 on 64 bits.  Any thread; before the file is opened by LMDB.
 */
#ifndef WEIR_DB_PAGES_H
#define WEIR_DB_PAGES_H

#include "base/fault.h"
#include "base/slice.h"

/* True where every page that can be reached is well-formed, in order, and nobody else's: LMDB may have it.  An empty
 * file is sound.  Takes as long as reading the tree, not the large values. */
bool pages_are_sound(int fd, struct fault *why);
/* As the newest commit has them; 0: that cannot be told. */
uint64_t pages_bytes_in_use(int fd);

/* Calls `each` for every row of the table that can still be read.  Both slices end with the call. */
typedef void pages_row(void *context, struct slice key, struct slice value);
void         pages_salvage(int fd, const char *table, pages_row *each, void *context);

#endif
