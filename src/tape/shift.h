/*
 * The times in an answer's fields, moved by as much as has gone by since it was recorded (time = "now").  Pure.
 */
#ifndef WEIR_TAPE_SHIFT_H
#define WEIR_TAPE_SHIFT_H

#include "http/date.h"
#include "http/fields.h"

/*
 * Date, Expires, Last-Modified, a Retry-After that is a date, and the Expires of cookies.  Age is a length of time,
 * which stays as it was: moved with Date it would count the years twice.
 */
void shift_times(struct http_fields *, int64_t by_s, struct arena *);

#endif
