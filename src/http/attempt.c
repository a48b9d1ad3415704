/*
 * See attempt.h.
 */
#include "http/attempt.h"

static const struct {
    const char       *token;
    bool              nothing_was_done; /* repeated for every method */
    enum attempt_kind kind;
} outcomes[] = {
    [ATTEMPT_OK] = { "ok", false, ATTEMPT_KIND_OK },
    [ATTEMPT_STATUS] = { "status", false, ATTEMPT_KIND_STATUS },
    [ATTEMPT_REFUSED] = { "refused", true, ATTEMPT_KIND_UNREACHED },
    [ATTEMPT_NO_NAME] = { "no_name", true, ATTEMPT_KIND_UNREACHED },
    [ATTEMPT_NO_TLS] = { "no_tls", true, ATTEMPT_KIND_UNREACHED },
    [ATTEMPT_UNUSABLE] = { "unusable", true, ATTEMPT_KIND_UNREACHED },
    [ATTEMPT_UNREACHED] = { "unreached", true, ATTEMPT_KIND_UNREACHED },
    [ATTEMPT_DROPPED] = { "dropped", false, ATTEMPT_KIND_DROPPED },
    [ATTEMPT_TIMEOUT] = { "timeout", false, ATTEMPT_KIND_TIMEOUT },
    [ATTEMPT_CUT_SHORT] = { "cut_short", false, ATTEMPT_KIND_CUT_SHORT },
    [ATTEMPT_INVALID] = { "invalid", false, ATTEMPT_KIND_INVALID },
};

const char *attempt_outcome_token(enum attempt_outcome o)
{
    return (unsigned)o < sizeof outcomes / sizeof outcomes[0] ? outcomes[o].token : "unknown";
}

const char *const attempt_kind_labels[ATTEMPT_KINDS] = {
    "ok", "status", "unreached", "dropped", "timeout", "cut_short", "invalid",
};

enum attempt_kind attempt_kind(enum attempt_outcome o)
{
    return (unsigned)o < sizeof outcomes / sizeof outcomes[0] ? outcomes[o].kind : ATTEMPT_KIND_INVALID;
}

bool attempt_did_nothing(enum attempt_outcome o)
{
    return (unsigned)o < sizeof outcomes / sizeof outcomes[0] && outcomes[o].nothing_was_done;
}
