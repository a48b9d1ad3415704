/*
 * A body as it comes, given on without its coding in pieces.  What cannot be decoded, or becomes very large out of
 * little, ends there.  Pure; one thread at a time.
 */
#ifndef WEIR_HTTP_PLAIN_BODY_H
#define WEIR_HTTP_PLAIN_BODY_H

#include "http/fields.h"

#include <stdbool.h>
#include <stdint.h>

struct inflater;

struct plain_body {
    struct inflater *coding;    /* NULL: none */
    bool             is_broken; /* the coding is, or it is a bomb, or none that is read here */
    uint64_t         coded_bytes, plain_bytes;
};

/* False: its coding is none that is read here. */
bool plain_body_open(struct plain_body *, const struct http_fields *head);
void plain_body_close(struct plain_body *);

/* False: no more is wanted. */
typedef bool (*plain_body_each)(void *context, const char *bytes, size_t count);
/* False: it is broken, or no more was wanted. */
bool plain_body_feed(struct plain_body *, const char *bytes, size_t count, plain_body_each each, void *context);
/* What came ends where the coding does. */
bool plain_body_is_whole(const struct plain_body *);

#endif
