/*
 * Whether a request goes out although the API has answered 401 to its credential: budget/denials.h has the rules.
 * Signed requests have none that could be held (anybody can write down an identity), nor has a cookie alone: by the
 * same one its session logs in.  Upstream thread.
 */
#ifndef WEIR_UPSTREAM_DENYING_H
#define WEIR_UPSTREAM_DENYING_H

#include "upstream/fetch.h"

struct failure;
struct site;
struct turn;

/* 0: it may go. */
int64_t  denying_wait_ns(const struct site *, const struct fetch *, int64_t now_ns);
void     denying_send(struct site *, const struct fetch *, int64_t now_ns); /* it goes */
void     denying_hear(struct turn *, const struct http_response *head);
unsigned denying_forget(struct site *); /* how many were held */

/* What who is held is told. */
extern const char denying_text[];
void              denying_say(const struct site *, struct failure *);

#endif
