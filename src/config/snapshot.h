/*
 * What a struct config is made from: the settings it was made from and the
 * memory that all of it lives in.  Made by load.c, read by dump.c.
 */
#ifndef WEIR_CONFIG_SNAPSHOT_H
#define WEIR_CONFIG_SNAPSHOT_H

#include "base/list.h"
#include "config/config.h"
#include "config/reader.h"

struct owned_pattern {
    struct pattern            *pattern;
    SLIST_ENTRY(owned_pattern) next;
};

struct owned_zone {
    struct zone            *zone;
    SLIST_ENTRY(owned_zone) next;
};

struct snapshot {
    struct settings settings; /* the config first */
    /* everything it points at, but patterns, zones and the route table */
    struct arena arena;
    SLIST_HEAD(, owned_pattern) patterns;
    SLIST_HEAD(, owned_zone)    zones;
    /* any thread: nobody holds it any more; NULL: whoever lets go of it last frees it */
    void (*bury)(void *keeper, struct snapshot *);
    void                 *keeper;
    SLIST_ENTRY(snapshot) next_dead; /* the keeper's */
};

static inline struct snapshot *snapshot_of(struct config *c)
{
    return (struct snapshot *)(void *)c;
}

void snapshot_free(struct snapshot *);

/* Compiles a pattern that the snapshot owns; the text has passed check_pattern(). */
struct pattern *snapshot_pattern(struct snapshot *, const char *text);
/* Texts that have passed check_ttl() and check_status_ttl() (lifetimes.c). */
struct policy_ttl        snapshot_ttl(struct snapshot *, const char *text);
struct policy_status_ttl snapshot_status_ttl(struct snapshot *, const char *text);

/* One entry of `access`; the text has passed check_access() (access.c). */
struct config_access access_of(const char *text);
/* "user:NAME" or "user:1000": true, and the uid, (uint32_t)-1 where there is none (checks.c). */
bool checks_user(const char *match, uint32_t *uid);

/* Bits of enum http_method, and the names that are none of them: NULL where there are none, else in the arena and ended
 * with NULL (upstream.c). */
unsigned           config_methods_known(const char *const *names);
const char *const *config_methods_other(struct arena *, const char *const *names);

/* What follows from other settings where it is not set: `hosts` is the authority of `url`, and as many connections
 * are made and kept as max_in_flight lets be used (upstream.c). */
void upstream_derive_defaults(struct arena *, struct set_upstream *);
/* Turns one upstream's settings into what the rooms use.  The settings are without error. */
void upstream_resolve(struct snapshot *, const struct set_upstream *, struct config_upstream *out);
/* The same upstream in the configuration that this one is about to take the place of, NULL: there is none: its snapshot
 * goes over, with how far it was played, where it is the same (tapes.c). */
void config_take_tape(struct config_upstream *fresh, const struct config_upstream *old);
/* Where its settings stand (written.c). */
void written_resolve(struct snapshot *, const struct set_upstream *, struct config_upstream *out);
/* What no setting can tell alone: contradictions are errors, what was hardly meant is a warning
 * (review.c). */
void settings_review(struct reader *, const struct settings *);
/* Part of it (places.c): where one upstream's requests would go. */
void review_places(struct reader *, const struct settings *, const struct set_upstream *);
/* Another part (limits.c): limits that say the same or can never be reached. */
void review_limits(struct reader *, const struct set_upstream *);
/* Another part (files.c): what is named and not there. */
void review_files(struct reader *, const struct set_upstream *);
/* Another part (mocks.c), of the upstream or the rule whose it is. */
void review_mock(struct reader *, const struct config_setting_t *owner, const struct set_mock *);
/* NULL: there is none. */
const struct mock_options *mock_resolve(struct snapshot *, const struct set_mock *);
/* Another part (twins.c): upstreams beside one another, and the hosts of one. */
void review_twins(struct reader *, const struct set_upstream *all, unsigned count);
void review_host_list(struct reader *, const struct set_upstream *);

/* Where the query socket stands: as set, else beside the admin socket; NULL: nowhere (defaults.c). */
const char *settings_query_path(const struct settings *, struct arena *);
/* The embedded configuration (defaults.c). */
struct source;
bool default_source(struct source *, struct arena *, struct problems *, unsigned *rank);
/* Directories of an ordinary user in place of the system's. */
void defaults_for_user(struct settings *, struct arena *);

/* NAME = VALUE as a file would state it, all settings of a section. */
void dump_section(FILE *out, const struct section *, const void *base, unsigned indent);

#endif
