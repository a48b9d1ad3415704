/*
 * The TCP addresses that this process listens at: what goes out is held
 * against them, so that Weir never calls itself.
 *
 * Filled before the threads that ask are started, constant after that.  Any thread.
 */
#ifndef WEIR_BASE_OWN_ADDRESS_H
#define WEIR_BASE_OWN_ADDRESS_H

#include <stdbool.h>

/* "http://127.0.0.1:8080": where clients reach it; "": nowhere over TCP.  Set once, copied. */
void        own_address_publish(const char *url);
const char *own_address_published(void);
/* A numeric address without brackets; "0.0.0.0" and "::" are all of this machine's. More than 64 are not noted. */
void own_address_add(const char *host, unsigned port);
/* A connection from `here` to `there` at `port`, numeric addresses: does it lead back? */
bool own_address_is(const char *here, const char *there, unsigned port);

#endif
