/*
 * From files to a snapshot: texts are read and scanned, libconfig builds
 * their trees, the option table turns those into settings, and where nothing
 * is wrong with them, settings become a struct config.
 *
 * Everything that lives as long as the snapshot is in its arena; trees, texts
 * and problems are gone when loading ends.  Any thread: nothing here is
 * shared between two loads.
 */
#include "base/check.h"
#include "base/paths.h"
#include "config/mode.h"
#include "tape/tape.h"
#include "config/secret.h"
#include "config/snapshot.h"
#include "config/source.h"
#include "route/rules.h"

#include <dirent.h>
#include <libconfig.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

struct document { /* one file with its includes */
    config_t              tree;
    bool                  whole; /* the tree is all of it */
    SLIST_ENTRY(document) next;
};

struct load {
    struct snapshot *snap;
    struct arena     scratch; /* texts, places, problems */
    struct problems  problems;
    struct reader    reader;
    SLIST_HEAD(, document) documents;
    unsigned rank;
};

/* -- documents -- */

/* Ties every value of the tree to its place; false where text and tree differ. */
static bool attach(config_setting_t *s, const struct nodes *nodes, unsigned *at)
{
    for (unsigned i = 0; config_setting_is_aggregate(s) && i < (unsigned)config_setting_length(s); i++) {
        config_setting_t *e = config_setting_get_elem(s, i);

        if (*at >= nodes->count)
            return false;
        config_setting_set_hook(e, &nodes->items[(*at)++]);
        if (!attach(e, nodes, at))
            return false;
    }
    return true;
}

static struct document *parse(struct load *l, struct source *src, bool readable)
{
    struct document *d = arena_alloc(&l->scratch, sizeof *d);
    struct nodes     nodes = { NULL, 0 };
    unsigned         at = 0;
    struct node     *root = arena_alloc(&l->scratch, sizeof *root);
    bool             good = source_scan(src, &nodes, &l->scratch, &l->problems);

    config_init(&d->tree);
    SLIST_INSERT_HEAD(&l->documents, d, next);
    if (!readable || !good) /* libconfig leaks what it has read of a bad text */
        return d;
    if (config_read_string(&d->tree, src->text) != CONFIG_TRUE) {
        unsigned line = (unsigned)config_error_line(&d->tree);

        problem_error(&l->problems, src->lines[line > 0 && line <= src->line_count ? line - 1 : 0], NULL, "%s",
                      config_error_text(&d->tree));
        return d;
    }
    root->place = src->lines[0];
    root->place.line = 0;
    config_setting_set_hook(config_root_setting(&d->tree), root);
    d->whole = attach(config_root_setting(&d->tree), &nodes, &at) && at == nodes.count;
    CHECK(d->whole);
    return d;
}

static struct document *open_file(struct load *l, const char *file)
{
    struct source src;
    bool          good = source_read(&src, file, &l->scratch, &l->problems, &l->rank);

    return parse(l, &src, good);
}

static struct document *open_default(struct load *l)
{
    struct source src;
    bool          good = default_source(&src, &l->scratch, &l->problems, &l->rank);

    return parse(l, &src, good);
}

/* -- settings -- */

static void read_main(struct load *l, const struct document *d)
{
    struct settings *top = &l->snap->settings;

    top->from = config_root_setting(&d->tree);
    reader_group(&l->reader, &section_top, top->from, top);
}

static const struct option *upstreams_row(void)
{
    const struct option *o = section_top.options;

    while (strcmp(o->name, "upstreams") != 0)
        o++;
    return o;
}

/* A file of conf.d adds upstreams and nothing else. */
static void read_addition(struct load *l, const struct document *d)
{
    const config_setting_t *root = config_root_setting(&d->tree);

    for (unsigned i = 0; i < (unsigned)config_setting_length(root); i++) {
        const config_setting_t *s = config_setting_get_elem(root, i);

        if (strcmp(config_setting_name(s), "upstreams") == 0)
            reader_groups(&l->reader, upstreams_row(), s, &l->snap->settings, &l->snap->settings.upstreams);
        else
            reader_error(&l->reader, s, NULL,
                         "a file of conf.d only adds upstreams; this setting belongs in weir.conf");
    }
}

static int is_addition(const struct dirent *e)
{
    return e->d_name[0] != '.' && slice_ends_with(slice_of(e->d_name), SLICE(".conf"));
}

static void read_additions(struct load *l, const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *folder = arena_printf(&l->scratch, "%.*sconf.d", slash != NULL ? (int)(slash - file + 1) : 0, file).ptr;
    struct dirent **names = NULL;
    int             count = scandir(folder, &names, is_addition, alphasort);

    for (int i = 0; i < count; i++) {
        struct document *d = open_file(l, arena_printf(&l->scratch, "%s/%s", folder, names[i]->d_name).ptr);

        if (d->whole)
            read_addition(l, d);
        free(names[i]);
    }
    free(names);
}

/* -- from settings to the snapshot -- */

static unsigned cpu_count(void)
{
    cpu_set_t allowed;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 1)
        return 1;
    return (unsigned)CPU_COUNT(&allowed);
}

static void make_lists(struct snapshot *snap)
{
    struct settings      *top = &snap->settings;
    struct config_client *clients = GROUPS_TAKE(&snap->arena, &top->clients, struct set_client);

    for (unsigned i = 0; i < top->clients.count; i++)
        clients[i].has_uid = checks_user(clients[i].match, &clients[i].uid);
    top->config.clients = clients;
    top->config.client_count = top->clients.count;
    top->config.listeners = GROUPS_TAKE(&snap->arena, &top->listeners, struct set_listener);
    top->config.listener_count = top->listeners.count;
}

static void make_log(struct snapshot *snap)
{
    static const struct {
        const char          *word;
        enum access_log_kind kind;
    } words[] = {
        { "stderr", ACCESS_STDERR },
        { "journal", ACCESS_JOURNAL },
        { "off", ACCESS_OFF },
    };
    struct config *c = &snap->settings.config;

    c->access_log.kind = ACCESS_FILE;
    c->access_log.file = snap->settings.log_access;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(c->access_log.file, words[i].word) == 0) {
            c->access_log.kind = words[i].kind;
            c->access_log.file = NULL;
            return;
        }
    }
}

static void make_upstreams(struct snapshot *snap)
{
    unsigned                        count = snap->settings.upstreams.count;
    const struct set_upstream      *set = snap->settings.upstreams.items;
    struct config_upstream         *made = arena_alloc(&snap->arena, (count + 1) * sizeof made[0]);
    struct route_upstream          *routes = arena_alloc(&snap->arena, (count + 1) * sizeof routes[0]);
    const struct upstream_options **fetch = arena_alloc(&snap->arena, (count + 1) * sizeof fetch[0]);

    for (unsigned i = 0; i < count; i++) {
        upstream_resolve(snap, &set[i], &made[i]);
        made[i].route.index = i;
        made[i].traffic = traffic_new(snap->settings.config.workers);
        made[i].mode_cell = mode_cell_new();
        routes[i] = made[i].route;
        fetch[i] = &made[i].fetch;
    }
    snap->settings.config.upstreams = made;
    snap->settings.config.upstream_count = count;
    snap->settings.config.fetch_options = fetch;
    snap->settings.config.routes = route_table_build(routes, count);
}

static void make(struct snapshot *snap)
{
    struct settings *top = &snap->settings;
    struct config   *c = &top->config;
    const char      *query = settings_query_path(top, &snap->arena);

    c->workers = top->workers > 0 ? top->workers : cpu_count();
    make_lists(snap);
    make_log(snap);
    make_upstreams(snap);
    c->traffic = traffic_new(c->workers);
    c->admin_socket.address = arena_printf(&snap->arena, "unix:%s", top->admin_path).ptr;
    c->query_socket.address = query != NULL ? arena_printf(&snap->arena, "unix:%s", query).ptr : NULL;
    c->query_socket.mode = 0666;
    c->cache.readers = c->workers + 1;
}

/* -- lives -- */

static void free_cells(struct config *c)
{
    for (unsigned i = 0; i < c->upstream_count; i++) {
        traffic_release(c->upstreams[i].traffic);
        mode_cell_release(c->upstreams[i].mode_cell);
        tape_release(c->upstreams[i].tape);
    }
    traffic_release(c->traffic);
}

/* As many workers as there are: another number needs a restart. */
static void take_traffic(struct traffic **traffic, struct traffic *old, unsigned workers)
{
    traffic_release(*traffic);
    if (old != NULL)
        ref_acquire(&old->ref);
    *traffic = old != NULL ? old : traffic_new(workers);
}

void config_take_traffic(struct config *c, const struct config *old)
{
    struct config_upstream *all = (struct config_upstream *)(uintptr_t)c->upstreams;

    for (unsigned i = 0; i < c->upstream_count; i++) {
        const struct config_upstream *same = config_find_upstream(old, all[i].route.name);

        take_traffic(&all[i].traffic, same != NULL ? same->traffic : NULL, old->traffic->workers);
        config_take_tape(&all[i], same);
    }
    take_traffic(&c->traffic, old->traffic, old->traffic->workers);
}

const struct config_upstream *config_find_upstream(const struct config *c, const char *name)
{
    const struct route_upstream *found = route_find_name(c->routes, slice_of(name));

    return found != NULL ? &c->upstreams[found->index] : NULL;
}

void snapshot_free(struct snapshot *snap)
{
    struct owned_pattern *p;
    struct owned_zone    *z;

    route_table_free(snap->settings.config.routes);
    for (unsigned i = 0; i < snap->settings.config.upstream_count; i++)
        rule_index_free((struct rule_index *)(uintptr_t)snap->settings.config.upstreams[i].route.index_of_rules);
    free_cells(&snap->settings.config);
    SLIST_FOREACH (p, &snap->patterns, next)
        pattern_free(p->pattern);
    SLIST_FOREACH (z, &snap->zones, next)
        zone_close(z->zone);
    arena_free(&snap->arena);
    free(snap);
}

static void destroy(struct ref *ref)
{
    struct snapshot *snap = snapshot_of(CONTAINER_OF(ref, struct config, ref));

    if (snap->bury != NULL)
        snap->bury(snap->keeper, snap);
    else
        snapshot_free(snap);
}

static void begin(struct load *l)
{
    *l = (struct load){ .snap = mem_alloc(sizeof *l->snap) };
    ref_init(&l->snap->settings.config.ref, destroy);
    l->problems.arena = &l->scratch;
    l->reader = (struct reader){ &l->snap->arena, &l->problems };
    reader_defaults(&l->reader, &section_top, &l->snap->settings);
}

/* After all files are read: checks the whole, makes the snapshot, drops everything else. */
static struct config *finish(struct load *l, FILE *problems)
{
    struct config       *made = &l->snap->settings.config;
    struct document     *d;
    struct set_upstream *all = l->snap->settings.upstreams.items;

    for (unsigned i = 0; i < l->snap->settings.upstreams.count; i++)
        upstream_derive_defaults(&l->snap->arena, &all[i]);
    settings_review(&l->reader, &l->snap->settings);
    if (l->problems.errors == 0)
        make(l->snap);
    if (problems != NULL)
        problems_print(&l->problems, problems);
    if (l->problems.errors > 0) {
        config_release(made);
        made = NULL;
    }
    SLIST_FOREACH (d, &l->documents, next)
        config_destroy(&d->tree);
    arena_free(&l->scratch);
    return made;
}

/* False where it cannot be read, which `problems` tells. */
static bool read_secret(struct config *c, const char *upstream, const char *setting, const char *source,
                        struct slice *out, FILE *problems)
{
    struct snapshot *snap = snapshot_of(c);
    struct fault     why = { "" };

    *out = secret_read(source, &snap->arena, &why);
    if (out->ptr == NULL && problems != NULL)
        fprintf(problems, "%s: upstreams.%s.%s: the credential %s\n",
                c->file != NULL ? c->file : "the embedded default", upstream, setting, why.text);
    return out->ptr != NULL;
}

static bool read_tokens(struct config *c, const char *upstream, struct config_identity *who, FILE *problems)
{
    struct snapshot *snap = snapshot_of(c);
    bool             good = true;
    unsigned         count = 0;

    while (who->value_files[count] != NULL)
        count++;
    who->tokens = arena_alloc(&snap->arena, count * sizeof who->tokens[0]);
    for (; who->token_count < count; who->token_count++)
        good = read_secret(c, upstream, "identities.value_files", who->value_files[who->token_count],
                           &who->tokens[who->token_count], problems) &&
               good;
    return good;
}

/* "user:password" (RFC 7617 2): the first colon divides. */
static bool read_via(struct config *c, struct config_upstream *u, FILE *problems)
{
    struct snapshot *snap = snapshot_of(c);
    struct slice     both;
    size_t           colon;

    if (!read_secret(c, u->route.name, "via.value_file", u->via_value_file, &both, problems))
        return false;
    colon = slice_find(both, ':', 0);
    if (colon == 0 || colon == both.len) {
        if (problems != NULL)
            fprintf(problems, "%s: upstreams.%s.via.value_file: the credential is not \"user:password\"\n",
                    c->file != NULL ? c->file : "the embedded default", u->route.name);
        return false;
    }
    u->fetch.origin.via.user = arena_copy(&snap->arena, slice_sub(both, 0, colon)).ptr;
    u->fetch.origin.via.password = arena_copy(&snap->arena, slice_sub(both, colon + 1, both.len)).ptr;
    return true;
}

/* Only what is recorded is answered: that needs no credential, and there may be none where it is replayed. */
static bool asks_nobody(const struct config_upstream *u)
{
    return u->mode == MODE_REPLAY && u->snapshot.miss == TAPE_MISS_ERROR;
}

static bool read_secrets_of(struct config *c, struct config_upstream *u, FILE *problems)
{
    struct config_identity *who = (struct config_identity *)(uintptr_t)u->identities;
    bool                    good = true;

    if (u->auth_value_file != NULL)
        good = read_secret(c, u->route.name, "auth.value_file", u->auth_value_file, &u->auth_value, problems);
    if (u->via_value_file != NULL)
        good = read_via(c, u, problems) && good;
    for (unsigned k = 0; k < u->identity_count; k++)
        good = read_tokens(c, u->route.name, &who[k], problems) && good;
    return good;
}

bool config_read_secrets(struct config *c, FILE *problems)
{
    struct config_upstream *all = (struct config_upstream *)(uintptr_t)c->upstreams;
    bool                    good = true;

    for (unsigned i = 0; i < c->upstream_count; i++) {
        bool needed = !asks_nobody(&all[i]);

        if (read_secrets_of(c, &all[i], needed ? problems : NULL))
            continue;
        good = good && !needed;
        all[i].identity_count = 0; /* nobody is one of those whose tokens are not there */
    }
    return good;
}

/* A user's own file has the user's directories for defaults, any other the system's. */
static bool is_users(const char *file)
{
    char own[4096];

    return geteuid() != 0 && paths_user_config(own, sizeof own) == 0 && strcmp(file, own) == 0;
}

static struct config *load_file(const char *file, FILE *problems)
{
    struct load            l;
    const struct document *d;

    begin(&l);
    if (is_users(file))
        defaults_for_user(&l.snap->settings, &l.snap->arena);
    d = open_file(&l, file);
    if (d->whole)
        read_main(&l, d);
    read_additions(&l, file);
    l.snap->settings.config.file = arena_copy(&l.snap->arena, slice_of(file)).ptr;
    l.snap->settings.config.proxy.required = true;
    return finish(&l, problems);
}

struct config *config_load_default(FILE *problems)
{
    struct load            l;
    const struct document *d;

    begin(&l);
    defaults_for_user(&l.snap->settings, &l.snap->arena);
    d = open_default(&l);
    CHECK(d->whole);
    read_main(&l, d);
    return finish(&l, problems);
}

struct config *config_load(const char *file, FILE *problems)
{
    return file != NULL ? load_file(file, problems) : config_load_default(problems);
}
