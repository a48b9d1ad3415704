/* weirctl explain in its parts: explain.c reads the command line and shows an answer, explain_curl.c the request as a
 * command for curl, explain_config.c another configuration, explain_story.c what was done. */
#ifndef WEIR_CTL_EXPLAIN_WISH_H
#define WEIR_CTL_EXPLAIN_WISH_H

#include "ctl/ctl.h"

struct explain_wish { /* what is asked */
    json_t     *question;
    const char *body, *config, *id; /* NULL: none */
    bool        curl;
};

void explain_wish_print(const json_t *answer);
/* What the configuration at e->config makes of it, with the facts that the running one gave; NULL: said why not. */
json_t *explain_wish_judge(const struct explain_wish *, const json_t *running);
/* Names of what is not the same. */
json_t *explain_wish_differences(const json_t *running, const json_t *other);
/* What was done with a request; the exit status. */
int explain_wish_story(const struct ctl *, const char *id);
/* The exit status: 1 where nothing would be sent. */
int explain_wish_curl(const struct explain_wish *, const json_t *answer);

#endif
