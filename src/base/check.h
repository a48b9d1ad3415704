/*
 * CHECK(): an assertion that is always on, for our own bugs only; never for
 * what a network, a file or a user sends.  Prints the place and aborts.
 */
#ifndef WEIR_BASE_CHECK_H
#define WEIR_BASE_CHECK_H

_Noreturn void check_failed(const char *expression, const char *file, int line);

#define CHECK(expression) ((expression) ? (void)0 : check_failed(#expression, __FILE__, __LINE__))

#endif
