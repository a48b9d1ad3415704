/*
 * An item's answer as it stands in the batch's:
 *     {"id":0,"status":200,"headers":{...},"body":...}
 * with the body's own bytes where they are JSON, else as body_text or body_base64, or what kept it from an answer.
 *
 * A body is gathered first, since nobody can tell before its end whether it is JSON: in memory where it is small, else
 * in a file.  Then the entry is written, a piece at a time.  One thread's.
 */
#ifndef WEIR_JOBS_RESULT_H
#define WEIR_JOBS_RESULT_H

#include "base/arena.h"
#include "http/json_check.h"
#include "http/message.h"
#include "http/problem.h"
#include "http/utf8.h"
#include "store/spool.h"

enum { RESULT_PIECE_BYTES = 12 * 1024 }; /* a multiple of three: base64 of pieces is base64 of the whole */

struct result {          /* zeroed but for fd: result_begin() */
    struct slice  bytes; /* the body, where it is in memory; borrowed */
    int           fd;    /* or a file, which is the entry's; -1: none */
    int64_t       offset;
    struct spool *spool;  /* or what was gathered; the entry's reference */
    int64_t       length; /* of the body */

    struct json_check json;
    struct utf8_check text;
    bool              not_json, begun;
    int64_t           checked; /* of a file's body */

    struct slice head, rest, tail; /* what stands before the body: up to the id, and after it; and after the body */
    int64_t      written;          /* of the body */
    bool         head_written, one_line;
};

void result_begin(struct result *);
void result_end(struct result *); /* gives back what it holds */

/* -- gathering: one of -- */
void result_set_bytes(struct result *, struct slice bytes);
void result_set_file(struct result *, int fd, int64_t offset, int64_t length);
bool result_add(struct result *, struct spool *fresh, const char *bytes, size_t count); /* false: no room for it */
/* Of a file: looks at up to `most` bytes of it.  False: it cannot be read.  *ended: that was all. */
bool result_check_file(struct result *, int64_t most, bool *ended);

/* -- the text around it: one of; after the body is whole -- */
void result_head(struct result *, struct slice id, unsigned status, const struct http_fields *, struct arena *);
/* `problem`: the JSON object that says why there is no answer. */
void result_error(struct result *, struct slice id, unsigned status, struct slice problem, struct arena *);
/* The same for what Weir finds wrong here. */
void result_problem(struct result *, struct slice id, enum problem_kind, struct slice detail, struct arena *);

/* What is told of another item as well: the text of `from` after its id, which stands in `kept`. */
void result_share(struct result *, struct slice id, struct spool *kept, int64_t at, int64_t bytes, struct arena *);

/* -- writing -- */
enum result_state {
    RESULT_DONE,
    RESULT_AHEAD, /* enough for now, or the reader has to catch up first */
    RESULT_BROKEN /* the body, or the spool, cannot be read or written */
};
/* At most `pieces` at a time, else RESULT_AHEAD.  `one_line`: no line ends within it. */
enum result_state result_write(struct result *, struct spool *to, bool one_line, unsigned pieces);
/* All of it but the id, for result_share(). False: it could not be written. */
bool result_keep(struct result *, struct spool *to, bool one_line);

#endif
