/*
 * Cookies in base-URL mode, where all APIs have one host for a client's jar.
 *
 * A jar tells them apart by path alone.  So the Path of what an API sets is put below its prefix
 * (RFC 6265bis 5.6.4, its default where none is valid), Domain falls, and over http what asks for
 * TLS falls, too: Secure, SameSite=None, Partitioned, and the names that a jar
 * then refuses, which are given another on the way out and get theirs again on the way back.
 * What is stored stays as the API said it.  Pure; any thread.
 */
#ifndef WEIR_ENGINE_JAR_H
#define WEIR_ENGINE_JAR_H

#include "route/route.h"

/* A Set-Cookie value for the client of a request that came by prefix.  ptr NULL: its path is none that a client of
 * this prefix could ask for, so no jar would send it back. */
struct slice jar_outward(const struct route *route, struct slice set_cookie, struct arena *a);
/* A Cookie value with the names that the API gave; itself where there are none. */
struct slice jar_inward(struct slice cookie, struct arena *a);

#endif
