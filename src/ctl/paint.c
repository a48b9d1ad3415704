/*
 * Select Graphic Rendition (ECMA-48 8.3.117), with the colours that every terminal has.
 */
#include "ctl/paint.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool paint_is_on(void)
{
    static int  known = -1;
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");

    if (known < 0)
        known = isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0') && terminal != NULL &&
                strcmp(terminal, "dumb") != 0;
    return known == 1;
}

const char *paint_begin(enum paint p)
{
    static const char *const codes[] = {
        [PAINT_NONE] = "",          [PAINT_BOLD] = "\033[1m",    [PAINT_DIM] = "\033[2m",   [PAINT_RED] = "\033[31m",
        [PAINT_GREEN] = "\033[32m", [PAINT_YELLOW] = "\033[33m", [PAINT_CYAN] = "\033[36m", [PAINT_REVERSE] = "\033[7m",
    };

    return paint_is_on() ? codes[p] : "";
}

const char *paint_end(void)
{
    return paint_is_on() ? "\033[0m" : "";
}
