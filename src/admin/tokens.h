/*
 * Who may use the page: one-time codes and the tokens of sessions that they are exchanged for.
 *
 * A browser has no user that the kernel could tell of: whoever may use the admin socket asks there for a code
 * (`weirctl dashboard`), the page exchanges it once for a token, and says that with each request.  Both are 256 bits of
 * the kernel's random numbers; what is kept of them is a hash, in memory, and goes with the daemon.  Any thread.
 */
#ifndef WEIR_ADMIN_TOKENS_H
#define WEIR_ADMIN_TOKENS_H

#include "base/clock.h"
#include "base/slice.h"

struct tokens;

enum { TOKEN_TEXT_BYTES = 44 };                             /* base64url, with its NUL */
enum { TOKENS_CODES_MOST = 16, TOKENS_SESSIONS_MOST = 64 }; /* one more takes the place of the oldest */
#define TOKENS_CODE_NS    (120 * NS_PER_SEC)                /* how long a code waits for its browser, */
#define TOKENS_SESSION_NS (12 * INT64_C(3600) * NS_PER_SEC) /* and how long a token is good, however much it is used */
enum { TOKENS_ANY_UID = -1 };

struct tokens *tokens_open(void);
void           tokens_close(struct tokens *); /* NULL is fine */

/* `uid`: whose connection alone may exchange it, where that is known; or TOKENS_ANY_UID. */
void tokens_make_code(struct tokens *, int64_t uid, int64_t now_ns, char out[TOKEN_TEXT_BYTES]);

enum token_exchange {
    TOKEN_MADE,
    TOKEN_CODE_UNKNOWN, /* or too old */
    TOKEN_CODE_USED,
    TOKEN_CODE_ANOTHERS /* another user's: the code stays good */
};
/* `uid`: of the connection; TOKENS_ANY_UID: not known. */
enum token_exchange tokens_exchange(struct tokens *, struct slice code, int64_t uid, int64_t now_ns,
                                    char out[TOKEN_TEXT_BYTES]);
bool                tokens_know(struct tokens *, struct slice token, int64_t now_ns);
void                tokens_forget(struct tokens *, struct slice token);

#endif
