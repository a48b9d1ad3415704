/*
 * How a line of the access log is written: JSON, logfmt, plain, and the combined format of web servers, which many
 * programs read.  Pure.
 */
#ifndef WEIR_ENGINE_ACCESS_FORMAT_H
#define WEIR_ENGINE_ACCESS_FORMAT_H

#include "config/config.h"
#include "engine/record.h"
#include "http/json.h"

/* The last second that was written as text: most lines are of the same. */
struct access_stamp {
    bool    is_known;
    int64_t second;
    char    text[24];   /* "2026-11-20T21:45:00" */
    char    common[32]; /* "20/Nov/2026:21:45:00 +0000" */
};

/* One line with its end. */
void access_format(struct json_out *, enum access_format, const struct request_record *, struct access_stamp *);
/* The journal's native fields, each a line of its own "NAME=value", MESSAGE first; ended by an empty line. */
void access_format_native(struct json_out *, enum access_format, const struct request_record *, struct access_stamp *);
/* A member of a JSON object for all that is known of it: `log` and `top` have the same names as the access log. */
void access_format_json(struct json_out *, const struct request_record *, struct access_stamp *);

#endif
