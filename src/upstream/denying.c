/*
 * See denying.h.  What stands in for a credential is its account's hash, and of one that Weir adds its own: a new value
 * is another credential.
 */
#include "upstream/denying.h"

#include "upstream/internal.h"

#include "base/counters.h"
#include "base/log.h"

#include <xxhash.h>

/* False: there is none that could be held. */
static bool credential_of(const struct fetch *f, uint8_t out[DENIAL_BYTES])
{
    uint64_t mixed;

    _Static_assert(sizeof f->caller.account.bytes == DENIAL_BYTES, "an account stands for its credential");
    if (f->upstream->denied_hold_ns <= 0 || f->caller.is_signed || !f->caller.is_explicit)
        return false;
    memcpy(out, f->caller.account.bytes, DENIAL_BYTES);
    if (f->auth.value.ptr == NULL)
        return true;
    memcpy(&mixed, out, sizeof mixed);
    mixed ^= XXH3_64bits(f->auth.value.ptr, f->auth.value.len);
    memcpy(out, &mixed, sizeof mixed);
    return true;
}

/* Of its first two segments: what is below them is mostly one thing to an API. */
static uint64_t path_of(const struct fetch *f)
{
    struct slice path = slice_sub(f->path, 0, slice_find(f->path, '?', 0));
    size_t       end = slice_find(path, '/', slice_find(path, '/', 1) + 1);

    return XXH3_64bits(path.ptr, end);
}

int64_t denying_wait_ns(const struct site *s, const struct fetch *f, int64_t now_ns)
{
    uint8_t credential[DENIAL_BYTES];

    if (s->denials.count == 0 || f->manner.is_probe || !credential_of(f, credential))
        return 0;
    return denials_wait_ns(&s->denials, credential, path_of(f), now_ns);
}

void denying_send(struct site *s, const struct fetch *f, int64_t now_ns)
{
    uint8_t credential[DENIAL_BYTES];

    if (s->denials.count > 0 && credential_of(f, credential))
        denials_send(&s->denials, credential, now_ns);
}

void denying_hear(struct turn *t, const struct http_response *head)
{
    struct site *s = t->site;
    uint8_t      credential[DENIAL_BYTES];
    int64_t      held_ns;

    if (head->status >= 500 || !credential_of(t->fetch, credential))
        return;
    if (head->status != 401) {
        uint64_t path = s->denials.count > 0 ? path_of(t->fetch) : 0;

        if (denials_pass(&s->denials, credential, path, t->sent_ns, clock_mono_ns()))
            log_info("upstream_credential_passed", " upstream=%s status=%u", s->name, head->status);
        return;
    }
    held_ns = denials_hear(&s->denials, credential, path_of(t->fetch), t->sent_ns, clock_mono_ns(),
                           t->fetch->upstream->denied_hold_ns);
    if (held_ns == 0)
        return;
    counter_add(COUNTER_CREDENTIALS_HELD, 1);
    log_warning("upstream_credential_held", " upstream=%s for_s=%.0f", s->name, (double)held_ns / NS_PER_SEC);
}

unsigned denying_forget(struct site *s)
{
    return denials_forget(&s->denials, clock_mono_ns());
}

const char denying_text[] = "it has answered 401 to this credential, which is not sent again before that time "
                            "(auth.hold); another one is sent at once.";

void denying_say(const struct site *s, struct failure *failure)
{
    failure_set(failure, ATTEMPT_REFUSED, "http_request_denied", "%s: %s", s->name, denying_text);
    failure->denied = true;
}
