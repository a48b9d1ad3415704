/*
 * What the files of this room share.  No other room includes this.
 *
 * Files, from the top: reader.c, find.c, nearest.c, bodies.c (looking), writer.c, recording.c (keeping), fold.c and
 * sift.c (what was kept becomes one file, and is searched before), pack.c (which becomes a zip), copy.c (a journal);
 * under them gather.c (the lines of a place), place.c (a folder, a zip or a journal), journal.c (exchanges as they are
 * kept first), line.c and scan.c (a line as text), redact.c and redact_body.c (what is masked, in both ways),
 * secrets.c (what must stand nowhere).
 */
#ifndef WEIR_SNAPSHOT_INTERNAL_H
#define WEIR_SNAPSHOT_INTERNAL_H

#include "base/ref.h"
#include "base/table.h"
#include "snapshot/snapshot.h"

#include <jansson.h>

enum {
    HASH_HEX = 64,
    LINE_MOST_BYTES = 16 * 1024 * 1024,    /* of one exchange */
    INDEX_MOST_BYTES = 1024 * 1024 * 1024, /* of snapshot.jsonl */
    SECRET_LEAST_BYTES = 8,                /* a shorter one stands in words by chance */
};

#define INDEX_NAME          "snapshot.jsonl"
#define JOURNAL_START       "recording-" /* and ".journal": what a writer has kept and nobody has sorted yet */
#define JOURNAL_END_OF_NAME ".journal"
#define BODIES_NAME         "bodies"

/* -- redact.c -- */

struct redaction {
    struct arena arena;
    char       **fields;   /* left out of requests, lower case; lists end with NULL */
    char       **params;   /* of URLs and forms: their values become {name} */
    char       **headers;  /* of requests and answers: their values become {name} */
    char       **pointers; /* of JSON bodies */
    char       **match;
};
/* What the options say; free with redaction_free(). */
int  redaction_open(struct redaction *, const struct snapshot_options *, struct fault *why);
void redaction_free(struct redaction *);
/* What line 1 of a snapshot says: its `match` holds, and what it masks is masked. */
int     redaction_read(struct redaction *, const json_t *line, struct fault *why);
json_t *redaction_line(const struct redaction *); /* the members "match" and "redacted" */
/* What the other one masks is masked as well. */
void redaction_add(struct redaction *, const struct redaction *other);
bool redaction_matches(const struct redaction *, const char *what);

struct secrets_known;
/* Learns the credentials of a request.  False: it has none. */
bool redact_learn(const struct redaction *, struct secrets_known *, struct slice url, const struct http_fields *);
/* One alone, as a field has it: with its scheme and without. */
void redact_learn_value(struct secrets_known *, struct slice value, struct arena *);
/* ... and of an answer: cookies. */
void redact_learn_cookies(struct secrets_known *, const struct http_fields *answer);
/* `own`: the request's own credentials, masked where they stand again. */
struct slice redact_url(const struct redaction *, const struct secrets_known *own, struct slice url, struct arena *);
struct http_fields redact_request(const struct redaction *, const struct secrets_known *own, const struct http_fields *,
                                  struct arena *);
/* "a=1&key=31d4" with {name} in the place of what is masked. */
struct slice       redact_query(const struct redaction *, struct slice query, struct arena *);
struct http_fields redact_answer(const struct redaction *, const struct secrets_known *, const struct http_fields *,
                                 struct arena *);

/* "NAME=" and a credential in a text, as in the link of the next page: {NAME}. */
struct slice redact_links(const struct redaction *, const struct secrets_known *, struct slice text, struct arena *);

/* -- redact_body.c -- */

struct redacted_body {
    struct slice bytes; /* as they are kept: coded as the fields say */
    struct slice plain; /* without the coding; the same where there is none, or none that is read here */
};
/* A body without what the redaction masks in it; `f`, its fields, is made to fit.  What is masked in JSON is learned
 * by `known`, which may be NULL; in an answer's links nothing of it is left.  A request's depends on nothing else. */
struct redacted_body redact_body(const struct redaction *, struct secrets_known *known, bool is_request,
                                 struct http_fields *f, struct slice body, struct arena *);
/* Without its coding; false: it has none that is read here, or is broken. */
bool redact_decode(const struct http_fields *f, struct slice body, struct arena *, struct slice *plain);

/* -- secrets.c -- */

struct secrets_known *secrets_known_open(void);
void                  secrets_known_close(struct secrets_known *);
/* False: it is too short, or known. */
bool     secrets_known_add(struct secrets_known *, struct slice value);
unsigned secrets_known_count(const struct secrets_known *);
/* More bytes than the longest way to write one of them has. */
size_t secrets_known_longest(const struct secrets_known *);
/* Does one of them from number `from` on stand in it, plain, percent-encoded, as JSON escapes it, or in base64?
 * *start and *end get where. */
bool secrets_known_find(const struct secrets_known *, unsigned from, struct slice text, size_t at, size_t *start,
                        size_t *end);
/* "***" in the place of each; itself where there is none. */
struct slice secrets_known_mask(const struct secrets_known *, struct slice text, struct arena *);

/* -- line.c -- */

json_t *line_make(const struct snapshot_exchange *);
/* "2030-01-31T12:00:00.000Z" */
json_t *line_time(int64_t ms);
/* What it says lives as long as the arena. */
int line_read(struct slice text, struct snapshot_exchange *, struct arena *, struct fault *why);
/* As a line: with its end, malloc'd. */
char *line_text(const json_t *, size_t *bytes);
/* The name of a body of this type; ptr NULL where it is empty. */
struct slice line_name_body(struct slice bytes, struct slice content_type, struct arena *);
/* The same from its hash. */
struct slice line_body_name(const char hash[HASH_HEX + 1], struct slice content_type, struct arena *);
bool         line_body_name_is_valid(struct slice name);

/* -- place.c -- */

struct snapshot_place;
struct snapshot_place *snapshot_place_open(int fd, struct fault *why);
void                   snapshot_place_close(struct snapshot_place *);
/* A file of it as a whole, malloc'd; NULL and *why; *why stays empty where there is none. */
char *snapshot_place_read(struct snapshot_place *, const char *name, size_t most, size_t *bytes, struct fault *why);
/* One to read from, -1 and *why. */
int snapshot_place_open_file(struct snapshot_place *, const char *name, uint64_t *bytes, struct fault *why);
/* Of the folder, -1 for a zip or a journal. */
int snapshot_place_folder(const struct snapshot_place *);
/* A journal that is all of the snapshot, or -1. */
int snapshot_place_journal(const struct snapshot_place *);

/* -- gather.c -- */

struct gathered_line {
    struct table_node         node;                    /* under its key: find.c */
    struct slice              text;                    /* without its end */
    struct slice              method, url, body, time; /* body: the request's, in bodies/ */
    struct slice              came;                    /* of a journal's: the answer's */
    uint64_t                  seq;
    uint64_t                  order; /* as it was read: the last word where all else is equal */
    bool                      of_journal;
    uint64_t                  served; /* SNAPSHOT_SEQUENCE: how many were, of those that are answered from alike */
    struct snapshot_exchange *read;   /* what it says, once it was wanted: find.c; NULL: it was not */
};
struct snapshot_lines {
    struct arena          arena;
    struct redaction      redaction;
    int64_t               created_ms;
    bool                  is_there; /* there is a snapshot.jsonl */
    struct gathered_line *lines;    /* sorted, their seq counted */
    size_t                count, capacity;
    char                **texts; /* malloc'd */
    size_t                text_count, text_capacity;
    struct table          bodies; /* of journals: where each is */
    int                  *journals;
    size_t                journal_count, journal_capacity;
};
/* What the options say of it; then snapshot.jsonl, where it is there; journals; gather_sort(). */
int gather_open(struct snapshot_lines *, const struct snapshot_options *, struct fault *why);
int gather_read_index(struct snapshot_lines *, struct snapshot_place *, struct fault *why);
/* An open journal, which stays the caller's.  A last exchange that was cut is passed over.  `whole`: it is all of a
 * snapshot, and its terms are line 1. */
int gather_read_journal(struct snapshot_lines *, int fd, const char *name, bool whole, struct fault *why);
/* All that are there, by whoever writes them. */
int gather_read_journals(struct snapshot_lines *, struct snapshot_place *, struct fault *why);
/* The line of an exchange whose bodies have their names; false: it fits into none. */
bool gather_line_of(struct snapshot_lines *, const struct snapshot_exchange *, struct gathered_line *);
void gather_sort(struct snapshot_lines *); /* by URL, method, body and time: then each has its seq */
void gather_free(struct snapshot_lines *);
/* Is it the name of a journal? */
bool gather_is_journal(const char *name);

struct journal_body;
/* A body that stands in a journal; false: in none. */
bool gather_find_body(const struct snapshot_lines *, struct slice name, int *fd, struct journal_body *);
/* The descriptor is held as long as the lines are. */
void gather_add_body(struct snapshot_lines *, struct slice name, int fd, const struct journal_body *);

/* -- reader.c -- */

struct snapshot_reader {
    struct snapshot_place *place;
    struct snapshot_lines  all;
    enum snapshot_order    order;
    struct table           by_key;
    struct table           kept; /* bodies in memory */
    size_t                 kept_bytes;
    int                    taken_plus_1; /* the file of what was taken meanwhile; 0: none */
};
/* -- bodies.c -- */
void bodies_free(struct snapshot_reader *);
/* Keeps one in memory; false: it is too long for that, or there is no room. */
bool bodies_keep(struct snapshot_reader *, struct slice name, struct slice bytes);
/* -- find.c -- */
void     find_index(struct snapshot_reader *);
uint64_t find_key(const struct redaction *, struct slice method, struct slice url, struct slice body);
/* -- nearest.c -- */
void nearest_find(struct snapshot_reader *, struct slice method, struct slice url, struct slice body_name,
                  struct slice body, struct snapshot_nearest *, struct arena *);

#endif
