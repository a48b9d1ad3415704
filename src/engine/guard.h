/*
 * Who may ask at all, and which requests are too ambiguous to pass on
 * (contract section 7).  Pure; any thread.
 */
#ifndef WEIR_ENGINE_GUARD_H
#define WEIR_ENGINE_GUARD_H

#include "config/config.h"
#include "http/message.h"
#include "http/problem.h"

enum { GUARD_HEAD_BYTES = 32 * 1024 };

struct refusal {
    enum problem_kind kind;   /* PROBLEM_NONE: none */
    const char       *detail; /* what to do about it */
};

/* The framing of the head (RFC 9112 3.2, 6.1, 6.3): doubtful ones get 400, a head over GUARD_HEAD_BYTES 431. */
struct refusal guard_framing(const struct http_request *r, size_t head_bytes);
/* A name under which Weir itself is reached: loopback names and addresses, listeners, `allow_hosts`. */
bool guard_is_own_host(const struct config *c, struct slice host);
/* Origin and Sec-Fetch-Site of a page elsewhere are refused with 403 unless `up` (may be NULL) allows the origin.
 * *allowed: that origin; ptr NULL where the request is no other page's.  May be NULL. */
struct refusal guard_origin(const struct config_upstream *up, const struct http_request *r, struct slice host,
                            struct slice *allowed);

/* A request to a TCP port that only programs of this machine and Weir's own page should use, wherever a browser may
 * show other pages: the name must be Weir's own, and where a browser says which page asks, it is the port's own page.
 * Another port of this host is another site ("same-site"), since anybody may serve a page there. */
struct refusal guard_own_page(const struct config *c, const struct http_request *r, size_t head_bytes);

#endif
