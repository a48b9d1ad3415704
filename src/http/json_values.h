/*
 * Numbers out of a JSON text, or out of an event stream of such texts, as it passes: what stands at some RFC 6901
 * pointers, the last of each where it comes several times; and whether a text that is asked for stands there.
 * Nothing is held but those values and what the parser (yajl) keeps of a token that two pieces share.  A text that is
 * no JSON has no values; in an event stream an event that is none is passed over.  Pure; one thread at a time.
 */
#ifndef WEIR_HTTP_JSON_VALUES_H
#define WEIR_HTTP_JSON_VALUES_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

enum { JSON_VALUES_MOST = 64, JSON_VALUES_DEPTH = 16, JSON_NESTED_MOST = 512 };

struct json_values;

/* The pointers' texts are borrowed; those beyond JSON_VALUES_MOST and deeper than JSON_VALUES_DEPTH are never there. */
struct json_values *json_values_open(const char *const *pointers, unsigned count, bool is_event_stream);
void                json_values_close(struct json_values *); /* NULL is fine */

/* Whether this text stands there is asked: a string, or a number, true, false or null as it is written.  Borrowed; said
 * before the first piece. */
void json_values_want(struct json_values *, unsigned pointer, struct slice text);

void json_values_feed(struct json_values *, const char *bytes, size_t count);
/* No more will come. */
void json_values_end(struct json_values *);
/* By the pointer's place; false: there was none, or no number. */
bool json_values_number(const struct json_values *, unsigned pointer, double *out);
/* Whether what json_values_want() asked for has stood there; of an event stream in any event. */
bool json_values_is_wanted(const struct json_values *, unsigned pointer);
/* By its text. */
bool json_values_at(const struct json_values *, const char *pointer, double *out);

#endif
