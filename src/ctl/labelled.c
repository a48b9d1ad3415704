/*
 * A label and what there is to say of it.
 */
#include "ctl/labelled.h"

#include "ctl/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_COLUMNS = 11 };

/* The label in bold on a terminal that shows it; "": it goes on below the line before. */
void labelled_text(const char *label, const char *said)
{
    const unsigned columns = text_terminal_columns();
    const char    *no = getenv("NO_COLOR"), *kind = getenv("TERM");
    bool           bold = columns > 0 && (no == NULL || *no == '\0') && kind != NULL && strcmp(kind, "dumb") != 0;

    printf(bold && *label != '\0' ? "\x1b[1m%-*s\x1b[0m" : "%-*s", LABEL_COLUMNS, label);
    text_print_wrapped(stdout, said, LABEL_COLUMNS, columns);
    putchar('\n');
}

void labelled_line(const char *label, const char *format, ...)
{
    va_list args;
    char   *said = NULL;

    va_start(args, format);
    if (vasprintf(&said, format, args) >= 0)
        labelled_text(label, said);
    va_end(args);
    free(said);
}
