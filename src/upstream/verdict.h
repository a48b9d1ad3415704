/*
 * What a body says that its status does not: that the API refuses (retry.refused), that asking again is no use
 * (retry.never), that a stream of events is whole (complete).  Holds nothing of the body.  Upstream thread.
 */
#ifndef WEIR_UPSTREAM_VERDICT_H
#define WEIR_UPSTREAM_VERDICT_H

#include "budget/options.h"
#include "http/message.h"

struct body_verdict;

/* NULL: the body of this answer can say nothing of the kind.  The options are borrowed. */
struct body_verdict *verdict_open(const struct retry_options *, const char *complete, const struct http_response *head);
void                 verdict_close(struct body_verdict *); /* NULL is fine, here and below: it says nothing */

void verdict_feed(struct body_verdict *, const char *bytes, size_t count);
void verdict_end(struct body_verdict *); /* the body was whole */

/* May it say, once it is read, whether the request is to be sent again?  `is_listed`: its status says so. */
bool verdict_may_decide(const struct body_verdict *, bool is_listed);
bool verdict_is_never(const struct body_verdict *);
bool verdict_is_refused(const struct body_verdict *);
/* The answer is no success, whatever its status. */
bool verdict_is_failure(const struct body_verdict *);
bool verdict_is_complete(const struct body_verdict *);

#endif
