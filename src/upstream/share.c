/*
 * The head decides who gets an answer (RFC 9111 4: collapsed requests).
 *
 * Storable and fresh: everyone whose request selects it (Vary) gets it.  Else
 * it belongs to the one it was made for; the others part, each with a flight of
 * its own, at the place in the queue that their arrival gives them, and the key is
 * remembered, so that the next ones do not wait for one another.  Two exceptions:
 *
 *  - a failure (5xx, a status that `retry.on` lists, such as 429, or a body that says so) goes to everyone
 *    who waits, whatever it says about storing: asking again for each of
 *    them would be a storm at an API that has just said it cannot;
 *  - any other 4xx goes to everyone whose request selects it, unless it says no-store or
 *    private: they asked the same thing.
 *
 * A 4xx may be about who asked (401, 403, 429): it goes to those with the same credential only.
 *
 * A stream of events goes to those who wait when it begins, and to nobody who comes later: he would hear
 * old events as new ones.  It ends with the last of its readers.
 *
 * A cookie that an answer sets is given to the first of them only, unless
 * set_cookie = "store" asks for more, and what it says again of the request's credentials to the
 * one who sent them.
 */
#include "upstream/internal.h"
#include "upstream/taped.h"

#include "http/media.h"
#include "policy/freshness.h"
#include "policy/validate.h"

/* -- what may be done with it -- */

enum sharing { SHARE_ONE, SHARE_SELECTING, SHARE_ALL };

struct judgement {
    enum storable storable;
    bool          shareable;
};

/* Size says nothing about who may have it, so it is looked at apart: see judge(). */
static struct judgement ask_policy(const struct fetch *f, const struct answer *a, enum http_method as)
{
    struct http_request         request = f->request;
    struct judgement            j;
    const struct storable_input in = {
        .request = &request,
        .response = &a->head,
        .has_credential = f->caller.has_credential,
        .content_length = a->head.status == 206 ? a->content_length : -1,
        .may_store_part = f->may.store_part,
        .now_wall_ns = a->received_wall_ns,
    };

    request.method = as;
    j.storable = policy_storable(f->policy, &in);
    j.shareable = j.storable == STORABLE_YES && policy_shareable(f->policy, &in);
    return j;
}

static bool is_too_large(const struct fetch *f, int64_t bytes)
{
    return f->policy->max_object_bytes >= 0 && bytes > f->policy->max_object_bytes;
}

/* The API refuses this one signature: another request that names the same identity may well be signed rightly. */
static bool is_about_signature(const struct fetch *f, unsigned status)
{
    return f->caller.is_signed && (status == 401 || status == 403);
}

static struct judgement judge(struct flight *f, const struct fetch *fetch, struct answer *a)
{
    struct judgement j = ask_policy(fetch, a, fetch->request.method);
    bool             head = j.storable == STORABLE_METHOD && fetch->request.method == HTTP_HEAD;

    if (head) /* is not stored, but shared as the GET of it would be */
        j.shareable = ask_policy(fetch, a, HTTP_GET).shareable;
    if (a->failed)
        return (struct judgement){ STORABLE_STATUS, false };
    if (j.storable != STORABLE_YES && !head)
        return j;
    if (!fetch->has_key)
        return (struct judgement){ STORABLE_METHOD, false };
    if (!fetch->may.store)
        return (struct judgement){ STORABLE_REQUEST_NO_STORE, false };
    if (is_about_signature(fetch, a->head.status))
        return (struct judgement){ STORABLE_AUTHORIZATION, false };
    if (!policy_selection(fetch->policy, &a->head.fields, &fetch->request.fields, &a->arena, &f->selection))
        return (struct judgement){ STORABLE_VARY_STAR, false };
    if (!head && is_too_large(fetch, a->content_length))
        j.storable = STORABLE_TOO_LARGE;
    return j;
}

static enum sharing how_to_share(struct flight *f, const struct fetch *fetch, struct answer *a, bool shareable)
{
    unsigned status = a->head.status;

    if (is_about_signature(fetch, status))
        return SHARE_ONE;
    if (shareable)
        return SHARE_SELECTING;
    if (a->failed || status >= 500 || retry_status_listed(&f->site->options->retry, status))
        return SHARE_ALL;
    if (status >= 400 &&
        (a->storable == STORABLE_STATUS || a->storable == STORABLE_NO_LIFETIME ||
         a->storable == STORABLE_AUTHORIZATION) &&
        policy_selection(fetch->policy, &a->head.fields, &fetch->request.fields, &a->arena, &f->selection))
        return SHARE_SELECTING;
    return SHARE_ONE;
}

static bool selects(const struct flight *f, const struct answer *a, const struct fetch *fetch)
{
    struct arena scratch = { 0 };
    bool         yes = f->selection.ptr != NULL &&
               policy_selects(fetch->policy, f->selection, &fetch->request.fields,
                              http_fields_get(&a->head.fields, HTTP_CONTENT_ENCODING), &scratch);

    arena_free(&scratch);
    return yes;
}

/* -- giving -- */

static void hand_over(struct fetch_links *w, struct answer *a, enum fetch_event event, bool stored)
{
    struct flight *f = w->flight;
    bool           receives = f->answer != NULL && a->body != NULL && a->body == f->answer->body &&
                    spool_ended(a->body) == SPOOL_GROWING;

    w->fetch->answer = a;
    answer_acquire(a);
    w->fetch->outcome.stored = stored && store_promises(f->up->store, a->content_length);
    if (receives) {
        w->at = WAITER_RECEIVING;
        f->waiting--;
        f->receiving++;
    }
    waiter_post(w, event);
}

/* The same for others than the one who asked: without the cookies that it sets, and with marks where it says his
 * credentials again.  NULL where there is neither. */
static struct answer *for_others(const struct answer *a, const struct fetch *asked)
{
    bool cookies = asked->policy->set_cookie != SET_COOKIE_STORE &&
                   http_fields_find(&a->head.fields, HTTP_SET_COOKIE, 0) >= 0;
    struct answer *b;

    if (!cookies && !asked->caller.has_kin)
        return NULL;
    b = answer_new();
    b->head.status = a->head.status;
    b->head.fields = http_fields_copy(&a->head.fields, &b->arena);
    if (cookies)
        http_fields_remove(&b->head.fields, HTTP_SET_COOKIE);
    b->masked = asked->caller.has_kin && auth_mask(asked, MASK_MARK, &b->head.fields, &b->arena);
    if (!cookies && !b->masked) {
        answer_release(b);
        return NULL;
    }
    b->body = a->body;
    if (b->body != NULL)
        spool_acquire(b->body);
    b->content_length = a->content_length;
    b->requested_wall_ns = a->requested_wall_ns;
    b->received_wall_ns = a->received_wall_ns;
    b->storable = a->storable;
    b->http2 = a->http2;
    b->failed = a->failed;
    return b;
}

/* Cookies go to the first who gets it, credentials to nobody but the one who asked. */
static struct answer *whose(struct answer *a, struct answer *others, bool is_first, bool asked)
{
    return others == NULL || asked || (is_first && !others->masked) ? a : others;
}

/* What the head taught about Vary goes with those who part, so that equal ones among them find each other. */
static void learn_variant(const struct answer *a, struct fetch_links *w)
{
    struct arena scratch = { 0 };
    struct slice selection;

    if (policy_selection(w->fetch->policy, &a->head.fields, &w->fetch->request.fields, &scratch, &selection))
        policy_variant_hash(selection, w->variant);
    arena_free(&scratch);
}

static bool has_account(const struct fetch *f, const struct fetch *leader)
{
    return memcmp(&f->caller.account, &leader->caller.account, sizeof f->caller.account) == 0;
}

/* As far as the head tells: a stream of events is stored if it ever ends. */
static bool will_be_stored(const struct flight *f)
{
    return f->storing && (!f->live || (f->answer->content_length >= 0 && f->leader->policy->complete == NULL));
}

/* Who came after the drop of what he waits for asks anew. */
static void part_later(struct flight *f, const struct fetch *leader, int64_t than_ns, struct waiters *parted)
{
    EACH_WAITER_SAFE(w, f)
    {
        if (w->at != WAITER_WAITING || w->fetch == leader || w->fetch->patience.arrived_mono_ns < than_ns)
            continue;
        waiter_unlink(w);
        TAILQ_INSERT_TAIL(parted, w, entry);
    }
}

/* Everyone who may have it gets it; those who may not are taken off the flight, in their order. */
static void give_out(struct flight *f, const struct fetch *leader, struct answer *a, enum sharing how, bool of_account,
                     struct waiters *parted)
{
    unsigned given = 0;

    EACH_WAITER_SAFE(w, f)
    {
        bool gets = how == SHARE_ALL || w->fetch == leader || selects(f, a, w->fetch);

        if (w->at != WAITER_WAITING)
            continue;
        if ((how == SHARE_ONE && given > 0) || (of_account && !has_account(w->fetch, leader)))
            gets = false;
        if (!flight_answers(f, a, w->fetch))
            gets = w->by_search = false;
        if (gets) {
            hand_over(w, given > 0 && f->others != NULL ? f->others : a, FETCH_HEAD, will_be_stored(f));
            given++;
            continue;
        }
        waiter_unlink(w);
        learn_variant(a, w);
        TAILQ_INSERT_TAIL(parted, w, entry);
    }
}

void share_head(struct flight *f, struct turn *t, struct answer *a, struct waiters *parted)
{
    struct judgement j = judge(f, t->fetch, a);
    const int64_t    late_ns = late_dropped_ns(t, &a->head.fields);
    enum sharing     how;

    a->storable = j.storable;
    misses_end(t->fetch, j.storable);
    how = how_to_share(f, t->fetch, a, j.shareable);
    flight_become(f, FLIGHT_STREAMING);
    f->past.head_ns = clock_mono_ns();
    f->answer = a;
    answer_acquire(a);
    f->overtaken = f->overtaken || late_ns != 0;
    f->storing = a->storable == STORABLE_YES && !f->overtaken;
    f->joined_part = t->part_bytes > 0;
    if (how != SHARE_ONE)
        f->others = for_others(a, t->fetch);
    f->live = http_media_is_event_stream(http_fields_get(&a->head.fields, HTTP_CONTENT_TYPE));
    if (!f->storing || how == SHARE_ONE || f->live)
        flight_hide(f);
    if (how == SHARE_ONE) {
        /* Where the one that it was made for has left, another that selects it may have it; of "Vary: *" none does. */
        if (!policy_selection(t->fetch->policy, &a->head.fields, &t->fetch->request.fields, &a->arena, &f->selection))
            f->selection = SLICE_NONE;
        flight_remember_unshareable(f);
    }
    if (f->leader->stored.heading && a->head.status == 200 && f->leader->may.store && !f->overtaken)
        commit_head(f);
    if (late_ns != 0)
        part_later(f, t->fetch, late_ns, parted);
    give_out(f, t->fetch, a, how, !j.shareable && (a->failed || (a->head.status >= 400 && a->head.status < 500)),
             parted);
    if (!f->storing && f->receiving <= 1 && a->body != NULL && t->taping == NULL)
        spool_set_pass(a->body);
}

/* -- 304 -- */

void share_not_modified(struct flight *f, struct turn *t, struct answer *a)
{
    const struct fetch *fetch = t->fetch;
    struct http_fields  update = a->head.fields;

    a->head.status = fetch->stored.head.head.status;
    a->head.fields = policy_freshen(&fetch->stored.head.head.fields, &update, fetch->policy->own_limits, &a->arena);
    a->storable = judge(f, fetch, a).storable;
    flight_become(f, FLIGHT_STREAMING);
    f->past.head_ns = clock_mono_ns();
    f->answer = a;
    answer_acquire(a);
    flight_hide(f);
    if (a->storable == STORABLE_YES && !f->overtaken)
        commit_freshen(f);
    f->others = for_others(a, fetch);
    EACH_WAITER_SAFE(w, f)
    {
        hand_over(w, whose(a, f->others, true, w->fetch == fetch), FETCH_NOT_MODIFIED, f->committing);
    }
}

/* -- latecomers and leftovers -- */

bool share_may_late(const struct flight *f, const struct fetch *fetch)
{
    const struct answer   *a = f->answer;
    struct stored_response r;

    if (a == NULL || !f->storing || fetch->manner.must_be_new || !fetch->may.store)
        return false;
    if (a->body != NULL && (spool_is_pass(a->body) || spool_ended(a->body) == SPOOL_CUT_SHORT))
        return false;
    /* It came before it was asked for: as of a stored one, the request has its say (RFC 9111 5.2.1). */
    r = (struct stored_response){
        .head = a->head,
        .requested_wall_ns = a->requested_wall_ns,
        .received_wall_ns = a->received_wall_ns,
        .body_bytes = a->content_length,
        .had_credential = f->leader->caller.has_credential,
    };
    return policy_decide(fetch->policy, &fetch->request, &fetch->wish, &r, false, clock_wall_ns()).verdict ==
               VERDICT_SERVE &&
           selects(f, a, fetch) && flight_answers(f, a, fetch);
}

void share_late(struct flight *f, struct fetch_links *w)
{
    waiter_link(f, w);
    hand_over(w, f->others != NULL ? f->others : f->answer, FETCH_HEAD, true);
    turn_joined(f->turn);
}

bool share_spare_with(struct flight *f, struct fetch_links *w)
{
    struct answer *a = f->spare, *plain;

    if (a == NULL || (a->body != NULL && spool_ended(a->body) == SPOOL_CUT_SHORT))
        return false;
    plain = w->fetch != f->leader ? for_others(a, f->leader) : NULL;
    taped_spare(f);
    hand_over(w, plain != NULL ? plain : a, FETCH_HEAD, false);
    answer_release(plain);
    return true;
}

bool share_spare(struct flight *f)
{
    struct answer *a = f->spare, *plain;
    unsigned       given = 0;

    if (a == NULL || (a->body != NULL && spool_ended(a->body) == SPOOL_CUT_SHORT))
        return false;
    taped_spare(f);
    flight_hide(f);
    flight_become(f, FLIGHT_ENDING);
    f->keep = false;
    plain = for_others(a, f->leader);
    EACH_WAITER_SAFE(w, f)
    {
        if (w->at == WAITER_WAITING)
            hand_over(w, whose(a, plain, given++ == 0, w->fetch == f->leader), FETCH_HEAD, false);
    }
    answer_release(plain);
    if (f->leader->upload != NULL)
        upload_discard(f->leader->upload);
    flight_settle(f);
    return true;
}
