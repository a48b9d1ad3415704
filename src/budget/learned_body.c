/*
 * Bodies that tell of a limit which their heads do not.
 */
#include "budget/learned.h"

#include "base/arena.h"
#include "base/clock.h"

bool learned_body_may_tell(const struct http_response *r, const struct limit_owns *owns)
{
    struct learned_hint hints[LEARNED_MAX];
    struct arena        arena = { 0 };
    bool                exhausted = false;

    if ((r->status != 403 && r->status != 429) || learned_is_old(r) || learned_wait(r, 0).wait_ns >= 0)
        return false;
    for (unsigned i = 0, n = learned_read(r, owns, 0, &arena, hints); i < n; i++)
        exhausted = exhausted || (hints[i].unit.len == 0 && hints[i].remaining == 0);
    arena_free(&arena);
    return !exhausted;
}

/* As GitHub's manual has it: "wait for at least one minute before retrying". */
int64_t learned_body_block_ns(struct slice body)
{
    static const struct slice words[] = { SLICE("secondary rate limit"), SLICE("abuse detection mechanism") };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (size_t at = 0; at + words[i].len <= body.len; at++)
            if (slice_eq_nocase(slice_sub(body, at, at + words[i].len), words[i]))
                return 60 * NS_PER_SEC;
    return -1;
}
