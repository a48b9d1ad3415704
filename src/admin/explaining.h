/* One call of /explain: explain.c asks, explaining.c makes its JSON, advice.c what to do about misses. */
#ifndef WEIR_ADMIN_EXPLAINING_H
#define WEIR_ADMIN_EXPLAINING_H

#include "admin/internal.h"

#include "engine/explain.h"

enum { KIN_TOLD = 5 };

struct kin_found {
    struct slice url, whose;
    int64_t      age_ns;
};
struct kin { /* what is stored for others, of the same path: the walk's while it goes */
    bool              was_walked;
    struct store_walk walk;
    int64_t           until_ns, now_wall_ns;
    struct arena      arena;
    struct kin_found  found[KIN_TOLD];
    unsigned          count;
};

struct explaining {
    struct admin_call      *call;
    json_t                 *question;
    struct explain         *explain;
    const struct explained *told;
    struct kin              kin;
};

json_t *explaining_json(const struct explaining *);
/* What would happen, in a line. */
struct slice explaining_would(const struct explained *, struct arena *);
/* What the last misses of the rule differ in, with the line that would help; NULL: there were none. */
json_t *advice_json(const struct explained *, struct arena *);
json_t *advice_place(struct config_place);
json_t *advice_seconds(int64_t ns);

#endif
