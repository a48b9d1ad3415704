/* What weirctl top shows: from one line of the daemon's /top to lines of text. */
#ifndef WEIR_CTL_TOP_DRAW_H
#define WEIR_CTL_TOP_DRAW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct top_view {
    unsigned    columns, rows; /* rows 0: as many as there are */
    unsigned    order;         /* of the upstreams: top_order_name() */
    bool        is_held;
    long        selected; /* row of an upstream; -1: none */
    double      saved;    /* calls, since it began to look */
    const char *note;     /* in place of the keys; NULL: none */
};

/* "rate", "hits" ...; NULL: there is none of that number. */
const char *top_order_name(unsigned order);
/* The rows of `upstreams`, in that order; a new list. */
json_t *top_sort(const json_t *answer, unsigned order);
/* Lines that end with \n. */
void top_draw(FILE *, const json_t *answer, const struct top_view *);

#endif
