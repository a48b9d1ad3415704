/*
 * The settings as the files state them, before they are turned into what the
 * rooms use, and the table that describes every one of them.
 *
 * A row of the table names a setting, its type, default, reload class and
 * help, and where its value stands in the structs below.  The loader fills
 * the structs from libconfig's tree, --dump-config prints them, the manual's
 * tables are printed from the rows: nothing else knows a setting's name.
 * `from` is the group in libconfig's tree; it is valid while files are loaded.
 */
#ifndef WEIR_CONFIG_SETTINGS_H
#define WEIR_CONFIG_SETTINGS_H

#include "base/fault.h"
#include "base/slice.h"

#include <limits.h>
#include <stdio.h>

struct config_setting_t;                      /* libconfig's */

enum option_type {
    TYPE_BOOL,                                /* bool */
    TYPE_INT,                                 /* unsigned; INT_NOT_SET */
    TYPE_NUMBER,                              /* double */
    TYPE_SHARE,                               /* double, 0.0 to 1.0; -1: not set */
    TYPE_DURATION,                            /* int64_t, nanoseconds; -1: not set */
    TYPE_SIZE,                                /* int64_t, bytes; -1: not set */
    TYPE_WORD,                                /* int, index into `words`; -1: not set */
    TYPE_MODE,                                /* unsigned, file mode */
    TYPE_TEXT,                                /* const char *; NULL: not set */
    TYPE_PATH,                                /* const char *, absolute; NULL: not set */
    /* const char *const *, ends with NULL; NULL: not set */
    TYPE_TEXTS,
    TYPE_STATUSES,                            /* const unsigned *, ends with 0 */
    /* the rows of `section`, in the same struct at `offset` */
    TYPE_GROUP,
    TYPE_GROUPS,                              /* struct group_list */
    TYPE_COUNT
};

#define INT_NOT_SET UINT_MAX                  /* larger than any row's range */

enum reload_class {
    RELOAD_LIVE,                              /* a reload is enough */
    RELOAD_RESTART                            /* only a restart changes it */
};

struct section;

struct option {
    const char           *name;               /* NULL: behind the last row */
    enum option_type      type;
    /* the default, as a file would state it; NULL: not set */
    const char           *value;
    enum reload_class     reload;
    size_t                offset;
    const char           *help;
    /* for messages, where the type says too little; may be NULL */
    const char           *wanted;
    /* for the manual: what "not set" means, or a default that the build decides */
    const char           *unset;
    const struct section *section;            /* TYPE_GROUP, TYPE_GROUPS */
    const char *const    *words;              /* TYPE_WORD; ends with NULL */
    /* TYPE_TEXT, each of TYPE_TEXTS */
    bool                (*check)(const char *text, struct fault *why);
    int64_t               min, max;           /* TYPE_INT, TYPE_NUMBER, TYPE_DURATION, TYPE_SIZE */
    bool                  required;
};

struct section {
    const char           *title;              /* for the manual and for "belongs in" */
    const struct option  *options;
    size_t                bytes;              /* of the struct; TYPE_GROUPS only */
    /* the setting that a bare text stands for, in place of the group; NULL: a group is needed */
    const char           *plain;
    void                (*inherit)(void *element, const void *parent);   /* NULL: nothing */
};

struct group_list {                           /* of one TYPE_GROUPS row */
    /* structs of section->bytes, each begins with `from` */
    void    *items;
    unsigned count;
};

extern const struct section section_top;

struct set_listener {
    const struct config_setting_t *from;
    const char *address;
    unsigned    mode;
    const char *group;
};

struct set_client {
    const struct config_setting_t *from;
    const char *match;
    int         priority;
    double      share;
};

struct set_identity {
    const struct config_setting_t *from;
    const char        *name;
    const char *const *value_files;
};

struct set_limit {
    const struct config_setting_t *from;
    const char        *rate, *name, *match;
    int                per;
    const char *const *methods, *const *cost;
};

struct set_policy {                           /* what a rule inherits from its upstream */
    const char        *ttl;
    int64_t            stale_if_error_ns, stale_while_revalidate_ns, max_object_bytes;
    int                partition, set_cookie, validate;
    double             heuristic;
    const char *const *ignore_params, *const *match_headers;
};

struct set_timeout {                          /* and this */
    int64_t            connect_ns, read_ns, write_ns, total_ns;
};

struct set_rule {
    const struct config_setting_t *from;
    const char        *match;
    const char *const *methods, *const *status, *const *invalidates;
    bool               key_body, share;
    struct set_policy  policy;
    struct set_timeout timeout;
};

struct set_upstream {
    const struct config_setting_t *from;
    const char        *name, *url;
    const char *const *hosts;
    struct group_list  limits, rules, identities;
    unsigned           max_in_flight, max_connections, max_idle_connections;
    int64_t            queue_wait_ns;
    unsigned           queue_length;
    unsigned           attempts;
    int64_t            backoff_ns, max_backoff_ns;
    const unsigned    *retry_on;
    double             retry_share;
    struct set_timeout timeout;
    struct set_policy  policy;
    const char *const *credential_headers, *const *credential_params, *const *ignore_cookies;
    int                invalidate, on_abort, mode;
    double             max_share;
    const char        *auth_header, *auth_param, *auth_value_file, *auth_command;
    const char *const *auth_methods;
    const char *const *access, *const *set_headers, *const *allow_origins;
    const char        *user_agent, *budget;
    const char        *low_budget_below;
    int64_t            low_budget_stale_ns;
    int64_t            learned_max_wait_ns;
    const char        *bust_name;
    int64_t            bust_every_ns;
    bool               rewrite_links, intercept, tls_verify;
    const char        *ca_file, *cert_file, *key_file;
    const char        *via_url, *via_value_file, *via_ca_file;
};

struct settings {
    const struct config_setting_t *from;
    struct group_list  listeners, clients, upstreams;
    unsigned           workers;
    const char        *admin_path, *admin_group, *admin_listen, *admin_query;
    unsigned           admin_mode;
    const char        *cache_path, *state_path;
    int64_t            cache_bytes, max_object_bytes, learned_max_wait_ns;
    const char        *proxy_listen;
    int                proxy_tunnel;
    const char *const *tunnel_private;
    unsigned           max_tunnels;
    int64_t            tunnel_idle_ns, tunnel_life_ns;
    int                log_level, log_format;
    const char        *log_access;
    bool               allow_remote;
    const char *const *allow_hosts;
    unsigned           max_connections, max_connections_per_client;
    int64_t            head_timeout_ns, body_timeout_ns, idle_timeout_ns;
};

/* The settings tables of weir.conf(5), as mdoc. */
void options_print_manual(FILE *out);
/* Calls `each` with every row of the table and the section it stands in; a section is visited once.
 */
void options_visit(void (*each)(void *context, const struct section *, const struct option *),
                   void *context);

#endif
