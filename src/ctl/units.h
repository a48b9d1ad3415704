/* Figures of a limit that counts in any unit, as its rate's text counts them: with a scale of 6, 1500000 is 1.5. */
#ifndef WEIR_CTL_UNITS_H
#define WEIR_CTL_UNITS_H

#include <jansson.h>

enum { UNITS_BYTES = 40, UNITS_METERED_BYTES = 4 * UNITS_BYTES };

/* A member of the limit. Returns `out`. */
const char *units_of(const json_t *limit, const char *member, char out[UNITS_BYTES]);
/* "400 reserved, 12 settled, 0 unsettled"; NULL: it counts requests. */
const char *units_metered(const json_t *limit, char out[UNITS_METERED_BYTES]);

#endif
