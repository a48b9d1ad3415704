/*
 * Whether libmicrohttpd is the one whose habits are known.
 *
 * Where this room leans on more than MHD's interface promises (what it leaves of a head, what it does with its memory),
 * it does so for the version that it was tried with, and otherwise does without.
 */
#ifndef WEIR_FRONT_MHD_MHD_H
#define WEIR_FRONT_MHD_MHD_H

#include <microhttpd.h>
#include <stdbool.h>
#include <string.h>

static inline bool mhd_is_known(void)
{
    return strcmp(MHD_get_version(), "0.9.75") == 0;
}

#endif
