/*
 * What was dropped by label of late.  Of an answer whose head has not come yet nobody knows what labels it will bear: a
 * drop is remembered here, and who was asked before it and answers after it is held against it then.
 */
#include "upstream/internal.h"

#include "base/clock.h"

bool late_bears(const struct answer *a, const struct fetch *f, const uint8_t *label, size_t bytes)
{
    struct arena  scratch = { 0 };
    struct labels labels;
    bool          yes;

    policy_labels(f->policy, policy_key_origin(f->key.full), &a->head.fields, &scratch, &labels);
    yes = store_has_label(policy_labels_slice(&labels), label, bytes);
    arena_free(&scratch);
    return yes;
}

void late_note(struct late_drops *late, const struct store_change *drop)
{
    struct late_drop *d = &late->items[late->count++ % LATE_DROPS];

    memcpy(d->label, drop->label, sizeof d->label);
    d->bytes = drop->label_bytes;
    d->at_ns = clock_mono_ns();
}

/* Where more were dropped since than are remembered, it may have been any, and just now. */
static int64_t newest(const struct late_drops *late, int64_t since_ns, struct slice labels)
{
    const unsigned kept = late->count > LATE_DROPS ? LATE_DROPS : late->count;

    for (unsigned i = 1; i <= kept; i++) {
        const struct late_drop *d = &late->items[(late->count - i) % LATE_DROPS];

        if (d->at_ns < since_ns)
            return 0;
        if (store_has_label(labels, d->label, d->bytes))
            return d->at_ns;
    }
    return late->count > LATE_DROPS ? clock_mono_ns() : 0;
}

int64_t late_dropped_ns(const struct turn *t, const struct http_fields *fields)
{
    const struct late_drops *late = &t->up->late_drops;
    struct arena             scratch = { 0 };
    struct labels            labels;
    int64_t                  at_ns;

    if (late->count == 0 || late->items[(late->count - 1) % LATE_DROPS].at_ns < t->sent_ns || !t->fetch->has_key)
        return 0;
    policy_labels(t->fetch->policy, policy_key_origin(t->fetch->key.full), fields, &scratch, &labels);
    at_ns = labels.count > 0 ? newest(late, t->sent_ns, policy_labels_slice(&labels)) : 0;
    arena_free(&scratch);
    return at_ns;
}
