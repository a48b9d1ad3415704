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

struct api;
struct talk; /* one request on one connection */

/* Answers one request; the connection is read on unless api_hang_up() was called. */
typedef void (*api_script)(struct talk *, const void *context);

struct api *api_open(api_script script, const void *context);
void        api_close(struct api *);
/* Before the first request: the script is called when the head is there, the body is its own to read. */
void     api_leave_bodies(struct api *);
unsigned api_port(const struct api *);
unsigned api_requests(struct api *);
unsigned api_connections(struct api *);
/* Request `number` (from 0) as it came, chunks and all; NUL-terminated; lives as long as the origin. */
const char *api_text(struct api *, unsigned number);
/* Waits until so many requests have come (30 s, then the test fails). */
void api_await(struct api *, unsigned requests);
/* Lets api_wait() return, for good. */
void api_let_go(struct api *);

/* -- for scripts -- */
unsigned talk_number(const struct talk *);
unsigned talk_connection(const struct talk *);
/* Of the requests on this connection, from 0. */
unsigned    talk_turn(const struct talk *);
const char *talk_text(const struct talk *);
void        talk_say(struct talk *, const char *text);
void        talk_say_bytes(struct talk *, const void *bytes, size_t count);
void        talk_hang_up(struct talk *);
/* The connection ends with a reset. */
void talk_reset(struct talk *);
/* Blocks until api_let_go() (or the origin is closed). */
void talk_wait(struct talk *);
/* Blocks until the peer closes the connection; reads and drops what comes. */
void talk_until_closed(struct talk *);

#endif
