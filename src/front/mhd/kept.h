/*
 * Replies kept ready for a head that comes again: a bounded table of each
 * worker, from the bytes of a head to libmicrohttpd's response object.
 *
 * A reply gets in when its head came twice within a tenth of a second; it stays for as long as it holds
 * (engine/repeat.h) and somebody asks for it, and goes when another one needs its
 * place.  Its Age and its ttl are written anew where they stand: libmicrohttpd copies them when it is
 * queued.  One that is being sent outlives its place in the table.  Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_KEPT_H
#define WEIR_FRONT_MHD_KEPT_H

#include "engine/repeat.h"

#include <microhttpd.h>

struct kept_number { /* in the value of a field of the response */
    char    *digits;
    size_t   count;
    uint64_t said;
};

struct kept { /* read only */
    struct repeat       *repeat;
    struct MHD_Response *response;
    unsigned             status;
    int64_t              body_bytes; /* that go out */
    /* -- the table's -- */
    unsigned           users; /* the table is one */
    uint64_t           hash;
    char              *head;
    size_t             head_bytes, cost_bytes;
    bool               is_file;
    struct kept_number age, ttl;
    unsigned           idle_sweeps; /* since it was asked for */
};

struct kept_table;

struct kept_head {
    struct slice target, rest;
    uint64_t     hash;
}; /* of a request; borrowed */

struct kept_table *kept_open(void);
void               kept_close(struct kept_table *); /* NULL is fine */
struct kept_head   kept_head(struct slice target, struct slice rest);
/* NULL: none that still holds.  What is found says the time. */
struct kept *kept_find(struct kept_table *, const struct kept_head *, struct engine *, int64_t now_wall_ns);
/* Keeps the exchange's reply, where it may be given again and its head comes often; false: it does not.  Else the
 * caller's reference to the response is the table's. Before exchange_reply_taken(). */
bool kept_offer(struct kept_table *, const struct kept_head *, const struct exchange *, struct MHD_Response *,
                int64_t now_ns);
void kept_use(struct kept *);
void kept_release(struct kept *);
/* Drops those that do not hold any more or that nobody asks for; true while any is left. Once a second. */
bool kept_sweep(struct kept_table *, struct engine *, int64_t now_wall_ns);

#endif
