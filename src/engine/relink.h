/*
 * The bodies of JSON answers with their links led back through Weir
 * (rewrite_links): a filter between what the upstream sent, plain or gzip, and
 * what the client reads.
 *
 * The caller feeds a piece, takes what came of it, and asks for the next piece
 * when nothing is left; what is held back is never more than the beginning of one
 * string.  One thread at a time.
 */
#ifndef WEIR_ENGINE_RELINK_H
#define WEIR_ENGINE_RELINK_H

#include "engine/links.h"

struct relink;

/* NULL where a body with these fields is nothing to be rewritten: no JSON, a coding but gzip, or no pairs.
 * Copies the pairs. */
struct relink *relink_open(const struct http_fields *head, const struct link_pair *pairs, unsigned count);
void           relink_close(struct relink *); /* NULL is fine */

/* Only after relink_take() gave 0. At most RELINK_PIECE_BYTES. False: the coding is broken. */
enum { RELINK_PIECE_BYTES = 16 * 1024 };
bool relink_feed(struct relink *, const void *bytes, size_t count);
/* What could be said already comes out, as the source pauses. */
bool relink_flush(struct relink *);
/* The source has ended; false where the coding has not. */
bool relink_finish(struct relink *);
/* Bytes taken; 0: feed or finish. False in *sound: the coding is broken. */
size_t relink_take(struct relink *, void *buffer, size_t count, bool *sound);

/* A whole body at once; ptr NULL where its coding is broken. In the arena. */
struct slice relink_whole(struct relink *, struct slice body, struct arena *a);

#endif
