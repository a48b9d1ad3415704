/*
 * A cell is one word: the mode and one, and the second at which it ends.
 */
#include "config/mode.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { MODE_BITS = 8 };
#define NEVER (UINT64_MAX >> MODE_BITS)

struct mode_cell {
    struct ref       ref;
    _Atomic uint64_t word; /* 0: nothing is set */
};

enum sends { SENDS_ALL, SENDS_SAFE, SENDS_NOTHING }; /* what may go to the API */

// clang-format off
static const struct {
    const char *name, *detail;
    enum sends  sends;
    const char *missing; /* NULL: it is there */
} modes[MODE_COUNT] = {
    [MODE_LIVE]           = { "live",           NULL,             SENDS_ALL,     NULL },
    [MODE_OFFLINE]        = { "offline",        "offline",        SENDS_NOTHING, NULL },
    [MODE_READ_ONLY]      = { "read_only",      "read-only",      SENDS_SAFE,    NULL },
    [MODE_DRY_RUN]        = { "dry_run",        "dry-run",        SENDS_NOTHING, NULL },
    [MODE_DRY_RUN_WRITES] = { "dry_run_writes", "dry-run-writes", SENDS_SAFE,    NULL },
    [MODE_RECORD]         = { "record",         "record",         SENDS_ALL,     NULL },
    [MODE_REPLAY]         = { "replay",         "replay",         SENDS_NOTHING, NULL },
};
// clang-format on

const char *config_mode_name(enum upstream_mode mode)
{
    return modes[mode].name;
}

const char *config_mode_detail(enum upstream_mode mode)
{
    return modes[mode].detail;
}

const char *config_mode_missing(enum upstream_mode mode)
{
    return modes[mode].missing;
}

bool config_mode_lets_all(enum upstream_mode mode)
{
    return modes[mode].sends == SENDS_ALL;
}

bool config_mode_lets_none(enum upstream_mode mode)
{
    return modes[mode].sends == SENDS_NOTHING;
}

enum upstream_mode config_mode_together(enum upstream_mode upstreams, enum upstream_mode own)
{
    return modes[own].sends >= modes[upstreams].sends ? own : upstreams;
}

bool config_mode_parse(struct slice name, enum upstream_mode *mode)
{
    for (size_t i = 0; i < MODE_COUNT; i++)
        if (slice_eq(name, slice_of(modes[i].name))) {
            *mode = (enum upstream_mode)i;
            return true;
        }
    return false;
}

static const struct config_upstream *find(const struct config *c, const char *name)
{
    const struct route_upstream *found = route_find_name(c->routes, slice_of(name));

    return found != NULL ? &c->upstreams[found->index] : NULL;
}

/* -- cells -- */

static void destroy(struct ref *ref)
{
    free(CONTAINER_OF(ref, struct mode_cell, ref));
}

struct mode_cell *mode_cell_new(void)
{
    struct mode_cell *c = mem_alloc(sizeof *c);

    ref_init(&c->ref, destroy);
    return c;
}

void mode_cell_release(struct mode_cell *c)
{
    if (c != NULL)
        ref_release(&c->ref);
}

static uint64_t word_of(struct mode_set set)
{
    uint64_t until = set.until_wall_ns == INT64_MAX ? NEVER : (uint64_t)(set.until_wall_ns / NS_PER_SEC);

    return set.is_set ? until << MODE_BITS | ((uint64_t)set.mode + 1) : 0;
}

struct mode_set config_mode_set_of(const struct config_upstream *up, int64_t now_wall_ns)
{
    uint64_t word = atomic_load_explicit(&up->mode_cell->word, memory_order_acquire), until = word >> MODE_BITS;

    if (word == 0 || (until != NEVER && (int64_t)until <= now_wall_ns / NS_PER_SEC))
        return (struct mode_set){ .is_set = false };
    return (struct mode_set){ .is_set = true,
                              .mode = (enum upstream_mode)((word & ((1u << MODE_BITS) - 1)) - 1),
                              .until_wall_ns = until == NEVER ? INT64_MAX : (int64_t)until * NS_PER_SEC };
}

enum upstream_mode config_mode_now(const struct config_upstream *up, int64_t now_wall_ns)
{
    struct mode_set set;

    if (atomic_load_explicit(&up->mode_cell->word, memory_order_relaxed) == 0)
        return up->mode;
    set = config_mode_set_of(up, now_wall_ns);
    return set.is_set ? set.mode : up->mode;
}

void config_mode_set(const struct config_upstream *up, struct mode_set set)
{
    atomic_store_explicit(&up->mode_cell->word, word_of(set), memory_order_release);
}

void config_mode_hand_over(struct config *fresh, const struct config *old)
{
    for (unsigned i = 0; i < fresh->upstream_count; i++) {
        const struct config_upstream *up = &fresh->upstreams[i], *same = find(old, up->route.name);

        if (same != NULL && same->mode == up->mode) {
            ref_acquire(&same->mode_cell->ref);
            mode_cell_release(up->mode_cell);
            ((struct config_upstream *)(uintptr_t)up)->mode_cell = same->mode_cell;
        }
    }
}

/* -- rows: "MODE CONFIGURED UNTIL" -- */

struct slice config_mode_row(const struct config_upstream *up, struct mode_set set, char out[MODE_ROW_BYTES])
{
    int n = snprintf(out, MODE_ROW_BYTES, "%s %s %" PRId64, modes[set.mode].name, modes[up->mode].name,
                     set.until_wall_ns == INT64_MAX ? INT64_MAX : set.until_wall_ns / NS_PER_SEC);

    return (struct slice){ out, (size_t)n };
}

/* One that was set while the configuration said something else is of no matter any more. */
static void load_row(void *context, struct slice name, struct slice value)
{
    const struct config          *config = context;
    const struct config_upstream *up;
    char                          text[MODE_ROW_BYTES], upstream[256], mode[16], configured[16];
    int64_t                       until;
    struct mode_set               set = { .is_set = true };

    snprintf(text, sizeof text, SLICE_FMT, SLICE_ARG(value));
    snprintf(upstream, sizeof upstream, SLICE_FMT, SLICE_ARG(name));
    up = find(config, upstream);
    if (up == NULL || sscanf(text, "%15s %15s %" SCNd64, mode, configured, &until) != 3 || until < 0 ||
        !config_mode_parse(slice_of(mode), &set.mode) || modes[set.mode].missing != NULL ||
        strcmp(configured, modes[up->mode].name) != 0)
        return;
    set.until_wall_ns = until > INT64_MAX / NS_PER_SEC ? INT64_MAX : until * NS_PER_SEC;
    config_mode_set(up, set);
}

const struct state_owner config_mode_rows = { .table = "modes", .format = 1, .load = load_row };

void config_mode_load(struct state *state, struct config *config)
{
    state_load(state, &config_mode_rows, config);
}
