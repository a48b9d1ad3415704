/*
 * The mode of an upstream at this moment: what the configuration says or, where somebody has set another at run time,
 * that one, until it is set again, its time ends, or the upstream's own `mode` line becomes another (contract: modes.md
 * 1).
 *
 * What was set stands in a row of the state directory and in a cell of memory that one configuration hands to the next.
 * Any thread may read and set cells; they are one word each.
 */
#ifndef WEIR_CONFIG_MODE_H
#define WEIR_CONFIG_MODE_H

#include "config/config.h"
#include "store/state.h"

struct mode_cell;

struct mode_set { /* at run time */
    bool               is_set;
    enum upstream_mode mode;
    int64_t            until_wall_ns; /* in whole seconds; INT64_MAX: until it is set again */
};

#define MODE_NAMES "live, offline, read_only, dry_run, dry_run_writes, record or replay"

const char *config_mode_name(enum upstream_mode);
/* The token of Cache-Status detail; NULL: none. */
const char *config_mode_detail(enum upstream_mode);
/* NULL, or why nobody can have that mode: what this program lacks. */
const char *config_mode_missing(enum upstream_mode);
/* Does all go to the API under it? */
bool config_mode_lets_all(enum upstream_mode);
/* ... and nothing at all? */
bool config_mode_lets_none(enum upstream_mode);
/* What holds where a client, or a request, has a mode of its own: that one, but never does more go to the API than the
 * upstream's own mode lets go. */
enum upstream_mode config_mode_together(enum upstream_mode upstreams, enum upstream_mode own);
/* False: there is no such mode. */
bool               config_mode_parse(struct slice name, enum upstream_mode *);
enum upstream_mode config_mode_now(const struct config_upstream *, int64_t now_wall_ns);
struct mode_set    config_mode_set_of(const struct config_upstream *, int64_t now_wall_ns);
void               config_mode_set(const struct config_upstream *, struct mode_set);

/* -- rows: by the upstream's name -- */
enum { MODE_ROW_BYTES = 96 };
extern const struct state_owner config_mode_rows;
/* The row's text. */
struct slice config_mode_row(const struct config_upstream *, struct mode_set, char out[MODE_ROW_BYTES]);
/* At a start. */
void config_mode_load(struct state *, struct config *);

/* -- cells -- */
struct mode_cell *mode_cell_new(void);
void              mode_cell_release(struct mode_cell *);
/* `fresh` is about to take the place of `old`: before anybody sees it. */
void config_mode_hand_over(struct config *fresh, const struct config *old);

#endif
