/* A check of upstreams that is under way, and what is said of one. */
#ifndef WEIR_ADMIN_CHECKING_H
#define WEIR_ADMIN_CHECKING_H

#include "admin/internal.h"
#include "upstream/probe.h"

struct checking {
    struct admin_call            *call;
    const char                   *only; /* of that name; NULL: all */
    unsigned                      next, checked, failed;
    bool                          is_busy;
    const struct config_upstream *up;
    enum upstream_mode            mode; /* of `up`: under some nothing is asked */
    struct upstream_probe         probe;
    struct engine                *engine;
    struct exchange_input         asker, asked;
    struct exchange              *exchange; /* under way; NULL: none */
    unsigned                      status;   /* of the answer; 0: nothing was asked */
    bool                          is_own;   /* it is Weir's */
    struct slice                  problem;  /* and says that */
    bool                          has_date;
    int64_t                       ahead_s; /* the API's clock */
    struct arena                  arena;
};

/* The caller's, both. */
json_t *checking_url(const struct config_upstream *);
json_t *checking_line(const struct checking *);

#endif
