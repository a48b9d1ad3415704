/*
 * All of a snapshot as one file.
 */
#include "snapshot/writer.h"

#include <stdlib.h>

enum { BODY_MOST_BYTES = 1024 * 1024 * 1024 };

static bool body_of(struct snapshot_reader *s, const struct snapshot_body *b, struct arena *a, struct slice *out,
                    struct fault *why)
{
    *out = SLICE("");
    return b->name.ptr == NULL || snapshot_body_all(s, b, BODY_MOST_BYTES, a, out, why);
}

int snapshot_copy(struct snapshot_reader *s, int out_fd, struct fault *why)
{
    struct journal j = { .fd = out_fd };
    char          *line = fold_first_line(&s->all);
    int            result = journal_add_terms(&j, slice_of(line), why);

    free(line);
    for (size_t i = 0; i < s->all.count && result == 0; i++) {
        struct snapshot_exchange x;
        struct arena             a = { 0 };
        struct slice             sent, came;

        result = -1;
        if (snapshot_get(s, i, &x, &a, why) && body_of(s, &x.request_body, &a, &sent, why) &&
            body_of(s, &x.body, &a, &came, why))
            result = journal_add(&j, &x, sent, came, why);
        arena_free(&a);
    }
    return result;
}
