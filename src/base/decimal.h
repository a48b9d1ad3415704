/*
 * Numbers as text, for what is said with every answer: printf() takes some
 * thousand instructions for a line with two of them.  Any thread.
 */
#ifndef WEIR_BASE_DECIMAL_H
#define WEIR_BASE_DECIMAL_H

#include "base/slice.h"

enum { DECIMAL_BYTES = 32 };

/* As printf("%llu", n) would write it; borrows `out`. */
struct slice decimal(uint64_t n, char out[DECIMAL_BYTES]);
/* Milliseconds as printf("%.1f", ns / 1e6) would write them; borrows `out`. */
struct slice decimal_ms(int64_t ns, char out[DECIMAL_BYTES]);

#endif
