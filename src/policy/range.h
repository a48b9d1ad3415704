/*
 * Byte ranges (RFC 9110 14): of a stored whole, and of a stored part
 * (RFC 9111 3.3), which may also be completed (3.4).  Pure.
 */
#ifndef WEIR_POLICY_RANGE_H
#define WEIR_POLICY_RANGE_H

#include "policy/freshness.h"

enum { RANGE_MAX = 16 }; /* more ranges than this: the whole is sent (14.2 lets us) */

struct byte_range {
    int64_t first, last;
}; /* inclusive */

enum range_result {
    RANGE_IGNORE /* send the whole, 200 */,
    RANGE_PARTS /* 206 */,
    RANGE_UNSATISFIABLE /* 416 */
};

/* Reads Range and If-Range of a GET against a stored 200 of `length` bytes. Overlapping and
 * adjoining ranges are coalesced, the order of the rest is kept; too many are ignored (14.2). */
enum range_result policy_range(const struct http_request *request, const struct stored_response *stored, int64_t length,
                               struct byte_range out[RANGE_MAX], unsigned *count);
/* "bytes 0-99/1234" read (14.4); *complete is -1 for "*".  Of a 416, where a "*"
 * stands for the range, first and last are -1.  False where malformed. */
bool policy_content_range_parse(struct slice value, struct byte_range *range, int64_t *complete);

/* -- parts: a stored_response whose status is 206 -- */

/* Which part it is.  False where it has not exactly one Content-Range, or where that contradicts
 * body_bytes (-1: not known yet). */
bool policy_part_of(const struct stored_response *part, struct byte_range *range, int64_t *complete);
/* As policy_range(), with ranges counted from the whole's first byte; RANGE_IGNORE where the
 * request wants anything that the part does not hold (or the whole): it must be forwarded. */
enum range_result policy_range_in_part(const struct http_request *request, const struct stored_response *part,
                                       struct byte_range out[RANGE_MAX], unsigned *count);
/* May this be the answer to the request as far as ranges go: any whole, or a part that holds the one range that is
 * asked for, or tells that there is none such? */
bool policy_holds_range(const struct http_request *request, const struct stored_response *stored);
/* Range and If-Range for what the part lacks, in place of the client's conditionals. False where
 * that is not one range, or where no strong validator says that both are of one representation
 * (3.4). */
bool policy_completing_fields(const struct stored_response *part, struct http_fields *fields, struct arena *a);
/* May this 206 be joined to the part (3.4: the same strong validator, adjoining or overlapping)? */
bool policy_parts_combine(const struct stored_response *part, const struct stored_response *other);

#endif
