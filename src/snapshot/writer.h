/*
 * What a writer's files share: the folder, its own journal, what it has learned, and bodies on their way to a file.
 * For this room alone.
 */
#ifndef WEIR_SNAPSHOT_WRITER_H
#define WEIR_SNAPSHOT_WRITER_H

#include "snapshot/internal.h"

enum { WRITER_ID_HEX = 16 };

struct writer_line { /* of the own journal */
    struct slice text;
    unsigned     known; /* so many secrets it has been searched for */
};

struct snapshot_writer {
    struct snapshot_place *place;
    int                    folder; /* the place's */
    int                    bodies;
    struct redaction       redaction; /* of the snapshot */
    struct secrets_known  *secrets;
    char                   id[WRITER_ID_HEX + 1];
    char                   journal[64];
    int                    journal_fd;
    off_t                  journal_bytes;
    bool                   journal_broken; /* it ends with a part of a line */
    uint64_t               files;          /* names given to files that are being written */
    size_t                 written;
    struct arena           arena; /* of the lines */
    struct writer_line    *lines;
    size_t                 line_count, line_room;
};

/* -- spooled.c: a body as it comes -- */

struct spooled_body { /* all zero: empty */
    char    *bytes;
    size_t   used, room;
    int      fd_plus_1; /* of a file without a name; 0: all is in memory */
    uint64_t total;
    int      error; /* errno of the first thing that failed */
    void    *mapped;
};
void spooled_body_add(struct spooled_body *, struct snapshot_writer *, const void *bytes, size_t count);
/* All of it in one piece, until it is freed; false: errno. */
bool spooled_body_whole(struct spooled_body *, struct slice *out);
void spooled_body_free(struct spooled_body *);
/* Into bodies/, unless it is there.  -1 and *why. */
int spooled_body_keep(struct snapshot_writer *, struct slice bytes, struct slice name, struct fault *why);

/* -- sort.c -- */

/* snapshot.jsonl from what it holds, the writer's own journal and those whose writers are gone; the folder is locked.
 * All of these are searched for what the writer has learned since.  `taken_out` gets how many
 * exchanges were, and *why the first of them. */
int sort_folder(struct snapshot_writer *, size_t *taken_out, struct fault *why);
/* A snapshot.jsonl of these lines, in the place of the one that is there. */
int sort_write_index(struct snapshot_writer *, const struct snapshot_lines *, struct fault *why);

#endif
