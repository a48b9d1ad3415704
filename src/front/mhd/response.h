/*
 * From a reply to what libmicrohttpd queues.
 */
#ifndef WEIR_FRONT_MHD_RESPONSE_H
#define WEIR_FRONT_MHD_RESPONSE_H

#include "engine/engine.h"

#include <microhttpd.h>

struct response_options {
    bool                      is_head;   /* the request's method is HEAD */
    bool                      close;     /* say Connection: close */
    bool                      map_files; /* the connection speaks TLS: MHD would read a file in pieces of 4 KiB */
    size_t                    head_room; /* bytes a response head may have in MHD's pool */
    MHD_ContentReaderCallback read;      /* REPLY_STREAM, called with `context` */
    void                     *context;
};

/* Is its head to say no length (front/mhd/heads.h)?  RFC 9110 8.6. */
bool response_is_bare(const struct reply *, bool is_head);
/* NULL: the head is larger than `head_room` or cannot be said in HTTP; nothing of `reply` was taken.
 * Otherwise a file descriptor of the reply's belongs to the response. `a` for terminated copies. */
struct MHD_Response *response_make(const struct reply *, const struct response_options *, struct arena *a);

/* A field's value as MHD takes it, terminated: neither with a tab nor empty. White space around a value is not of it
 * (RFC 9110 5.5), so that a space alone is an empty value to whoever reads it. */
char *response_value(struct slice value, struct arena *);

#endif
