/*
 * The first bytes of a request, before libmicrohttpd reads them.
 *
 * What it would answer with a page of its own, or with silence, or wait for without end, is told here: another version
 * of HTTP, none, TLS, what is no request at all.  A line that passes may still be refused (engine/guard.h), but
 * libmicrohttpd has a request then.  Pure.
 */
#ifndef WEIR_FRONT_MHD_STARTLINE_H
#define WEIR_FRONT_MHD_STARTLINE_H

#include "engine/guard.h"

enum startline_verdict { STARTLINE_MORE, STARTLINE_FINE, STARTLINE_BAD };

/* `bytes`: what there is of the request, from its first byte that is no line end on; more than the line, or a part of
 * it.  *no: set where it is bad. */
enum startline_verdict startline_judge(struct slice bytes, struct refusal *no);
/* The same of a line that libmicrohttpd has read and refused, with NUL bytes where spaces and the line's end were.
 * True: here is why. */
bool startline_judge_again(struct slice bytes, struct refusal *no);
/* Does it ask for a head alone?  Also where libmicrohttpd has put NUL bytes into the line. */
bool startline_is_head(struct slice bytes);
/* The answer to a request that libmicrohttpd refuses with `status`. */
struct refusal startline_refusal(unsigned status);

#endif
