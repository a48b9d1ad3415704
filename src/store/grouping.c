/*
 * The wait doubles from group to group while changes keep coming, and is short again after a
 * quiet time.  The short one is some times what a commit takes on this disk.
 */
#include "store/grouping.h"

enum { WAIT_SHARE = 16 };

static int64_t at_most(int64_t ns, int64_t most_ns)
{
    return ns < most_ns ? ns : most_ns;
}

static int64_t prompt_ns(const struct grouping *g)
{
    const int64_t ns = at_most(g->took_ns, GROUPING_PROMPT_NS) * WAIT_SHARE;

    return ns < GROUPING_SHORTEST_NS ? GROUPING_SHORTEST_NS : at_most(ns, GROUPING_PROMPT_NS);
}

void grouping_begin(struct grouping *g, int64_t now_ns)
{
    const int64_t since_ns = now_ns - g->committed_ns;
    const bool    was_quiet = g->committed_ns == 0 || since_ns < 0 || since_ns > GROUPING_QUIET_NS;

    g->wait_ns = was_quiet || g->wait_ns == 0 ? prompt_ns(g) : at_most(g->wait_ns * 2, GROUPING_LONGEST_NS);
    g->begun_ns = now_ns;
}

void grouping_end(struct grouping *g, int64_t took_ns, int64_t now_ns)
{
    g->took_ns = took_ns > 0 ? took_ns : 0;
    g->committed_ns = now_ns;
}

int64_t grouping_left(const struct grouping *g, int64_t now_ns)
{
    const int64_t left_ns = g->begun_ns + g->wait_ns - now_ns;

    return left_ns > 0 && left_ns <= g->wait_ns ? left_ns : 0; /* a clock that was moved makes it due */
}
