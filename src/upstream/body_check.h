/*
 * What `validate = "json"` asks of an answer: which answers it is for, and
 * whether a body is what its type says, read piece by piece without its coding.
 * Pure.
 */
#ifndef WEIR_UPSTREAM_BODY_CHECK_H
#define WEIR_UPSTREAM_BODY_CHECK_H

#include "http/message.h"

struct body_check;

/*
 * NULL where the answer is not judged: it is no success, has no body of its own or
 * only a part (204, 205, 206), its type is not JSON (image, CSV, lines of JSON, none
 * named), or its coding cannot be read here.
 */
struct body_check *body_check_open(const struct http_response *head);
void               body_check_close(struct body_check *); /* NULL is fine */

/* False: it cannot become sound any more; further calls say the same. */
bool body_check_feed(struct body_check *, const char *bytes, size_t count);
/* The body has ended: is it sound? */
bool body_check_end(const struct body_check *);

#endif
