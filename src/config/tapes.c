/*
 * The snapshots that upstreams name, opened when a configuration is read and handed over to the next one.
 */
#include "config/snapshot.h"

#include "tape/tape.h"

#include <string.h>

static struct tape *open_tape(const struct config_upstream *u, struct fault *why)
{
    return tape_open_path(
        &(struct tape_start){
            .name = u->snapshot.path,
            .reads = u->mode != MODE_RECORD,
            .writes = u->mode == MODE_RECORD || u->snapshot.miss == TAPE_MISS_RECORD,
            .options = &u->snapshot,
            .credential_fields = u->route.policy.credential_headers,
            .credential_params = u->route.policy.credential_params,
        },
        why);
}

/* One that no mode needs yet may be missing: it is looked for again when the configuration is read anew. */
bool config_open_tapes(struct config *c, FILE *problems)
{
    struct config_upstream *all = (struct config_upstream *)(uintptr_t)c->upstreams;
    bool                    good = true;

    for (unsigned i = 0; i < c->upstream_count; i++) {
        struct config_upstream *u = &all[i];
        struct fault            why = { "" };
        bool                    needed = u->mode == MODE_RECORD || u->mode == MODE_REPLAY;

        if (u->snapshot.path == NULL || u->tape != NULL)
            continue;
        u->tape = open_tape(u, &why);
        if (u->tape != NULL || !needed)
            continue;
        good = false;
        if (problems != NULL)
            fprintf(problems, "%s: upstreams.%s.snapshot: %s\n", c->file != NULL ? c->file : "the embedded default",
                    u->route.name, why.text);
    }
    return good;
}

const char *config_tape_missing(const struct config_upstream *u, enum upstream_mode mode)
{
    if (mode == MODE_REPLAY && (u->tape == NULL || !tape_plays(u->tape)))
        return "replay wants a snapshot that is open: snapshot = { path = \"paper.weir\"; } in the configuration, of a "
               "folder that is there when it is read.";
    if (mode == MODE_RECORD && (u->tape == NULL || !tape_records(u->tape)))
        return "record wants a snapshot that may be written: mode = \"record\" in the configuration, or snapshot = "
               "{ path = \"paper.weir\"; miss = \"record\"; }.";
    return NULL;
}

static bool same_texts(const char *const *a, const char *const *b)
{
    while (a != NULL && b != NULL && *a != NULL && *b != NULL && strcmp(*a, *b) == 0) {
        a++;
        b++;
    }
    return (a == NULL || *a == NULL) && (b == NULL || *b == NULL);
}

static bool is_same(const struct config_upstream *a, const struct config_upstream *b)
{
    const struct tape_options *x = &a->snapshot, *y = &b->snapshot;

    return a->mode == b->mode && x->path != NULL && y->path != NULL && strcmp(x->path, y->path) == 0 &&
           x->miss == y->miss && x->order == y->order && x->time == y->time && x->timing == y->timing &&
           same_texts(x->redact, y->redact) &&
           same_texts(a->route.policy.credential_headers, b->route.policy.credential_headers) &&
           same_texts(a->route.policy.credential_params, b->route.policy.credential_params);
}

void config_take_tape(struct config_upstream *fresh, const struct config_upstream *old)
{
    if (old == NULL || old->tape == NULL || !is_same(old, fresh))
        return;
    tape_release(fresh->tape);
    tape_acquire(old->tape);
    fresh->tape = old->tape;
}
