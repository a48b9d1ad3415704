/*
 * Credentials that the API has answered with 401: nothing is asked with one for a while, then one request goes as a
 * probe, and what it finds lifts the hold or doubles it.
 *
 * Some APIs say 401 to a good credential at some of their paths.  So where it has passed within an hour, the first
 * one holds that path alone, and one at another path, without an answer that passes between, all of it; and where a
 * probe passes at another path than that of the 401, that path is remembered, and holds nothing any more.
 *
 * Bounded; pure; upstream thread.
 */
#ifndef WEIR_BUDGET_DENIALS_H
#define WEIR_BUDGET_DENIALS_H

#include <stdbool.h>
#include <stdint.h>

enum { DENIAL_BYTES = 16, DENIAL_ODD_PATHS = 4, DENIALS_MOST = 256, DENIAL_PASSES = 256 };

struct denial {
    uint8_t  credential[DENIAL_BYTES];
    int64_t  heard_ns;      /* the newest 401 that counted: what was sent before that shows nothing */
    int64_t  until_ns;      /* 0: it is not held */
    int64_t  pause_ns;      /* the hold that is on */
    uint64_t path;          /* where that 401 came */
    bool     is_path_alone; /* nothing else is held */
    uint64_t odd[DENIAL_ODD_PATHS];
    unsigned odd_count;
};

/* When one has passed: a place goes to whoever came last. */
struct denial_pass {
    uint64_t credential;
    int64_t  at_ns;
};

struct denials { /* all zero: none */
    struct denial      *items;
    struct denial_pass *passes;
    unsigned            count;
};
void denials_free(struct denials *);

/* 0: it may be asked with; else when a probe may go. */
int64_t denials_wait_ns(const struct denials *, const uint8_t credential[DENIAL_BYTES], uint64_t path, int64_t now_ns);
/* A request goes: the probe, where one is due; others wait for what it finds. */
void denials_send(struct denials *, const uint8_t credential[DENIAL_BYTES], int64_t now_ns);
/* 401 to a request of `sent_ns`.  For how long the credential is held from now on; 0: this changes nothing. */
int64_t denials_hear(struct denials *, const uint8_t credential[DENIAL_BYTES], uint64_t path, int64_t sent_ns,
                     int64_t now_ns, int64_t hold_ns);
/* Another answer, of an API that is well.  True: that lifts the hold. */
bool denials_pass(struct denials *, const uint8_t credential[DENIAL_BYTES], uint64_t path, int64_t sent_ns,
                  int64_t now_ns);
/* All of them; how many were held. */
unsigned denials_forget(struct denials *, int64_t now_ns);

#endif
