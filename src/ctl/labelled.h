/* Lines for a person: "label      text", which goes on below itself where the terminal ends. */
#ifndef WEIR_CTL_LABELLED_H
#define WEIR_CTL_LABELLED_H

/* Label "": it goes on below the line before. What a terminal would obey is escaped in the text (ctl/text.h). */
void labelled_text(const char *label, const char *text);
void labelled_line(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
