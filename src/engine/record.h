/*
 * What there is to say of one finished request: a plain value, made once as it ends, from which
 * the access log's line, the journal's fields, and what `weirctl log` and `top` show are made.
 *
 * Heads only, and no credential: the target is masked as the access log's is.  Text is borrowed; whoever keeps a
 * record copies it (record_pack()).
 */
#ifndef WEIR_ENGINE_RECORD_H
#define WEIR_ENGINE_RECORD_H

#include "base/slice.h"
#include "peer/peer.h"
#include "upstream/fetch.h"

struct request_record { /* texts: ptr NULL where there is none */
    int64_t      id;
    int64_t      started_wall_ns;
    int64_t      took_ns;  /* from the head to the answer's last byte */
    struct slice peer;     /* "127.0.0.1:50814", "unix" */
    struct slice client;   /* what it calls itself, else "uid=1000 pid=77" */
    int64_t      uid, pid; /* of the client; -1: not known */
    struct slice method;
    struct slice upstream; /* its name */
    struct slice target;   /* as the client wrote it, masked */
    int64_t      version_minor;
    struct slice referer, agent; /* the client's fields, the first without its query */
    struct slice rule;           /* its label */
    int64_t      status;
    int64_t      sent_bytes, received_bytes; /* bodies: to the client, from the client */
    struct slice cache;                      /* "hit" "stale" "revalidated" "miss" "bypass" "error" "own" "purge" ... */
    struct slice forward;                    /* Cache-Status fwd= token: why it went upstream */
    struct slice detail;                     /* Cache-Status detail */
    struct slice error;                      /* name of the problem that Weir answered with (http/problem.def) */
    bool         collapsed;                  /* it shared an upstream request that another began, and that is: */
    int64_t      shared_with;                /* its id; 0: none */
    int64_t      batch;                      /* id of the request that it is an item of; 0: of none */
    int64_t      dry;                        /* 1: a dry run: nothing of it was sent; 0 */
    bool         stored;
    bool         whole; /* the answer went out to its end */
    /* -- of what went upstream -- */
    int64_t               attempt_count; /* may exceed ATTEMPTS_KEPT */
    const struct attempt *attempts;      /* the first ATTEMPTS_KEPT; NULL: none */
    int64_t               predicted_ns;  /* the wait, as it was foreseen when it came */
    int64_t               queued_ns;     /* all waits */
    int64_t               upstream_ns;   /* from the first sending to the head */
};

/* Who the client is as the kernel tells: `label` (NULL, "": nothing) where it has not named itself.  Borrows it. */
void record_name_client(struct request_record *, const struct peer *, const char *label);

/* -- its fields, for whatever shows or asks for them by name -- */
enum record_type {
    RECORD_SLICE,  /* struct slice */
    RECORD_NUMBER, /* int64_t */
    RECORD_SPAN,   /* int64_t ns, shown in milliseconds */
    RECORD_FLAG,   /* bool */
    RECORD_TIME,   /* int64_t ns since 1970 */
    RECORD_TRIES   /* the attempts */
};

struct record_field {
    const char      *name;   /* in JSON, logfmt and filters */
    const char      *native; /* in the journal; NULL: not there */
    enum record_type type;
    size_t           offset;
};
enum { RECORD_FIELDS = 28 };
extern const struct record_field record_fields[RECORD_FIELDS];

/* Is there anything to say of it? */
bool record_has(const struct request_record *, const struct record_field *);

static inline struct slice record_slice(const struct request_record *r, const struct record_field *f)
{
    return *(const struct slice *)((const char *)r + f->offset);
}
static inline int64_t record_number(const struct request_record *r, const struct record_field *f)
{
    return *(const int64_t *)((const char *)r + f->offset);
}
static inline bool record_flag(const struct request_record *r, const struct record_field *f)
{
    return *(const bool *)((const char *)r + f->offset);
}

/* How many of its attempts can be shown. */
static inline unsigned record_attempts_kept(const struct request_record *r)
{
    return r->attempts == NULL ? 0 : r->attempt_count < ATTEMPTS_KEPT ? (unsigned)r->attempt_count : ATTEMPTS_KEPT;
}

/* Why attempt `i` was made: what the one before it came to; of the first one, why it went upstream. */
struct slice record_cause(const struct request_record *, unsigned i, char out[ATTEMPT_TEXT_BYTES]);

/* -- as bytes that can be kept; longer texts are cut -- */
enum { RECORD_TEXT_MOST = 512, RECORD_TARGET_MOST = 4096 };
/* How many record_pack() writes: a multiple of 8. */
size_t record_packed_bytes(const struct request_record *);
enum { RECORD_PACKED_MOST = 12 * 1024 }; /* whatever is in it */
/* The same; `out` is aligned for any type. */
size_t record_pack(const struct request_record *, void *out);
/* The way back, in place: texts borrow of `packed`. */
const struct request_record *record_unpack(void *packed);

#endif
