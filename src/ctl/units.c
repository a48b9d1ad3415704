/*
 * What is reserved, settled and left of limits in any unit, in figures for people: limits and top show the same.
 */
#include "ctl/units.h"

#include <math.h>
#include <stdio.h>

enum { PLACES_SHOWN = 4 };

static const char *write_units(const json_t *limit, const json_t *value, char out[UNITS_BYTES])
{
    int scale = (int)json_integer_value(json_object_get(json_object_get(limit, "metered"), "scale"));

    if (scale <= 0)
        snprintf(out, UNITS_BYTES, "%lld", (long long)json_integer_value(value));
    else
        snprintf(out, UNITS_BYTES, "%.*f", scale < PLACES_SHOWN ? scale : PLACES_SHOWN,
                 json_number_value(value) / pow(10, scale));
    return out;
}

const char *units_of(const json_t *limit, const char *member, char out[UNITS_BYTES])
{
    return write_units(limit, json_object_get(limit, member), out);
}

const char *units_metered(const json_t *limit, char out[UNITS_METERED_BYTES])
{
    const json_t *m = json_object_get(limit, "metered");
    char          reserved[UNITS_BYTES], settled[UNITS_BYTES], unsettled[UNITS_BYTES];

    if (m == NULL)
        return NULL;
    snprintf(out, UNITS_METERED_BYTES, "%s reserved, %s settled, %s unsettled",
             write_units(limit, json_object_get(m, "reserved"), reserved),
             write_units(limit, json_object_get(m, "settled"), settled),
             write_units(limit, json_object_get(m, "unsettled"), unsettled));
    return out;
}
