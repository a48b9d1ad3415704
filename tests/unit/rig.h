/*
 * An upstream thread between a scripted origin and a test that plays the worker.
 * Set `options` and `policy` between rig_open() and rig_start().
 */
#ifndef WEIR_TEST_RIG_H
#define WEIR_TEST_RIG_H

#include "api.h"

#include "upstream/upstream.h"

enum { RIG_LIMITS = 4 };

struct rig {
    struct api             *origin;
    char                   *directory;
    char                   *state_directory;
    struct store           *store;
    struct state           *state; /* NULL unless rig_keep() */
    struct upstream        *up;
    struct mailbox         *box; /* the worker's */
    char                    authority[64];
    struct ref              config;
    struct upstream_options options;
    struct policy_options   policy;
    struct limit_options    limits[RIG_LIMITS];
    upstream_match          match; /* of the limits' `pattern`; NULL: they have none */
    unsigned                open_fetches, interims;
    unsigned                last_interim;
};

/* No retries, no limits, time-outs of 30 s, ttl = "origin". */
void rig_open(struct rig *, api_script script, const void *context);
/* The ledger is kept in a state directory. */
void rig_keep(struct rig *);
void rig_start(struct rig *);
/* Ends the upstream thread alone; all fetches have been left. rig_start() begins another. */
void rig_stop(struct rig *);
/* Leaves nothing over; all fetches have been left. */
void rig_close(struct rig *);
/* The count-a-window sliding limit `limits[at]`. */
void rig_limit(struct rig *, unsigned at, const char *name, uint64_t count, int64_t window_ns);

/* A fetch with a key that stands for target and method; `lines`: "Name: value\n"... */
struct fetch *rig_fetch(struct rig *, const char *method, const char *target, const char *lines);
void          rig_submit(struct rig *, struct fetch *);
/* Until its final event has come (30 s, then the test fails). */
enum fetch_event rig_await(struct rig *, struct fetch *);
/* Both, and fails the test where the event or (for FETCH_HEAD) the status is another. */
void rig_expect(struct rig *, struct fetch *, enum fetch_event event, unsigned status);
/* Reads the body to its end; the bytes' count in *got, the first of them NUL-terminated in `out`. */
enum spool_read rig_body(struct rig *, struct fetch *, char *out, size_t bytes, size_t *got);
void            rig_expect_body(struct rig *, struct fetch *, const char *text);
void            rig_leave(struct rig *, struct fetch *);
/* Until the fetches that were left are gone: then the thread has taken note of everything before it. */
void rig_settle(struct rig *);
/* What the thread says of itself; the caller frees the arena. */
void rig_report(struct rig *, struct upstream_report *);
/* Runs mail until `done(context)`; fails the test after 30 s. */
void rig_until(struct rig *, bool (*done)(void *), void *context);

#endif
