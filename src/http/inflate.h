/*
 * Bodies without their content coding (RFC 9110 8.4.1): gzip, also in several members, deflate, also as it is wrongly
 * sent without zlib's frame, Brotli (RFC 7932) and Zstandard (RFC 8878).
 *
 * The caller feeds a piece and takes what comes of it; a small piece that becomes
 * very large is never held.  Pure; one thread at a time.
 */
#ifndef WEIR_HTTP_INFLATE_H
#define WEIR_HTTP_INFLATE_H

#include "http/fields.h"

struct inflater;

/* NULL where a body with these fields has no coding, or one (or several) that is not read: gzip and deflate are. */
struct inflater *inflater_open(const struct http_fields *head);
/* Also "br" and "zstd".  These want up to 16 MiB while they are read: not for who has many at once. */
struct inflater *inflater_open_any(const struct http_fields *head);
/* A body of this coding: "gzip", "x-gzip", "deflate", "br" or "zstd", in any case; NULL for any other. */
struct inflater *inflater_open_coding(struct slice coding);
void             inflater_close(struct inflater *); /* NULL is fine */

/* Only after inflater_take() gave 0.  Borrows the bytes until it gives 0 again. */
void inflater_feed(struct inflater *, const void *bytes, size_t count);
/* Bytes put into the buffer; 0: feed.  False in *sound: the coding is broken, and stays so. */
size_t inflater_take(struct inflater *, void *buffer, size_t room, bool *sound);
/* Nothing was fed, or what was fed ends where the coding does. */
bool inflater_is_whole(const struct inflater *);

#endif
