/*
 * Jansson's values of what HTTP says, which is bytes: made by whoever writes JSON of requests and answers.  Pure.
 */
#ifndef WEIR_HTTP_JSON_OF_H
#define WEIR_HTTP_JSON_OF_H

#include "http/fields.h"

#include <jansson.h>

/* Bytes that are no UTF-8 are each a character, as HTTP once meant them (RFC 9110 5.5), so that none is lost; null
 * where ptr is NULL. */
json_t *json_of_text(struct slice);
json_t *json_of_base64(struct slice);
/* [["Name", "value"], ...]; value: json_of_text(), or who knows better. */
json_t *json_of_fields(const struct http_fields *, json_t *(*value)(struct slice));

#endif
