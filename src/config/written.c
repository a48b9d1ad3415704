/*
 * Where the settings of an upstream and its rules stand in the files: for whoever asks why.
 *
 * Of what a file states the place is kept and, where it is short, the value as it is written; libconfig's
 * tree and the texts are gone when loading ends.
 */
#include "config/reader.h"
#include "config/snapshot.h"
#include "config/source.h"

#include <libconfig.h>

enum { VALUE_BYTES = 120 };

struct places_writing {
    struct arena *arena;
    const char   *from, *file; /* of the last place: the loader's text, and our copy */
};

static struct config_place place_of(struct places_writing *w, const config_setting_t *s)
{
    struct source_place at;

    if (s == NULL)
        return (struct config_place){ NULL, 0 };
    at = reader_place(s);
    if (at.file != w->from) {
        w->from = at.file;
        w->file = arena_copy(w->arena, slice_of(at.file)).ptr;
    }
    return (struct config_place){ w->file, at.line };
}

/* NULL: it is a list or too long to be shown. */
static const char *value_of(struct arena *a, const config_setting_t *s)
{
    const char *text;

    switch (config_setting_type(s)) {
    case CONFIG_TYPE_STRING:
        text = config_setting_get_string(s);
        return text != NULL && strlen(text) < VALUE_BYTES ? arena_printf(a, "\"%s\"", text).ptr : NULL;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return arena_printf(a, "%lld", (long long)config_setting_get_int64(s)).ptr;
    case CONFIG_TYPE_FLOAT:
        return arena_printf(a, "%g", config_setting_get_float(s)).ptr;
    case CONFIG_TYPE_BOOL:
        return config_setting_get_bool(s) ? "true" : "false";
    default:
        return NULL;
    }
}

static unsigned count_settings(const config_setting_t *group)
{
    unsigned n = 0;

    for (unsigned i = 0; i < (unsigned)config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, i);

        n += 1 + (config_setting_is_group(s) ? count_settings(s) : 0);
    }
    return n;
}

static void add_settings(struct places_writing *w, const config_setting_t *group, const char *before,
                         struct config_written *out, unsigned *count)
{
    for (unsigned i = 0; i < (unsigned)config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, i);
        const char             *name = config_setting_name(s);
        struct config_written  *to = &out[(*count)++];

        to->name = arena_printf(w->arena, "%s%s%s", before, *before != '\0' ? "." : "", name != NULL ? name : "").ptr;
        to->at = place_of(w, s);
        to->value = value_of(w->arena, s);
        if (config_setting_is_group(s))
            add_settings(w, s, to->name, out, count);
    }
}

static struct config_group_written group_of(struct places_writing *w, const config_setting_t *from)
{
    struct config_group_written g = { .at = place_of(w, from) };
    struct config_written      *settings;

    if (from == NULL || !config_setting_is_group(from))
        return g;
    settings = arena_alloc(w->arena, (count_settings(from) + 1) * sizeof settings[0]);
    add_settings(w, from, "", settings, &g.count);
    g.settings = settings;
    return g;
}

void written_resolve(struct snapshot *snap, const struct set_upstream *u, struct config_upstream *out)
{
    struct places_writing        w = { .arena = &snap->arena };
    const struct set_rule       *rules = u->rules.items;
    const struct set_limit      *limits = u->limits.items;
    struct config_group_written *groups = arena_alloc(&snap->arena, (u->rules.count + 1) * sizeof groups[0]);
    struct config_place         *places = arena_alloc(&snap->arena, (u->limits.count + 1) * sizeof places[0]);

    groups[0] = group_of(&w, u->from);
    for (unsigned i = 0; i < u->rules.count; i++)
        groups[i + 1] = group_of(&w, rules[i].from);
    for (unsigned i = 0; i < u->limits.count; i++)
        places[i] = place_of(&w, limits[i].from);
    out->written = groups;
    out->limits_at = places;
}

/* -- asking -- */

static const struct config_written *find(const struct config_group_written *g, const char *setting)
{
    for (unsigned i = 0; i < g->count; i++)
        if (strcmp(g->settings[i].name, setting) == 0)
            return &g->settings[i];
    return NULL;
}

const struct config_written *config_find_written(const struct config_upstream *up, const struct route_rule *rule,
                                                 const char *setting)
{
    const struct config_written *w = NULL;

    if (rule != NULL)
        w = find(&up->written[1 + (rule - up->route.rules)], setting);
    return w != NULL ? w : find(&up->written[0], setting);
}

struct config_place config_rule_place(const struct config_upstream *up, const struct route_rule *rule)
{
    return up->written[rule != NULL ? 1 + (rule - up->route.rules) : 0].at;
}

struct config_place config_limit_place(const struct config_upstream *up, const char *limit)
{
    for (unsigned i = 0; i < up->fetch.limit_count; i++)
        if (strcmp(up->fetch.limits[i].name, limit) == 0)
            return up->limits_at[i];
    return (struct config_place){ NULL, 0 };
}
