/*
 * Credentials that a command prints (auth.command): each command runs at most
 * once at a time, in a thread of its own, and what it said is kept until the API
 * refuses it.  Workers ask, and are told by mail when a run has ended: neither they
 * nor the upstream thread ever wait for a program.
 */
#ifndef WEIR_ENGINE_CREDENTIAL_H
#define WEIR_ENGINE_CREDENTIAL_H

#include "base/arena.h"
#include "base/fault.h"
#include "base/list.h"
#include "base/mailbox.h"

struct credentials;

/* Never NULL. */
struct credentials *credentials_open(void);
/* Ends the commands that run.  Nobody waits any more.  NULL is fine. */
void credentials_close(struct credentials *);
/* After a reload: what was printed before counts no more. */
void credentials_forget(struct credentials *);

struct credential_wait {              /* in what waits; its memory outlives the mail */
    struct mail                 mail; /* .receive is the owner's; posted once, when the run has ended */
    struct mailbox             *mailbox;
    LIST_ENTRY(credential_wait) entry; /* under the lock; all zero: in no list */
};

enum credential_state {
    CREDENTIAL_READY,   /* value and number are there */
    CREDENTIAL_RUNNING, /* `wait` will be posted (where it is not NULL): then ask again */
    CREDENTIAL_FAILED   /* `why`, and how long it is left alone */
};

struct credential {
    struct slice value;  /* in the caller's arena */
    uint64_t     number; /* of the run that printed it; never 0 */
    struct fault why;    /* never what was printed */
    int64_t      retry_ns;
};

/* `refused`: the number of a value that the API answered with 401 (0: none): where that is the current one the command
 * runs again, but not within CREDENTIAL_REST_NS of its last end; then it is READY with the same number. */
#define CREDENTIAL_REST_NS (INT64_C(10) * 1000000000)
enum credential_state credentials_get(struct credentials *, const char *upstream, const char *command, uint64_t refused,
                                      struct credential_wait *wait, struct arena *, struct credential *out);
/* `wait` is not posted after this, but may stand in its mailbox. */
void credentials_leave(struct credentials *, struct credential_wait *wait);

#endif
