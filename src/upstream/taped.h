/*
 * What a turn tells a tape, where its fetch has one: taped.c.
 */
#ifndef WEIR_UPSTREAM_TAPED_H
#define WEIR_UPSTREAM_TAPED_H

#include "origin/origin.h"

struct flight;
struct turn;

void taped_begin(struct turn *); /* up->scratch is used */
void taped_sent(struct turn *, const void *bytes, size_t count);
void taped_interim(struct turn *, unsigned status, const struct http_fields *);
void taped_head(struct turn *, const struct transfer_head *); /* before anything is done with it */
void taped_body(struct turn *);                               /* after that */
void taped_came(struct turn *, size_t count);
void taped_trailer(struct turn *, struct slice name, struct slice value);
void taped_whole(struct turn *);
void taped_failed(struct turn *, const struct failure *);
void taped_put_by(struct flight *, struct turn *); /* it is tried again; if that is never sent: */
void taped_spare(struct flight *);
void taped_drop(struct turn *);

#endif
