/*
 * One request to Weir's data port whose content, if it has any, is written as it is made, and an answer that is read as
 * it comes: HTTP/1.1 over TCP or a unix socket, for what needs no rights (weirctl batch, jobs).
 */
#ifndef WEIR_CTL_EXCHANGE_H
#define WEIR_CTL_EXCHANGE_H

#include "ctl/ctl.h"

#include "base/arena.h"

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

enum { EXCHANGE_PIECE_BYTES = 64 * 1024 };

/* WEIR_URL, else the address that the daemon tells. In the arena; NULL: a line on standard error has said why. */
const char *exchange_address(const struct ctl *, struct arena *);
/* A request without content, and the answer's head. `fields`: lines, each with its end. False: there is none, and a
 * line on standard error has said so, but for `quiet`. */
bool exchange_ask(const char *address, const char *method, const char *target, const char *fields, bool quiet,
                  struct exchange_with *);
/* Of the answer's content; 0: no more, `has_ended` says whether that was all. */
size_t exchange_read_some(struct exchange_with *, char *bytes, size_t most);
/* All of it, to be freed; NULL: it broke off. */
char *exchange_read_all(struct exchange_with *, size_t *bytes);
/* What a refusal says, for people. */
void exchange_print_problem(struct exchange_with *);

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
