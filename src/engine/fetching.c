/*
 * The step that asks the API: it begins when there is something to send, and ends when the upstream thread has it.
 */
#include "engine/internal.h"

/* Before anything that may be waited for: from here on the client's body is taken. */
static void open_upload(struct exchange *x)
{
    if (!x->in.has_body || x->body.upload != NULL)
        return;
    x->body.upload = upload_new(x->in.body_bytes);
    upload_set_worker(x->body.upload, x->engine->mailbox, &x->body.room);
}

/* A request takes a place at the API when there is something to send: the first byte of its body, or the head of one
 * that is held back for a 100. */
static bool awaits_body(const struct exchange *x)
{
    return x->body.upload != NULL && !x->body.ended && !x->body.expects && x->body.received_bytes == 0;
}

enum step step_fetch(struct exchange *x)
{
    bool              had = x->stored.selected;
    struct credential c;
    struct fetch     *f;

    open_upload(x);
    candidate_keep(x);
    if (had && !x->stored.selected)                 /* its body file is gone: not worth asking about */
        x->decision.verdict = VERDICT_FETCH;
    x->body.awaited = awaits_body(x);
    if (x->body.awaited)
        return STEP_SUSPEND;
    switch (inject_await(x, &c)) {
    case CREDENTIAL_READY:
        break;
    case CREDENTIAL_RUNNING:
        return STEP_SUSPEND;
    case CREDENTIAL_FAILED:
        return serve_cover(x, 0, "stale-if-error") ? STEP_FINISH : inject_failed(x, &c);
    }
    f = asking_fill(x);
    if (x->body.upload != NULL) {
        upload_acquire(x->body.upload);
        f->upload = x->body.upload;
        f->expects = x->body.expects && x->body.received_bytes == 0 && !x->body.ended;
    }
    f->owner = x;
    x->fetch = f;
    x->forwarded = true;
    asking_submit(x, f);
    x->at = STEP_AWAIT;
    return STEP_SUSPEND;
}
