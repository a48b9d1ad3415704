/* weirctl explain in its parts: explain.c reads the command line and shows an answer, explain_curl.c the request as a
 * command for curl. */
#ifndef WEIR_CTL_EXPLAIN_WISH_H
#define WEIR_CTL_EXPLAIN_WISH_H

#include "ctl/ctl.h"

struct explain_wish { /* what is asked */
    json_t     *question;
    const char *body; /* NULL: none */
    bool        curl;
};

void explain_wish_print(const json_t *answer);
/* The exit status: 1 where nothing would be sent. */
int explain_wish_curl(const struct explain_wish *, const json_t *answer);

#endif
