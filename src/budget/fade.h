/*
 * How long what an API said of its limits holds, and what it says meanwhile: a hit that carries the
 * newest word counts its times down, and leaves out what has run out.  Pure; the
 * upstream thread takes fields to pieces, workers put them together.
 */
#ifndef WEIR_BUDGET_FADE_H
#define WEIR_BUDGET_FADE_H

#include "http/limit_name.h"
#include "http/message.h"

struct fade_piece { /* a field, or a member of one that is a list */
    struct slice name;
    struct slice before, after; /* of the number, or all of it */
    int64_t      for_ns;        /* how long it holds, from when it was heard; INT64_MAX: always */
    int64_t      unit_ns;       /* of the number that counts down to that time; 0: there is none */
    bool         joins;         /* the piece before it and this one are one list */
};

enum { FADE_MOST = 64 };

/* The rate-limit fields of this head in pieces, in the arena or borrowed; how many.  Over FADE_MOST: too many to be
 * kept, and not all of them. */
unsigned fade_read(const struct http_response *, const struct limit_owns *, int64_t now_wall_ns, struct arena *,
                   struct fade_piece **out);
/* Adds what is left of them so long after they were heard, texts in the arena.  How long that stays as it is;
 * INT64_MAX: always. */
int64_t fade_write(const struct fade_piece *, unsigned count, int64_t elapsed_ns, struct arena *, struct http_fields *);

#endif
