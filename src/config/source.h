/*
 * A configuration's text with its includes, and what only the text can tell:
 * where a value stands and how it was written.
 *
 * libconfig 1.5 resolves @include against the working directory, says only
 * "syntax error" of a trailing comma, wraps numbers that are too large and
 * gives a text the line of the token after it.  So includes are put in here,
 * the text is scanned before libconfig sees it, and every value carries the
 * place and the literal that the scan found.
 */
#ifndef WEIR_CONFIG_SOURCE_H
#define WEIR_CONFIG_SOURCE_H

#include "config/problems.h"

struct source {
    char                *text; /* NUL-terminated, ends with a newline; in the arena */
    size_t               bytes;
    struct source_place *lines; /* of each line of `text`; in the arena */
    unsigned             line_count;
};

struct node { /* one value, in the order of the text */
    struct source_place place;
    struct slice        literal; /* as written, of a number; else empty */
};

struct nodes {
    struct node *items; /* in the arena */
    unsigned     count;
};

/* False where a file cannot be read (a problem says so).  *rank is counted up. */
bool source_read(struct source *, const char *file, struct arena *, struct problems *, unsigned *rank);
struct source_part { /* that a text includes */
    const char *name, *text;
};
/* The same of a text that is no file; `name` stands for the file in messages.  What it includes are parts, up to one
 * without a name. */
bool source_of_text(struct source *, const char *name, struct slice text, const struct source_part *, struct arena *,
                    struct problems *, unsigned *rank);

/* Past the comment or text in quotes that begins at `at`, which is `at` where none does; SIZE_MAX: it has no end. */
size_t source_past(struct slice, size_t at);
/*
 * Every value of the text in order: a group, list or array before what is in
 * it.  Adds a problem for each slip it can name; false where libconfig would
 * not read on.  A trailing comma is blanked, so that the rest can be checked.
 */
bool source_scan(struct source *, struct nodes *out, struct arena *, struct problems *);

#endif
