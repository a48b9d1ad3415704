/*
 * A scripted origin on a loopback port of its own: reads requests, keeps
 * their text, and lets a test's function answer each on a raw socket.
 *
 * Every connection has a thread; the script runs on it.  What scripts share
 * with the test goes through the functions below, which lock.
 */
#ifndef WEIR_TEST_ORIGIN_H
#define WEIR_TEST_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

struct origin;
struct talk;                          /* one request on one connection */

/* Answers one request; the connection is read on unless origin_hang_up() was called. */
typedef void (*origin_script)(struct talk *, const void *context);

struct origin *origin_open(origin_script script, const void *context);
void           origin_close(struct origin *);
/* Before the first request: the script is called when the head is there, the body is its own to read. */
void           origin_leave_bodies(struct origin *);
unsigned       origin_port(const struct origin *);
unsigned       origin_requests(struct origin *);
unsigned       origin_connections(struct origin *);
/* Request `number` (from 0) as it came, chunks and all; NUL-terminated; lives as long as the origin. */
const char    *origin_text(struct origin *, unsigned number);
/* Waits until so many requests have come (30 s, then the test fails). */
void           origin_await(struct origin *, unsigned requests);
/* Lets origin_wait() return, for good. */
void           origin_let_go(struct origin *);

/* -- for scripts -- */
unsigned    talk_number(const struct talk *);
unsigned    talk_connection(const struct talk *);
/* Of the requests on this connection, from 0. */
unsigned    talk_turn(const struct talk *);
const char *talk_text(const struct talk *);
void        talk_say(struct talk *, const char *text);
void        talk_say_bytes(struct talk *, const void *bytes, size_t count);
void        talk_hang_up(struct talk *);
/* The connection ends with a reset. */
void        talk_reset(struct talk *);
/* Blocks until origin_let_go() (or the origin is closed). */
void        talk_wait(struct talk *);
/* Blocks until the peer closes the connection; reads and drops what comes. */
void        talk_until_closed(struct talk *);

#endif
