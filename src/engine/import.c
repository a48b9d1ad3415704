/*
 * See import.h.  The rules are those of an answer that has just come (upstream/share.c, commit.c).
 */
#include "engine/import.h"

#include "base/clock.h"
#include "engine/explain_parts.h"
#include "policy/search.h"
#include "policy/storable.h"
#include "policy/vary.h"

static const char *const ends[] = { "stored", "private", "not-storable", "no-upstream", "wrong-owner" };

const char *import_end_name(enum import_end end)
{
    return ends[end];
}

static bool says_private(const struct http_fields *f, struct arena *a)
{
    struct slice said = http_fields_join(f, SLICE("Cache-Control"), a);

    for (size_t at = 0; said.ptr != NULL && at < said.len; at++)
        if (slice_eq_nocase(slice_sub(said, at, at + 7), SLICE("private")))
            return true;
    return http_fields_find(f, HTTP_SET_COOKIE, 0) >= 0;
}

/* Is the key the one of whom `as` names? */
static bool is_of(const struct explained *o, const struct exchange *x, struct slice as)
{
    if (slice_eq(as, SLICE("shared")))
        return !x->auth.adds;
    return x->auth.adds && slice_starts_with(as, SLICE("auth:")) &&
           slice_eq(slice_sub(as, 5, as.len), slice_of(o->up->route.name));
}

static enum import_end judge_owner(const struct explained *o, const struct exchange *x, const struct import_item *i,
                                   struct arena *a, struct fault *why)
{
    const bool is_private = i->had_credential || says_private(&i->fields, a);

    if (i->as.ptr == NULL && is_private) {
        fault_set(why,
                  "It was asked with a credential, or says that it is private: \"as\" has to say whose it becomes.");
        return IMPORT_PRIVATE;
    }
    if (i->as.ptr == NULL || is_of(o, x, i->as))
        return IMPORT_STORES;
    if (x->auth.adds)
        fault_set(why, "To \"%s\" Weir adds a credential: what is imported for it becomes auth:%s.", o->up->route.name,
                  o->up->route.name);
    else
        fault_set(why, "To \"%s\" Weir adds no credential: what is imported for it becomes shared.", o->up->route.name);
    return IMPORT_WRONG_OWNER;
}

static enum storable judge_policy(const struct fetch *f, const struct import_item *i, struct arena *a,
                                  struct slice *selection)
{
    const struct http_response  r = { .status = i->status, .fields = i->fields };
    const struct storable_input in = {
        .request = &f->request,
        .response = &r,
        .has_credential = f->caller.has_credential,
        .content_length = i->body_bytes,
        .now_wall_ns = clock_wall_ns(),
    };
    enum storable s = policy_storable(f->policy, &in);

    if (s != STORABLE_YES)
        return s;
    if (!f->has_key || f->request.method == HTTP_HEAD)
        return STORABLE_METHOD;
    if (!f->may.store)
        return STORABLE_REQUEST_NO_STORE;
    if (!policy_selection(f->policy, &i->fields, &f->request.fields, a, selection))
        return STORABLE_VARY_STAR;
    return i->body_bytes > f->policy->max_object_bytes ? STORABLE_TOO_LARGE : STORABLE_YES;
}

static void fill(const struct fetch *f, const struct import_item *i, struct slice selection, struct store_change *c,
                 struct arena *a)
{
    const struct http_response r = { .status = i->status, .fields = i->fields };
    struct labels             *labels = arena_alloc(a, sizeof *labels);

    *c = (struct store_change){ .kind = STORE_PUT };
    memcpy(c->hash, f->key.hash, sizeof c->hash);
    memcpy(c->tag, f->key.path_tag, sizeof c->tag);
    policy_variant_hash(selection, c->variant);
    c->full_key = f->key.full;
    c->selection = selection;
    c->upstream = f->upstream->name;
    c->max_share = f->upstream->max_share;
    c->status = i->status;
    c->fields = policy_stored_fields(f->policy, &r, a);
    policy_labels(f->policy, policy_key_origin(f->key.full), &i->fields, a, labels);
    policy_search_labels(&f->key, &i->fields, a, labels);
    c->labels = policy_labels_slice(labels);
    c->requested_wall_ns = i->requested_wall_ns;
    c->received_wall_ns = i->received_wall_ns;
    c->had_credential = f->caller.has_credential;
    c->body_bytes = i->body_bytes;
}

enum import_end import_change(struct explain *e, const struct import_item *i, struct store_change *c, struct arena *a,
                              struct fault *why)
{
    const struct explained *o = explain_result(e);
    const struct fetch     *f = o->fetch;
    enum import_end         end;
    enum storable           s;
    struct slice            selection;

    if (o->up == NULL) {
        fault_set(why, "No upstream has the host of this URL: the configuration wants one whose url or hosts name it.");
        return IMPORT_NO_UPSTREAM;
    }
    end = judge_owner(o, e->x, i, a, why);
    if (end != IMPORT_STORES)
        return end;
    s = f != NULL ? judge_policy(f, i, a, &selection) : STORABLE_METHOD;
    if (s != STORABLE_YES) {
        fault_set(why, "No such response is stored: %s.", explain_storable_text(s));
        return IMPORT_NOT_STORED;
    }
    fill(f, i, selection, c, a);
    return IMPORT_STORES;
}
