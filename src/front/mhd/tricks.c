/*
 * All or none: they were measured together.
 */
#include "front/mhd/tricks.h"

#include <microhttpd.h>
#include <string.h>

unsigned tricks_on;

const char *tricks_library(void)
{
    return MHD_get_version();
}

bool tricks_are_for(const char *version)
{
#ifdef WEIR_MHD_TRICKS
    return strcmp(version, TRICKS_MEASURED_WITH) == 0;
#else
    (void)version;
    return false;
#endif
}

bool tricks_start(const char *version)
{
    tricks_on = tricks_are_for(version) ? ~0u : 0;
    return tricks_on != 0;
}
