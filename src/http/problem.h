/*
 * What Weir itself says when it refuses or fails: the one table of problems, and the one writer of their JSON
 * (RFC 9457).  Pure.
 */
#ifndef WEIR_HTTP_PROBLEM_H
#define WEIR_HTTP_PROBLEM_H

#include "base/arena.h"
#include "base/slice.h"

#define PROBLEM_MEDIA_TYPE "application/problem+json"

enum problem_kind {
    PROBLEM_NONE,
#define PROBLEM(id, status, name, title, meaning, remedy) PROBLEM_##id,
#include "http/problem.def"
#undef PROBLEM
    PROBLEM_COUNT
};

#define PROBLEM_TYPE  "tag:weir,2026:" /* and the name: a URI (RFC 4151) that leads nowhere, so never to the API */
#define PROBLEM_PAGES "/.weir/errors/" /* on the data port: what a name means */

struct problem_type {
    unsigned    status;
    const char *name, *title;
    const char *meaning, *remedy; /* sentences: what it means, and what to do next */
};
extern const struct problem_type problem_types[PROBLEM_COUNT]; /* that of PROBLEM_NONE: status 0 */

static inline unsigned problem_status(enum problem_kind kind)
{
    return problem_types[kind].status;
}

enum problem_form {
    PROBLEM_ONE_LINE,
    PROBLEM_INDENTED /* as the admin socket answers */
};

struct problem_text {
    enum problem_kind kind;
    enum problem_form form;
    struct slice      detail;
    const char       *upstream, *limit, *blocked_by; /* NULL: none */
    bool              has_retry_after;
    int64_t           retry_after_ms;
};
/* Its length, up to `room`. A detail that does not fit is cut short; 0: even without one it does not fit. */
size_t problem_write(char *out, size_t room, const struct problem_text *);
/* Of a name; PROBLEM_NONE: there is none. */
enum problem_kind problem_find(struct slice name);
/* What a name means, for people.  SLICE_NONE: there is none of that name. */
struct slice problem_page(struct slice name, struct arena *);
/* Enough for a detail of that length, whatever is in it, where nothing but the detail is said. */
size_t problem_room(size_t detail_bytes);

#endif
