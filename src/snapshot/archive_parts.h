/* What the files of the archives' formats share.  For this room alone. */
#ifndef WEIR_SNAPSHOT_ARCHIVE_PARTS_H
#define WEIR_SNAPSHOT_ARCHIVE_PARTS_H

#include "snapshot/archive.h"

struct archive_writer {
    const struct archive_format *format;
    FILE                        *out;
    int64_t                      created_ms;
    uint64_t                     count;
};

struct archive_format {
    void (*begin)(struct archive_writer *);
    bool (*add)(struct archive_writer *, const struct archive_item *);
    void (*end)(struct archive_writer *);
};
extern const struct archive_format archive_har, archive_warc;

#endif
