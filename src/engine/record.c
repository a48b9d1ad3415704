/*
 * A record's fields by name, and records as bytes: the struct, its attempts, then its texts one after the other.
 */
#include "engine/record.h"

#include <stddef.h>

#define SPAN_FIELD(name, native, member) \
    { \
        name, native, RECORD_SPAN, offsetof(struct request_record, member) \
    }
#define SLICE_FIELD(name, native, member) \
    { \
        name, native, RECORD_SLICE, offsetof(struct request_record, member) \
    }
#define NUMBER_FIELD(name, native, member) \
    { \
        name, native, RECORD_NUMBER, offsetof(struct request_record, member) \
    }
#define FLAG_FIELD(name, native, member) \
    { \
        name, native, RECORD_FLAG, offsetof(struct request_record, member) \
    }

void record_name_client(struct request_record *r, const struct peer *who, const char *label)
{
    if (r->client.ptr == NULL && label != NULL && label[0] != '\0')
        r->client = slice_of(label);
    if (who == NULL)
        return;
    r->uid = who->has_uid ? (int64_t)who->uid : -1;
    r->pid = who->pid > 0 ? (int64_t)who->pid : -1;
}

/* As the lines have them, in order. */
// clang-format off
const struct record_field record_fields[RECORD_FIELDS] = {
    { "time", NULL, RECORD_TIME, offsetof(struct request_record, started_wall_ns) },
    NUMBER_FIELD("id",             "WEIR_ID",             id),
    SLICE_FIELD( "peer",           "WEIR_PEER",           peer),
    SLICE_FIELD( "client",         "WEIR_CLIENT",         client),
    NUMBER_FIELD("uid",            "WEIR_CLIENT_UID",     uid),
    NUMBER_FIELD("pid",            "WEIR_CLIENT_PID",     pid),
    SLICE_FIELD( "method",         "WEIR_METHOD",         method),
    SLICE_FIELD( "upstream",       "WEIR_UPSTREAM",       upstream),
    SLICE_FIELD( "target",         "WEIR_TARGET",         target),
    SLICE_FIELD( "rule",           "WEIR_RULE",           rule),
    NUMBER_FIELD("status",         "WEIR_STATUS",         status),
    NUMBER_FIELD("bytes",          "WEIR_BYTES",          sent_bytes),
    NUMBER_FIELD("received_bytes", "WEIR_RECEIVED_BYTES", received_bytes),
    SLICE_FIELD( "cache",          "WEIR_CACHE",          cache),
    SLICE_FIELD( "fwd",            "WEIR_FWD",            forward),
    SLICE_FIELD( "detail",         "WEIR_DETAIL",         detail),
    SLICE_FIELD( "error",          "WEIR_ERROR",          error),
    FLAG_FIELD(  "collapsed",      "WEIR_COLLAPSED",      collapsed),
    NUMBER_FIELD("shared_with",    "WEIR_SHARED_WITH",    shared_with),
    NUMBER_FIELD("batch",          "WEIR_BATCH",          batch),
    NUMBER_FIELD("dry",            "WEIR_DRY",            dry),
    FLAG_FIELD(  "stored",         "WEIR_STORED",         stored),
    FLAG_FIELD(  "whole",          "WEIR_WHOLE",          whole),
    { "attempts", "WEIR_ATTEMPTS", RECORD_TRIES, offsetof(struct request_record, attempt_count) },
    SPAN_FIELD(  "predicted_ms",   "WEIR_PREDICTED_MS",   predicted_ns),
    SPAN_FIELD(  "queue_ms",       "WEIR_QUEUE_MS",       queued_ns),
    SPAN_FIELD(  "upstream_ms",    "WEIR_UPSTREAM_MS",    upstream_ns),
    SPAN_FIELD(  "took_ms",        "WEIR_TOOK_MS",        took_ns),
};
// clang-format on

static bool is(const struct record_field *f, size_t offset)
{
    return f->offset == offset;
}
#define IS(f, member) is((f), offsetof(struct request_record, member))

bool record_has(const struct request_record *r, const struct record_field *f)
{
    if (f->type == RECORD_SLICE)
        return record_slice(r, f).len > 0 || IS(f, method) || IS(f, target);
    if (IS(f, uid) || IS(f, pid))
        return record_number(r, f) >= 0;
    if (IS(f, shared_with))
        return r->shared_with != 0;
    if (IS(f, batch))
        return r->batch != 0;
    if (IS(f, dry))
        return r->dry != 0;
    if (IS(f, predicted_ns))
        return r->forward.ptr != NULL;
    return true;
}

struct slice record_cause(const struct request_record *r, unsigned i, char out[ATTEMPT_TEXT_BYTES])
{
    if (i == 0)
        return r->forward.ptr != NULL ? r->forward : SLICE("none");
    attempt_text(&r->attempts[i - 1], out);
    return slice_of(out);
}

static size_t attempts_bytes(const struct request_record *r)
{
    return record_attempts_kept(r) * sizeof r->attempts[0];
}

/* Every text of the struct, also those that have no name. */
static const size_t texts[] = {
    offsetof(struct request_record, peer),   offsetof(struct request_record, client),
    offsetof(struct request_record, method), offsetof(struct request_record, upstream),
    offsetof(struct request_record, target), offsetof(struct request_record, referer),
    offsetof(struct request_record, agent),  offsetof(struct request_record, rule),
    offsetof(struct request_record, cache),  offsetof(struct request_record, forward),
    offsetof(struct request_record, detail), offsetof(struct request_record, error),
};
enum { TEXTS = sizeof texts / sizeof texts[0] };

static inline struct slice text_of(const struct request_record *r, int i)
{
    size_t most = texts[i] == offsetof(struct request_record, target) ? RECORD_TARGET_MOST : RECORD_TEXT_MOST;

    struct slice text = *(const struct slice *)((const char *)r + texts[i]);

    text.len = text.len < most ? text.len : most;
    return text;
}

static inline void set_text(struct request_record *r, int i, const char *at, size_t bytes)
{
    *(struct slice *)((char *)r + texts[i]) = (struct slice){ at, bytes };
}

size_t record_packed_bytes(const struct request_record *r)
{
    size_t bytes = sizeof *r + attempts_bytes(r);

    for (int i = 0; i < TEXTS; i++)
        bytes += text_of(r, i).len;
    return (bytes + 7) & ~(size_t)7;
}

size_t record_pack(const struct request_record *r, void *out)
{
    struct request_record *copy = out;
    char                  *end = (char *)(copy + 1);

    *copy = *r;
    if (attempts_bytes(r) > 0)
        memcpy(end, r->attempts, attempts_bytes(r));
    end += attempts_bytes(r);
    for (int i = 0; i < TEXTS; i++) {
        struct slice text = text_of(r, i);

        if (text.len > 0)
            memcpy(end, text.ptr, text.len);
        set_text(copy, i, text.ptr, text.len);
        end += text.len;
    }
    return ((size_t)(end - (char *)out) + 7) & ~(size_t)7;
}

_Static_assert(sizeof(struct request_record) + ATTEMPTS_KEPT * sizeof(struct attempt) + RECORD_TARGET_MOST +
                       (TEXTS - 1) * RECORD_TEXT_MOST + 8 <=
                   RECORD_PACKED_MOST,
               "a record fits, whatever is in it");

const struct request_record *record_unpack(void *packed)
{
    struct request_record *r = packed;
    char                  *end = (char *)(r + 1) + attempts_bytes(r);

    if (r->attempts != NULL)
        r->attempts = (const struct attempt *)(r + 1);
    for (int i = 0; i < TEXTS; i++) {
        struct slice text = text_of(r, i);

        set_text(r, i, text.ptr != NULL ? end : NULL, text.len);
        end += text.len;
    }
    return r;
}
