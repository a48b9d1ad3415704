/*
 * Texts that others have written (a URL, a header field, a body), on their way to a person: whatever is in them, they
 * are read and not obeyed.  And how wide they are there.
 */
#ifndef WEIR_CTL_TEXT_H
#define WEIR_CTL_TEXT_H

#include <stddef.h>
#include <stdio.h>

enum { TEXT_LINES = 1 /* line ends and tabs stay */ };

/* Prints it; control characters, what turns the direction of writing, and bytes that are no UTF-8 as \xHH or \u{HHHH}.
 */
void text_print(FILE *, const char *text, size_t bytes, unsigned flags);
/* The same in so many columns at most, cut in its middle where it is wider; 0: as wide as it is. `fill`: and blanks up
 * to there. */
void text_print_fitted(FILE *, const char *text, unsigned columns, int fill);
/* The same in lines of so many columns, of which it stands `indent` columns to the right: a word that does not fit
 * begins the next line, one that is longer than a line is cut. 0: in one line. */
void text_print_wrapped(FILE *, const char *text, unsigned indent, unsigned columns);
/* Is all of it UTF-8, without control characters but line ends and tabs? */
int text_is_plain(const char *text, size_t bytes);
/* Of the terminal that it is; 0: it is none. */
unsigned text_columns(int fd);
/* Of standard output. */
unsigned text_terminal_columns(void);

#endif
