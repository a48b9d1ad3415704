/*
 * The configuration as the rooms use it: one immutable snapshot, reference
 * counted, swapped whole on reload.  Reading files, names of settings and
 * their documentation are config/'s alone; main and front hold snapshots.
 */
#ifndef WEIR_CONFIG_CONFIG_H
#define WEIR_CONFIG_CONFIG_H

#include "base/fault.h"
#include "base/log.h"
#include "base/ref.h"
#include "base/traffic.h"
#include "engine/options.h"
#include "jobs/options.h"
#include "policy/options.h"
#include "route/route.h"
#include "store/options.h"
#include "tape/options.h"
#include "upstream/options.h"

#include <stdio.h>

struct config_listener {
    const char *address; /* "127.0.0.1:8080", "[::1]:8080", "unix:/path" */
    unsigned    mode;    /* unix sockets: 0600 and the like */
    const char *group;   /* NULL: unchanged */
};

enum access_log_kind { ACCESS_STDERR, ACCESS_JOURNAL, ACCESS_FILE, ACCESS_OFF };
enum access_format { ACCESS_JSON, ACCESS_PLAIN, ACCESS_LOGFMT, ACCESS_COMBINED };

/* Where they are named: config/mode.c. */
enum upstream_mode {
    MODE_LIVE,
    MODE_OFFLINE,
    MODE_READ_ONLY,
    MODE_DRY_RUN,
    MODE_DRY_RUN_WRITES,
    MODE_RECORD,
    MODE_REPLAY,
    MODE_COUNT
};

struct mode_cell;

struct config_identity { /* several tokens of one principal */
    const char        *name;
    const char *const *value_files; /* FILE, "credential:NAME" or "env:NAME"; ends with NULL */
    struct slice      *tokens;      /* what stands there: config_read_secrets() */
    unsigned           token_count;
};

enum access_kind { ACCESS_USER, ACCESS_GROUP, ACCESS_NETWORK };

struct config_access { /* one entry of `access` */
    enum access_kind kind;
    uint32_t         id; /* uid or gid; -1: there is no such user or group */
    uint8_t          address[16];
    unsigned         address_bytes, bits;
};

struct config_place { /* in the files of the configuration */
    const char *file; /* NULL: in none, it is a default */
    unsigned    line;
};

struct config_written {        /* a setting that a file states */
    const char         *name;  /* "ttl", and of a group within "retry.attempts" */
    const char         *value; /* as it is written, of a short one that is no list; else NULL */
    struct config_place at;
};

struct config_group_written { /* those of one group */
    struct config_place          at;
    const struct config_written *settings;
    unsigned                     count;
};

struct config_upstream {
    /* name, hosts, rules with their policies; equal to the one in `routes` */
    struct route_upstream             route;
    struct upstream_options           fetch;
    const struct timeout_options     *rule_timeouts; /* of each of the route's rules */
    const struct mock_options *const *rule_mocks;    /* the same; NULL: it has none */
    const struct mock_options        *mock;          /* NULL: none */
    enum upstream_mode                mode;
    struct tape_options               snapshot;
    struct tape                      *tape; /* open: config_open_tapes(); a reference; NULL: none */
    bool                              intercept, rewrite_links;
    bool                              jobs;          /* Prefer: respond-async is Weir's */
    const char *const                *allow_origins; /* lists end with NULL; NULL: none */
    bool                              has_access;    /* false: all */
    const struct config_access       *access;
    unsigned                          access_count;
    /* NULL: not set */
    const char                   *auth_header, *auth_param, *auth_value_file, *auth_command;
    struct slice                  auth_value;     /* of auth_value_file: config_read_secrets() */
    unsigned                      auth_methods;   /* bit set of enum http_method */
    const char                   *via_value_file; /* NULL: not set; what stands there goes to fetch.via */
    const struct config_identity *identities;
    unsigned                      identity_count;
    int64_t                       bust_every_ns; /* with policy's bust_param; less than 0: not set */
    /* where it stands: of the upstream, then of each of its rules; and of each of its limits */
    const struct config_group_written *written;
    const struct config_place         *limits_at;
    struct traffic                    *traffic;   /* of its requests: a reference */
    struct mode_cell                  *mode_cell; /* what is set at run time: mode.h; a reference */
};

struct config_client {   /* a class: the first that fits counts */
    const char *match;   /* "*" stands for any characters */
    bool        has_uid; /* "user:NAME": whom the kernel says the client is; `match` is not looked at */
    uint32_t    uid;     /* -1: there is no such user */
    bool        batch;
    double      share;
};

struct config_proxy {
    const char        *listen; /* NULL: none */
    bool               tunnel;
    bool               required;       /* false in the embedded default: a busy port is a warning */
    const char *const *tunnel_private; /* hosts, addresses, networks; NULL: none */
    unsigned           max_tunnels;
    int64_t            tunnel_idle_ns, tunnel_life_ns;
};

struct config_access_log {
    enum access_log_kind kind;
    const char          *file; /* ACCESS_FILE */
    enum access_format   format;
};

/* Of the daemon's own sockets. */
struct config_timeout {
    int64_t head_ns, body_ns, idle_ns, drain_ns;
};

struct config {
    struct ref                    ref;  /* config_release() */
    const char                   *file; /* NULL: the embedded default */
    const struct config_listener *listeners;
    unsigned                      listener_count;
    unsigned                      workers;        /* resolved: at least 1 */
    struct config_listener        admin_socket;   /* address "unix:/run/weir/admin.sock" */
    struct config_listener        query_socket;   /* for reading alone; address NULL: none */
    const char                   *admin_listen;   /* NULL: none */
    const char                   *metrics_listen; /* NULL: none */
    struct store_options          cache;
    struct state_options          state;
    struct config_proxy           proxy;
    enum log_level                log_level;
    struct config_access_log      access_log;
    bool                          allow_remote;
    /* names that Host may be beside loopback names and listed hosts */
    const char *const            *allow_hosts;
    struct batch_options          batch;
    struct jobs_options           jobs;
    const char                   *public_url; /* NULL: not set */
    unsigned                      max_connections, max_connections_per_client;
    struct config_timeout         timeout;
    const struct config_client   *clients;
    unsigned                      client_count;
    const struct config_upstream *upstreams;
    unsigned                      upstream_count;
    /* of each upstream, in order: for upstream_configure() */
    const struct upstream_options **fetch_options;
    struct route_table             *routes;
    struct traffic                 *traffic; /* of requests for no upstream: a reference */
};

/* The setting that counts for a rule (NULL: where none matches), of itself or else of its upstream; NULL: no file
 * states it. */
const struct config_written *config_find_written(const struct config_upstream *, const struct route_rule *,
                                                 const char *setting);
struct config_place          config_rule_place(const struct config_upstream *, const struct route_rule *);
/* By the limit's name; of an upstream that shares a budget its own alone. */
struct config_place config_limit_place(const struct config_upstream *, const char *limit);

static inline void config_acquire(struct config *c)
{
    ref_acquire(&c->ref);
}
static inline void config_release(struct config *c)
{
    if (c != NULL)
        ref_release(&c->ref);
}

/* Problems are printed to `problems` (may be NULL), one line each: "FILE:LINE: setting: what is
 * wrong; what would be right".  NULL where there was an error; warnings ("FILE:LINE: warning: ...")
 * alone do not fail.  The files conf.d/?.conf (any name) beside the file adds upstreams. */
struct config *config_load(const char *file /* NULL: the embedded default */, FILE *problems);
/* Before it is handed on: counts of the upstreams that `old` has too, and of no upstream's requests, go over to it. */
void config_take_traffic(struct config *, const struct config *old);
/* The upstream of that name; NULL: there is none. */
const struct config_upstream *config_find_upstream(const struct config *, const char *name);
/* Before it is handed on: reads what its value_file settings name.  False: a line in `problems` (may be NULL) for each
 * that cannot be read. */
bool config_read_secrets(struct config *, FILE *problems);
/* Opens the snapshots that upstreams name.  False where one cannot be opened that its upstream's mode needs. */
bool config_open_tapes(struct config *, FILE *problems);
/* Why the upstream cannot have that mode with the snapshot that it names, or names none; NULL: it can. */
const char *config_tape_missing(const struct config_upstream *, enum upstream_mode);
/* What an ordinary user gets without a file (contract section 1): XDG directories, shipped
 * upstreams. */
struct config *config_load_default(FILE *problems);
/* The file that would be used when none is named: /etc/weir/weir.conf, the user's, or NULL for the
 * embedded default. In `buffer`. */
const char *config_find(char *buffer, size_t bytes);
/* Every setting in effect, as a file that could be loaded again. */
void config_dump(const struct config *, FILE *out);
/* Settings that only a restart can change and that differ: names, comma separated; empty: none. */
void config_restart_needed(const struct config *old, const struct config *fresh, char *names, size_t bytes);

#endif
