/*
 * Exchanges in other tools' formats: HAR 1.2, which opens in a browser's tools, and WARC 1.1 (ISO 28500:2017), which
 * opens in an archive's.
 *
 * Both carry bodies byte for byte.  Writers go by a stream; readers hold the file as a whole.  One thread at a time.
 */
#ifndef WEIR_SNAPSHOT_ARCHIVE_H
#define WEIR_SNAPSHOT_ARCHIVE_H

#include "snapshot/snapshot.h"

#include <stdio.h>

struct archive_item {
    struct snapshot_exchange x; /* its bodies have no names */
    struct slice             sent, came;
};

enum archive_kind { ARCHIVE_HAR, ARCHIVE_WARC };

struct archive_writer;
/* The stream stays the caller's.  `created_ms` since 1970-01-01 UTC. */
struct archive_writer *archive_writer_open(enum archive_kind, FILE *, int64_t created_ms);
/* False: it has no place in this format, which is passed over (WARC: an exchange without an answer). */
bool archive_writer_add(struct archive_writer *, const struct archive_item *);
/* False: the stream has failed. */
bool archive_writer_close(struct archive_writer *);

/* Called with each exchange of a file; what it says lives during the call.  False: no more. */
typedef bool (*archive_each)(void *context, const struct archive_item *);
/* What of it can be read: -1 and *why where it is no such file, or is damaged. */
int archive_read_har(struct slice text, archive_each, void *context, struct fault *why);
int archive_read_warc(struct slice text, archive_each, void *context, struct fault *why);

#endif
