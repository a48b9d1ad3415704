/*
 * Reads libconfig's tree by the option table: groups into structs, lists of
 * groups into arrays, each value by its type.  Whatever the table does not
 * know is a problem with a hint; reading goes on, so that one look shows all.
 */
#include "config/reader.h"

#include "base/check.h"

#include <libconfig.h>
#include <strings.h>

/* -- defaults -- */

/* Reads "value = LITERAL" of our own table, which cannot fail. */
static void read_default(struct reader *r, const struct option *o, void *field)
{
    config_t          tree;
    char              text[2048];
    config_setting_t *s;

    CHECK((size_t)snprintf(text, sizeof text, "value = %s;\n", o->value) < sizeof text);
    config_init(&tree);
    CHECK(config_read_string(&tree, text) == CONFIG_TRUE);
    s = config_lookup(&tree, "value");
    if (o->type == TYPE_GROUPS) {
        struct group_list *list = field;

        reader_groups(r, o, s, NULL, list);
        for (unsigned i = 0; i < list->count; i++) /* `from` ends with this tree */
            *(const config_setting_t **)(void *)((char *)list->items + i * o->section->bytes) = NULL;
    } else {
        CHECK(value_types[o->type].parse(r, s, o, field));
    }
    config_destroy(&tree);
}

void reader_defaults(struct reader *r, const struct section *section, void *base)
{
    for (const struct option *o = section->options; o->name != NULL; o++) {
        void *field = (char *)base + o->offset;

        if (o->type == TYPE_GROUP) {
            reader_defaults(r, o->section, field);
            continue;
        }
        if (o->type == TYPE_GROUPS)
            *(struct group_list *)field = (struct group_list){ .items = NULL };
        else
            memset(field, value_types[o->type].not_set, o->bytes);
        if (o->value != NULL)
            read_default(r, o, field);
    }
}

/* -- settings that nobody knows -- */

enum { WITHIN_MOST = 3 };

struct search { /* where else a name would be right */
    const char           *name;
    const struct section *not_here;
    const struct section *found;               /* anywhere */
    const char           *within[WITHIN_MOST]; /* in groups of the section itself, which were rather meant */
    unsigned              count;
};

static bool is_known(const struct section *section, const char *name)
{
    for (const struct option *o = section->options; o->name != NULL; o++)
        if (strcmp(o->name, name) == 0)
            return true;
    return false;
}

static void look_for(void *context, const struct section *section, const struct option *o)
{
    struct search *s = context;

    if (s->found == NULL && section != s->not_here && strcmp(o->name, s->name) == 0)
        s->found = section;
    if (section == s->not_here && o->section != NULL && s->count < WITHIN_MOST && is_known(o->section, s->name))
        s->within[s->count++] = o->section->title;
}

/* What other programs call it.  Of several the first that the section knows. */
static const struct {
    const char *theirs, *ours;
} synonyms[] = {
    // clang-format off
    { "path", "match" },           { "pattern", "match" },        { "prefix", "match" },
    { "regex", "match" },          { "location", "match" },       { "uri", "match" },
    { "uri", "url" },              { "url", "match" },            { "method", "methods" },
    { "requests", "rate" },        { "count", "rate" },           { "limit", "rate" },
    { "limit", "limits" },         { "rate", "limits" },          { "rate_limit", "limits" },
    { "ratelimit", "limits" },     { "expires", "ttl" },          { "expire", "ttl" },
    { "expiry", "ttl" },           { "max_age", "ttl" },          { "cache_ttl", "ttl" },
    { "lifetime", "ttl" },         { "cache_control", "ttl" },    { "backend", "url" },
    { "origin", "url" },           { "base_url", "url" },         { "endpoint", "url" },
    { "target", "url" },           { "host", "hosts" },           { "server_name", "hosts" },
    { "port", "listen" },          { "bind", "listen" },          { "address", "listen" },
    { "headers", "set_headers" },  { "proxy", "via" },            { "retries", "retry" },
    { "attempts", "retry" },       { "token", "auth" },           { "api_key", "auth" },
    { "authorization", "auth" },   { "users", "access" },         { "allow", "access" },
    { "size", "max_size" },        { "concurrency", "max_in_flight" },
    // clang-format on
};

static const char *synonym(const struct section *section, const char *name)
{
    for (size_t i = 0; i < sizeof synonyms / sizeof synonyms[0]; i++)
        if (strcasecmp(synonyms[i].theirs, name) == 0 && is_known(section, synonyms[i].ours))
            return synonyms[i].ours;
    return NULL;
}

static void unknown(struct reader *r, const struct section *section, const config_setting_t *s)
{
    const char   *names[64] = { NULL };
    const char   *near;
    struct search elsewhere = { .name = config_setting_name(s), .not_here = section };

    for (unsigned i = 0; section->options[i].name != NULL && i + 1 < sizeof names / sizeof names[0]; i++)
        names[i] = section->options[i].name;
    near = synonym(section, elsewhere.name);
    if (near == NULL)
        near = problem_near(elsewhere.name, names);
    options_visit(look_for, &elsewhere);
    if (near != NULL)
        reader_error(r, s, NULL, "there is no such setting; did you mean \"%s\"?", near);
    else if (elsewhere.count > 1)
        reader_error(r, s, NULL, "there is no such setting here; it belongs in %s%s%s or %s", elsewhere.within[0],
                     elsewhere.count > 2 ? ", " : "", elsewhere.count > 2 ? elsewhere.within[1] : "",
                     elsewhere.within[elsewhere.count - 1]);
    else if (elsewhere.found != NULL)
        reader_error(r, s, NULL, "there is no such setting here; it belongs in %s",
                     elsewhere.count > 0 ? elsewhere.within[0] : elsewhere.found->title);
    else
        reader_error(r, s, NULL, "there is no such setting; weir.conf(5) lists those of %s", section->title);
}

/* -- groups -- */

static void read_element(struct reader *r, const struct section *section, const config_setting_t *s, void *item);

void reader_group(struct reader *r, const struct section *section, const config_setting_t *group, void *base)
{
    for (unsigned i = 0; i < (unsigned)config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, i);

        if (!is_known(section, config_setting_name(s)))
            unknown(r, section, s);
    }
    for (const struct option *o = section->options; o->name != NULL; o++) {
        const config_setting_t *s = config_setting_get_member(group, o->name);
        void                   *field = (char *)base + o->offset;

        if (s == NULL) {
            if (o->required)
                reader_error(r, group, o->name, "is missing; wanted is %s",
                             o->wanted != NULL ? o->wanted : value_types[o->type].wanted);
        } else if (o->type == TYPE_GROUP) {
            if (config_setting_is_group(s) || o->section->plain != NULL)
                read_element(r, o->section, s, field);
            else
                reader_error(r, s, NULL, "wanted is %s", value_types[TYPE_GROUP].wanted);
        } else if (o->type == TYPE_GROUPS) {
            /* What is stated replaces the default. */
            *(struct group_list *)field = (struct group_list){ .items = NULL };
            reader_groups(r, o, s, base, field);
        } else {
            value_types[o->type].parse(r, s, o, field);
        }
    }
}

/* The row that a bare text stands for. */
static const struct option *plain_row(const struct section *section)
{
    const struct option *o = section->options;

    while (strcmp(o->name, section->plain) != 0)
        o++;
    return o;
}

static void read_element(struct reader *r, const struct section *section, const config_setting_t *s, void *item)
{
    if (config_setting_is_group(s)) {
        reader_group(r, section, s, item);
    } else if (section->plain != NULL && config_setting_type(s) == CONFIG_TYPE_STRING) {
        const struct option *o = plain_row(section);

        value_types[o->type].parse(r, s, o, (char *)item + o->offset);
    } else {
        reader_error(r, s, NULL, "wanted is %sa group: { %s = ...; }", section->plain != NULL ? "a text or " : "",
                     section->options[0].name);
    }
}

void reader_groups(struct reader *r, const struct option *o, const config_setting_t *list, const void *parent,
                   struct group_list *out)
{
    const struct section *section = o->section;
    unsigned              more;
    char                 *items, *template;

    if (!config_setting_is_list(list) && !(config_setting_is_array(list) && section->plain != NULL)) {
        if (section->plain != NULL && config_setting_type(list) == CONFIG_TYPE_STRING)
            reader_error(r, list, NULL, "is a text; wanted is a list: ( \"%s\" )", config_setting_get_string(list));
        else
            reader_error(r, list, NULL, "wanted is %s", value_types[TYPE_GROUPS].wanted);
        return;
    }
    more = (unsigned)config_setting_length(list);
    if (out->room < out->count + more) { /* one that grows file by file is copied as often as it doubles */
        out->room = out->count > 0 ? (unsigned)mem_doubled(out->room, out->count + more) : more;
        out->items = arena_widen(r->arena, out->items, out->count * section->bytes, out->room * section->bytes);
    }
    items = out->items;
    template = arena_alloc(r->arena, section->bytes);
    reader_defaults(r, section, template);
    if (section->inherit != NULL)
        section->inherit(template, parent);
    for (unsigned i = 0; i < more; i++) {
        const config_setting_t *s = config_setting_get_elem(list, i);
        char                   *item = items + (out->count + i) * section->bytes;

        memcpy(item, template, section->bytes);
        *(const config_setting_t **)(void *)item = s;
        read_element(r, section, s, item);
    }
    out->count += more;
}

void *groups_take(struct arena *arena, const struct group_list *list, size_t item_bytes, size_t at, size_t bytes)
{
    char *made = arena_alloc(arena, (list->count + 1) * bytes);

    for (size_t i = 0; i < list->count; i++)
        memcpy(made + i * bytes, (const char *)list->items + i * item_bytes + at, bytes);
    return made;
}

/* -- every row -- */

static void visit(const struct section *in, void (*each)(void *, const struct section *, const struct option *),
                  void                 *context)
{
    for (const struct option *o = in->options; o->name != NULL; o++)
        each(context, in, o);
    for (const struct option *o = in->options; o->name != NULL; o++)
        if (o->section != NULL)
            visit(o->section, each, context);
}

void options_visit(void (*each)(void *, const struct section *, const struct option *), void *context)
{
    visit(&section_top, each, context);
}
