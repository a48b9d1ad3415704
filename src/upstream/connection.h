/*
 * What is known of curl's connections and HTTP/2 streams: a part of inside.h, for this room alone.
 */
#ifndef WEIR_UPSTREAM_CONNECTION_H
#define WEIR_UPSTREAM_CONNECTION_H

#include <curl/curl.h>
#include <stdbool.h>

struct site;
struct transfer;

/* connection.c: by the callbacks in request.c */
void connection_opened(struct site *, curl_socket_t fd);
void connection_closed(struct site *, curl_socket_t fd);
/* curl has none any more. */
void connection_forget_all(struct site *);
/* PREREQ: may the request go out on the connection with these ends?  False: t->stop says why not. */
bool connection_look(struct transfer *, const char *peer_ip, int local_port, int peer_port);
void connection_carries(struct transfer *);          /* it does */
/* At the first bytes of an answer: they were sent before the request can have been read. */
bool connection_is_early(const struct transfer *);
void connection_speaks_http2(struct transfer *);     /* as soon as that is known */
void connection_heard(struct transfer *);            /* at the final head, while its fields stand */
void connection_left(struct transfer *);             /* the transfer's end */
/* Something came on a socket that no transfer uses. */
void connection_stirs(struct site *, curl_socket_t fd);
/* The API has closed the TLS connection in order. */
void connection_notify(struct site *, const void *tls);

/* http2.c */
void http2_acts_for(struct site *);                  /* before curl is let work */
/* Around curl's removal of a transfer that is given up: its stream is reset at once. */
void http2_reset_begin(struct transfer *);
void http2_reset_end(void);
/* RFC 9113 8.7: nothing was done of the request, whatever its method. */
bool http2_was_not_done(const struct transfer *);
bool http2_wants_http1(const struct transfer *);
bool http2_may_be(const struct transfer *);         /* an answer that says so is one of HTTP/2 */
bool http2_answered_early(const struct transfer *);
bool http2_is_cut(const struct transfer *);          /* its end is not the end of an answer (RFC 9113 8.1) */

#endif
