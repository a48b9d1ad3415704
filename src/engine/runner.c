/*
 * The runner: it alone moves an exchange from step to step, as the head, pieces of the body and mail come.
 */
#include "engine/internal.h"

#include "engine/dry.h"
#include "engine/service.h"

static enum step (*const step_table[])(struct exchange *) = {
#define X(id, name) [STEP_##id] = step_##name,
    ENGINE_STEPS(X)
#undef X
};

enum step exchange_step_dry(struct exchange *x)
{
    return x->at == STEP_LOOKUP ? step_lookup_dry(x) : step_table[x->at](x);
}

static void go_on(struct exchange *x);

static enum exchange_state run(struct exchange *x)
{
    x->go_on = go_on;
    while (x->at < STEP_DONE) {
        enum step next = step_table[x->at](x);

        if (next == STEP_SUSPEND)
            return EXCHANGE_WAIT;
        x->at = next;
    }
    return EXCHANGE_READY;
}

/* A body that is being taken keeps the front busy: it would not ask before its end. */
static void go_on(struct exchange *x)
{
    if (x->in.has_body)
        run(x);
    x->in.wake(x->in.owner);
}

/* RFC 9110 10.1.1: an HTTP/1.0 client cannot hear a 100. */
static bool expects_100(const struct exchange_input *in)
{
    return in->has_body && in->request.version_minor >= 1 &&
           slice_eq_nocase(http_fields_get(&in->request.fields, HTTP_EXPECT), SLICE("100-continue"));
}

bool exchange_wants_body(const struct exchange *x)
{
    return !x->body.expects || x->body.continued || x->body.collecting || x->play.collects || x->at == STEP_DONE;
}

enum exchange_state exchange_begin(struct exchange *x)
{
    x->body.expects = expects_100(&x->in);
    return run(x);
}

enum exchange_state exchange_run(struct exchange *x)
{
    return run(x);
}

size_t exchange_upload(struct exchange *x, const void *bytes, size_t count)
{
    size_t taken;

    if (x->service.handle != NULL && x->at != STEP_DONE) {
        taken = x->service.of->upload(x->service.handle, bytes, count);
        x->body.received_bytes += (int64_t)taken;
        return x->service.answered && run(x) == EXCHANGE_READY ? count : taken;
    }
    if (x->at == STEP_DRY)
        return dry_upload(x, bytes, count);
    if (x->play.collects) {
        playing_take(x, bytes, count);
        x->body.received_bytes += (int64_t)count;
        return count;
    }
    if (x->body.upload == NULL || x->at == STEP_DONE ||
        (x->fetch != NULL && (x->fetch->event == FETCH_FAILED || x->fetch->event == FETCH_REFUSED)))
        return count; /* decided already: the rest is drained */
    taken = upload_write(x->body.upload, bytes, count);
    x->body.received_bytes += (int64_t)taken;
    if (x->body.awaited)
        run(x);
    if (taken < count && x->body.collecting) {
        /* Too long to be part of a key: it goes through as it is. */
        x->body.collecting = false;
        x->has_key = x->has_key && x->body.estimating;
        run(x);
        if (x->at == STEP_DRY) /* which nobody reads for */
            taken += dry_upload(x, (const char *)bytes + taken, count - taken);
    }
    return taken;
}

void exchange_upload_end(struct exchange *x)
{
    x->body.ended = true;
    if (x->service.handle != NULL && !x->service.answered)
        x->service.of->upload_end(x->service.handle);
    if (x->body.upload != NULL)
        upload_finish(x->body.upload, true);
}
