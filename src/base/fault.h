/*
 * What went wrong, in words for the person who must mend it.
 *
 * A function that can fail fills the caller's `struct fault`; only the
 * caller that gives up prints or logs it, once.  Plain value, any thread.
 */
#ifndef WEIR_BASE_FAULT_H
#define WEIR_BASE_FAULT_H

struct fault {
    char text[1024]; /* always NUL-terminated; empty: no fault */
};

/* Both return -1, so that `return fault_set(why, ...)` reads well.  `why` may be NULL. */
int fault_set(struct fault *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends ": strerror(err)". */
int fault_set_errno(struct fault *why, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
