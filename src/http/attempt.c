/*
 * See attempt.h.
 */
#include "http/attempt.h"

static const struct {
    const char *token;
    bool        nothing_was_done; /* repeated for every method */
} outcomes[] = {
    [ATTEMPT_OK] = { "ok", false },
    [ATTEMPT_STATUS] = { "status", false },
    [ATTEMPT_REFUSED] = { "refused", true },
    [ATTEMPT_NO_NAME] = { "no_name", true },
    [ATTEMPT_NO_TLS] = { "no_tls", true },
    [ATTEMPT_UNUSABLE] = { "unusable", true },
    [ATTEMPT_UNREACHED] = { "unreached", true },
    [ATTEMPT_DROPPED] = { "dropped", false },
    [ATTEMPT_TIMEOUT] = { "timeout", false },
    [ATTEMPT_CUT_SHORT] = { "cut_short", false },
    [ATTEMPT_INVALID] = { "invalid", false },
};

const char *attempt_outcome_token(enum attempt_outcome o)
{
    return (unsigned)o < sizeof outcomes / sizeof outcomes[0] ? outcomes[o].token : "unknown";
}

bool attempt_did_nothing(enum attempt_outcome o)
{
    return (unsigned)o < sizeof outcomes / sizeof outcomes[0] && outcomes[o].nothing_was_done;
}
