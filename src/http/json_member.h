/*
 * A member of a JSON object as it stands in the text: its own bytes, so that a number of twenty digits stays one.
 * Pure.
 */
#ifndef WEIR_HTTP_JSON_MEMBER_H
#define WEIR_HTTP_JSON_MEMBER_H

#include "base/slice.h"

/* Its value, without blanks around it; ptr NULL: there is none of that name.  `object` is well-formed; of a name in
 * ASCII every spelling counts ("b\u006fdy").  Where there are several it is the last one, which parsers take. */
struct slice json_member(struct slice object, struct slice name);

#endif
