/* Finished requests, as the daemon's /log tells them, for a person. */
#ifndef WEIR_CTL_REQUESTS_H
#define WEIR_CTL_REQUESTS_H

#include <jansson.h>

/* One line, in so many columns (0: as wide as it is). */
void requests_print_line(const json_t *row, unsigned columns);
/* All that is known of it, over several lines. */
void requests_print_story(const json_t *row);
/* The names of the columns. */
void requests_print_heading(unsigned columns);
/* "0.12ms" "12ms" "1.23s" "2m 3s": in a buffer of its own, four take turns. */
const char *requests_span(double ms);

#endif
