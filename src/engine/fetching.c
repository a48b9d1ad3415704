/*
 * The step that asks the API: it begins when there is something to send, and ends when the upstream thread has it.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "engine/dry.h"
#include "engine/service.h"

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

static void receive_peer(struct mail *m)
{
    struct exchange *x = CONTAINER_OF(CONTAINER_OF(m, struct peer_wait, mail), struct exchange, peer.wait);

    x->peer.waits = false;
    if (!x->closed)
        x->go_on(x);
}

/* The class may depend on the process: it is waited for, but not for long (peer/finder.h). */
static bool awaits_peer(struct exchange *x)
{
    struct naming_process *p = &x->peer;

    if (p->waited || x->client.name.ptr != NULL || !client_asks_process(x->config, &x->in, &x->wish, &x->arena))
        return p->waits;
    p->wait.mail.receive = receive_peer;
    p->wait.mailbox = x->engine->mailbox;
    p->waits = p->waited = !peer_find(x->engine->services->finder, x->in.card(x->in.owner), &p->wait);
    return p->waits;
}

void fetching_keep(struct exchange *x)
{
    bool had = x->stored.selected;

    candidate_keep(x);
    if (had && !x->stored.selected) /* its body file is gone: not worth asking about */
        x->decision.verdict = VERDICT_FETCH;
}

/* -- what is answered later -- */

/* It is not asked for by this exchange; what came of its body goes along. */
static enum step hand_over(struct exchange *x)
{
    const struct engine_service *to = &x->engine->services->later->taking;
    char                         piece[16 * 1024];
    size_t                       got;

    candidate_drop(x);
    x->log.cache = "own";
    x->log.detail = "later";
    x->body.continued = true;
    x->service.of = to;
    x->service.handle = to->open(x);
    if (x->service.handle == NULL || x->body.upload == NULL)
        return STEP_OWN;
    while (upload_read(x->body.upload, piece, sizeof piece, &got) == UPLOAD_BYTES)
        to->upload(x->service.handle, piece, got);
    if (x->body.ended)
        to->upload_end(x->service.handle);
    return STEP_OWN;
}

static void receive_told(struct fetch *f)
{
    struct exchange       *x = f->owner;
    struct fetch_progress *p = f->progress;

    if (x == NULL)
        return;
    if (p->is_sent)
        x->in.job->sent(x->in.job);
    else
        x->in.job->queued(x->in.job, p->wait_ns, p->ahead);
}

/* RFC 9110 9.2.2. */
static bool may_be_repeated(const struct fetch *f)
{
    return http_method_is_idempotent(f->request.method) ||
           http_fields_find(&f->request.fields, HTTP_IDEMPOTENCY_KEY, 0) >= 0;
}

static void follow(const struct exchange *x, struct fetch *f)
{
    f->progress = arena_alloc(&f->arena, sizeof *f->progress);
    f->progress->told = receive_told;
    f->progress->fetch = f;
    f->progress->number = x->in.job->number;
    f->progress->mark = may_be_repeated(f) ? NULL : x->in.job->mark;
}

enum step step_fetch(struct exchange *x)
{
    struct credential c;
    struct fetch     *f;

    CHECK(!dry_is(x));
    if (x->service.is_wanted)
        return hand_over(x);
    open_upload(x);
    fetching_keep(x);
    x->body.awaited = awaits_body(x);
    if (x->body.awaited)
        return STEP_SUSPEND;
    if (estimate_awaits_body(x)) {
        x->body.awaited = true;
        return STEP_SUSPEND;
    }
    if (awaits_peer(x))
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
    if (x->in.job != NULL)
        follow(x, f);
    f->owner = x;
    x->fetch = f;
    x->so_far.forwarded = true;
    asking_submit(x, f);
    x->at = STEP_AWAIT;
    return STEP_SUSPEND;
}
