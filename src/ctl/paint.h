/*
 * Colours for a terminal, and for nothing else: never in a pipe, and not where NO_COLOR is set (no-color.org) or the
 * terminal is a dumb one.  They only repeat what the words say.
 */
#ifndef WEIR_CTL_PAINT_H
#define WEIR_CTL_PAINT_H

#include <stdbool.h>

enum paint { PAINT_NONE, PAINT_BOLD, PAINT_DIM, PAINT_RED, PAINT_GREEN, PAINT_YELLOW, PAINT_CYAN, PAINT_REVERSE };

bool paint_is_on(void);
/* What begins it, and what ends all of them; "" where there is none. */
const char *paint_begin(enum paint);
const char *paint_end(void);

#endif
