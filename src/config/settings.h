/*
 * The table that describes every setting, and the structs that its rows lead into.
 *
 * A row names a setting, its type, default, reload class and help, and the field where its value stands: one of the
 * options that the room uses (`to`), or a text beside them from which those are made (upstream.c, load.c).  The loader
 * fills the fields from libconfig's tree, --dump-config prints them, the manual's tables are printed from the rows:
 * nothing else knows a setting's name.
 * `from` is the group in libconfig's tree; it is valid while files are loaded.
 */
#ifndef WEIR_CONFIG_SETTINGS_H
#define WEIR_CONFIG_SETTINGS_H

#include "config/config.h"

#include <limits.h>
#include <stdio.h>

struct config_setting_t; /* libconfig's */

enum option_type {
    TYPE_BOOL,     /* bool */
    TYPE_INT,      /* unsigned; INT_NOT_SET */
    TYPE_NUMBER,   /* double */
    TYPE_SHARE,    /* double, 0.0 to 1.0; no number: not set */
    TYPE_DURATION, /* int64_t, nanoseconds; -1: not set */
    TYPE_SIZE,     /* int64_t or, where there is a default, uint64_t; -1: not set */
    TYPE_WORD,     /* bool or enum, as `words` say; 0 that is none of them: not set */
    TYPE_MODE,     /* unsigned, file mode */
    TYPE_TEXT,     /* const char *; NULL: not set */
    TYPE_PATH,     /* const char *, absolute; NULL: not set */
    /* const char *const *, ends with NULL; NULL: not set */
    TYPE_TEXTS,
    TYPE_STATUSES, /* const unsigned *, ends with 0 */
    TYPE_GROUP,    /* the struct of the rows of `section`, at `offset` */
    TYPE_GROUPS,   /* struct group_list */
    TYPE_COUNT
};

#define INT_NOT_SET UINT_MAX /* larger than any row's range */

enum reload_class {
    RELOAD_LIVE,   /* a reload is enough */
    RELOAD_RESTART /* only a restart changes it */
};

struct section;

struct word {
    const char *text; /* NULL: after the last one */
    int         value;
};

struct option {
    const char      *name; /* NULL: after the last row */
    enum option_type type;
    /* the default, as a file would state it; NULL: not set */
    const char       *value;
    enum reload_class reload;
    size_t            offset, bytes; /* of the field */
    const char       *help;
    /* for messages, where the type says too little; may be NULL */
    const char *wanted;
    /* for the manual: what "not set" means, or a default that the build decides */
    const char           *unset;
    const struct section *section; /* TYPE_GROUP, TYPE_GROUPS */
    const struct word    *words;   /* TYPE_WORD */
    /* TYPE_TEXT, each of TYPE_TEXTS */
    bool (*check)(const char *text, struct fault *why);
    int64_t min, max; /* TYPE_INT, TYPE_NUMBER, TYPE_DURATION, TYPE_SIZE */
    bool    required;
};

struct section {
    const char          *title; /* for the manual and for "belongs in" */
    const struct option *options;
    size_t               bytes; /* of the struct; TYPE_GROUPS only */
    /* the setting that a bare text stands for, in place of the group; NULL: a group is needed */
    const char *plain;
    void (*inherit)(void *element, const void *parent); /* NULL: nothing */
};

struct group_list { /* of one TYPE_GROUPS row */
    /* structs of section->bytes, each begins with `from` */
    void    *items;
    unsigned count, room;
};

extern const struct section section_top;

struct set_listener {
    const struct config_setting_t *from;
    struct config_listener         to;
};

struct set_client {
    const struct config_setting_t *from;
    struct config_client           to;
};

struct set_identity {
    const struct config_setting_t *from;
    struct config_identity         to;
};

struct set_learn {
    const struct config_setting_t *from;
    struct limit_own               to;
};

struct set_limit {
    const struct config_setting_t *from;
    const char                    *rate;
    const char *const *methods, *const *cost, *const *estimate, *const *charge;
    struct limit_options to;
};

struct set_policy { /* what a rule inherits from its upstream */
    const char           *ttl;
    struct policy_options to;
};

struct set_mock { /* nothing set: none */
    unsigned           status;
    const char *const *headers;
    const char        *body, *body_file;
    int64_t            delay_ns;
    double             share;
};

struct set_rule {
    const struct config_setting_t *from;
    const char                    *match;
    const char *const *methods, *const *status, *const *invalidates;
    bool                   share;
    struct set_policy      policy;
    struct timeout_options timeout; /* inherited, too */
    struct set_mock        mock;
};

struct set_upstream {
    const struct config_setting_t *from;
    const char                    *url, *via_url, *user_agent, *low_budget_below;
    const char *const *hosts, *const *access, *const *auth_methods, *const *set_headers;
    struct group_list      limits, learn, rules, identities;
    struct set_mock        mock;
    struct set_policy      policy;
    struct config_upstream to;
};

struct settings {
    struct config                  config;
    const struct config_setting_t *from;
    struct group_list              listeners, clients, upstreams;
    unsigned                       workers;
    const char                    *admin_path, *admin_query, *log_access;
    int64_t                        max_object_bytes, learned_max_wait_ns;
};

/* The settings tables of weir.conf(5), as mdoc. */
void options_print_manual(FILE *out);
/* Calls `each` with every row of the table and the section it stands in; a section is visited once.
 */
void options_visit(void (*each)(void *context, const struct section *, const struct option *), void *context);

#endif
