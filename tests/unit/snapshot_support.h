/*
 * A folder of a test's own with a snapshot in it, and few words to record and to ask with.
 */
#ifndef WEIR_TEST_SNAPSHOT_SUPPORT_H
#define WEIR_TEST_SNAPSHOT_SUPPORT_H

#include "snapshot/snapshot.h"

struct here {
    char        *path;
    int          fd;
    struct arena arena;
    struct fault why;
};

struct simple { /* an exchange in few words */
    const char *method, *url, *sent, *answer;
    int64_t     time_ms;
};

/* For cmocka: *state is a struct here. */
int set_up(void **state);
int tear_down(void **state);
/* "Name: value" each, to NULL. */
struct http_fields fields(struct arena *a, const char *const *lines);
enum snapshot_kept record(struct here *h, struct snapshot_writer *w, const struct simple *s, struct http_fields request,
                          struct http_fields response);
struct snapshot_writer *writer(struct here *h, const struct snapshot_options *o);
struct snapshot_reader *reader(struct here *h, const struct snapshot_options *o);
void                    end_writer(struct here *h, struct snapshot_writer *w);
void                    record_simple(struct here *h, struct snapshot_writer *w, const struct simple *s);
const char *ask_with(struct here *h, struct snapshot_reader *s, const char *method, const char *url, const char *body,
                     struct http_fields f);
const char *ask(struct here *h, struct snapshot_reader *s, const char *method, const char *url, const char *body);
char       *whole_file(struct here *h, const char *name);
unsigned    files_in(struct here *h, const char *name);

#define FIELDS(h, ...) fields(&(h)->arena, (const char *const[]){ __VA_ARGS__, NULL })

#endif
