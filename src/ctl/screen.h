/*
 * The whole terminal, for a command that draws it anew: taken, and given back as it was on every way out.
 *
 * Signals that would end the program are held back and told by screen_wait(); whoever is told gives the terminal back
 * and then lets the signal have its way, so that the shell sees how it ended.
 */
#ifndef WEIR_CTL_SCREEN_H
#define WEIR_CTL_SCREEN_H

#include <stdbool.h>

/* Standard input and output are a terminal. */
void screen_take(void);
/* Also where it was not taken. */
void screen_give_back(void);

enum screen_event {
    SCREEN_KEY,     /* *key: what was pressed, or one of SCREEN_UP, SCREEN_DOWN */
    SCREEN_FEED,    /* the descriptor can be read */
    SCREEN_RESIZED, /* or shown again after it was stopped */
    SCREEN_END      /* *signal wants to end it: screen_give_back(), then screen_die(signal) */
};
enum { SCREEN_UP = 256, SCREEN_DOWN };
enum screen_event screen_wait(int feed_fd, int *key, int *signal);
void              screen_die(int signal) __attribute__((noreturn));

/* As many as the terminal has; 24 where it does not say. */
unsigned screen_rows(void);

#endif
