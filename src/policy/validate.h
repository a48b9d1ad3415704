/*
 * Conditional requests (RFC 9110 13, RFC 9111 4.3): answering a client's from
 * what is stored, making Weir's own, and what a 304 does to a record.  Pure.
 */
#ifndef WEIR_POLICY_VALIDATE_H
#define WEIR_POLICY_VALIDATE_H

#include "policy/freshness.h"

enum precondition {
    PRECONDITION_NONE,
    PRECONDITION_NOT_MODIFIED /* 304 */
};

/* RFC 9110 13.2.2 for a GET or HEAD answered from the cache (only If-None-Match,
 * If-Modified-Since). */
enum precondition policy_precondition(const struct http_request *request, const struct stored_response *stored);

/* The fields of the request that goes upstream to validate `stored`: the client's own conditionals
 * are replaced by the stored validators (4.3.1), and Range falls but for a stored part, which is validated by its
 * entity tag alone; returns false where it has none (plain fetch).  They are copied: the request may outlive what was
 * looked up. */
bool policy_conditional_fields(const struct stored_response *stored, struct http_fields *fields, struct arena *a);
/* Without any conditional and range field: for a fetch that is to be stored whole. */
void policy_unconditional_fields(struct http_fields *fields);

/* Does this 304 speak of this stored response (4.3.4)?  False: fetch anew, without conditions. */
bool policy_304_selects(const struct http_response *r304, const struct stored_response *stored);
/*
 * The stored head freshened by a 304 or a HEAD's 200 (3.2): a new list in the
 * arena.  Date and Age are the update's or none.  What the settings keep out
 * of a record is asked of the result again: policy_stored_fields().
 */
struct http_fields policy_freshen(const struct http_fields *stored, const struct http_fields *update,
                                  const struct limit_owns *, struct arena                    *a);
/* The fields a 304 to the client carries (RFC 9110 15.4.5). */
struct http_fields policy_304_fields(const struct http_fields *stored, struct arena *a);

/* May a 200 to a HEAD freshen the stored response (4.3.5): no validator and no length of the two
 * differ? False: it is invalidated. */
bool policy_head_selects(const struct http_response *head200, const struct stored_response *stored);

/* The target of a successful unsafe request, and its Location and Content-Location of the same
 * origin (4.4): URLs to invalidate, at most 3, in the arena. */
unsigned policy_invalidated(const struct http_request *request, const struct http_response *response,
                            struct slice effective_url, struct arena *a, struct slice out[3]);

#endif
