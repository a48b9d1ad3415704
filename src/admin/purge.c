/*
 * /purge: what a URL, a glob, a tag, an upstream, an age or staleness means is dropped, all of it at once where several
 * are said; with `dry_run` it is listed instead, as /entries does.
 *
 * The writer goes through the records in steps, and judges each; what is on its way there is overtaken by the upstream
 * thread where the key alone says that it is meant.
 */
#include "admin/entries.h"
#include "admin/meant.h"

#include "engine/purge.h"

static bool is_dropped(const struct store_record *r, void *context)
{
    struct meant      *m = context;
    struct entry_facts e;

    arena_reset(&m->scratch);
    return entry_is_meant(&m->wish, &m->reader, r, &m->scratch, &e);
}

/* An answer that is on its way: it is new, so only where and whose it is counts. */
static bool is_overtaken(struct slice full_key, void *context)
{
    const struct meant *m = context;

    for (unsigned i = 0; m->wish.upstream.ptr != NULL && i < m->config->upstream_count; i++)
        if (slice_eq(m->wish.upstream, slice_of(m->config->upstreams[i].route.name)) &&
            !purge_is_of(&m->config->upstreams[i].route, full_key))
            return false;
    return m->wish.urls == NULL || purge_matches(full_key, m->wish.urls);
}

static void meant_free_own(void *state)
{
    meant_free(state);
}

struct purge_argument {
    struct meant *meant;
    bool          dry_run;
};

/* "url": text, "expired": true, "dry_run": true. */
static bool take(struct purge_argument *r, const char *name, json_t *value, struct fault *why)
{
    struct slice text = json_is_true(value) ? SLICE("1") : slice_of(json_string_value(value));

    if (json_is_false(value) || json_is_null(value))
        return true;
    if (strcmp(name, "dry_run") == 0 && json_is_true(value))
        return r->dry_run = true;
    if (text.ptr == NULL && meant_knows(slice_of(name)))
        return fault_set(why, "\"%.60s\" is a text, or true.", name), false;
    switch (meant_take(r->meant, slice_of(name), text, why)) {
    case MEANT_TAKEN:
        return true;
    case MEANT_WRONG:
        return false;
    default:
        return fault_set(why,
                         "There is no \"%.60s\"; there are url, upstream, tag, expired, older_than, whose and dry_run.",
                         name),
               false;
    }
}

/* False: answered. */
static bool read_argument(struct admin_call *call, struct purge_argument *r)
{
    json_t      *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL), *value;
    struct fault why = { "" };
    const char  *name;
    bool         ok = true;

    json_object_foreach(root, name, value) ok = ok && take(r, name, value, &why);
    json_decref(root);
    if (!ok)
        admin_answer_problem(call, r->meant->is_url_wrong ? PROBLEM_NOT_A_PATTERN : PROBLEM_NOT_UNDERSTOOD, why.text);
    else if (r->meant->is_anything)
        admin_answer_problem(call, PROBLEM_NOTHING_TO_PURGE,
                             "Send {\"url\": \"URL or GLOB\"}, or upstream, tag, expired, older_than or whose, or "
                             "several of them.");
    return ok && !r->meant->is_anything;
}

/* Then the store knows where they are: nothing else is gone through.  Names of upstreams are the configuration's. */
static bool is_of_tag_alone(const struct entry_wish *w)
{
    return w->has_tag && w->urls == NULL && !w->not_fresh && w->older_ns < 0 && w->whose.ptr == NULL && !w->shared;
}

static void run(struct admin_call *call)
{
    struct purge_argument r = { .meant = meant_new(call) };

    call->own = (struct admin_own){ .state = r.meant, .free = meant_free_own };
    if (!read_argument(call, &r))
        return;
    if (r.dry_run) {
        call->own = (struct admin_own){ 0 };
        entries_list(call, r.meant);
        return;
    }
    if (is_of_tag_alone(&r.meant->wish)) {
        memcpy(call->change.label, r.meant->wish.tag, LABEL_NAME_BYTES);
        call->change.label_bytes = LABEL_NAME_BYTES;
        call->change.upstream = r.meant->wish.upstream.ptr;
        admin_drop(call, STORE_DROP_LABEL);
        return;
    }
    call->change.matches_record = is_dropped;
    if (!r.meant->wish.not_fresh && r.meant->wish.older_ns < 0 && r.meant->wish.whose.ptr == NULL)
        call->change.matches = is_overtaken;
    call->change.context = r.meant;
    admin_drop(call, STORE_DROP_MATCHING);
}

const struct endpoint endpoint_purge = { "/purge", HTTP_POST, run, ON_ADMIN_SOCKET_ALONE | WITHOUT_DAEMON };
