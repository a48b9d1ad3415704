/*
 * One request to Weir's data port whose content is written as it is made, and an answer that is read line by line:
 * HTTP/1.1 over TCP or a unix socket, for what needs no rights (weirctl batch).
 */
#ifndef WEIR_CTL_EXCHANGE_H
#define WEIR_CTL_EXCHANGE_H

#include "ctl/ctl.h"

struct exchange_with { /* all zero but fd -1: none */
    int      fd;
    FILE    *in;
    unsigned status;
    /* Of the answer's content: */
    bool    is_chunked, has_ended;
    int64_t left; /* of the chunk, or of the content; -1: until the connection ends */
    bool    within;
    char   *line;
    size_t  capacity;
};

/* To WEIR_URL, else to the address that the daemon tells. `target`: path and query.  False: a line on standard error
 * has said why. */
bool exchange_open_post(const struct ctl *, const char *target, const char *content_type, struct exchange_with *);
/* False: the other side takes no more; its answer says why. */
bool exchange_send(struct exchange_with *, const char *bytes, size_t count);
/* The content has ended: reads the answer's head.  False: none came (errno EINTR: a signal). */
bool exchange_read_head(struct exchange_with *);
/* The next line without its end, until the next call.  NULL: there is none; `has_ended` says whether that was all. */
const char *exchange_read_line(struct exchange_with *, size_t *bytes);
void        exchange_end(struct exchange_with *);

#endif
