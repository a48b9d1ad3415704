/*
 * Prints settings as a file that could be loaded again, and compares two
 * configurations by what they print: both walk the option table.
 */
#include "config/snapshot.h"

#include <stdlib.h>

static void indented(FILE *out, unsigned indent)
{
    fprintf(out, "%*s", (int)indent * 2, "");
}

static void dump_groups(FILE *out, const struct option *o, const struct group_list *list, unsigned indent)
{
    fputs("(", out);
    for (unsigned i = 0; i < list->count; i++) {
        fputs(i > 0 ? ",\n" : "\n", out);
        indented(out, indent + 1);
        fputs("{\n", out);
        dump_section(out, o->section, (const char *)list->items + i * o->section->bytes, indent + 2);
        indented(out, indent + 1);
        fputs("}", out);
    }
    if (list->count > 0) {
        fputs("\n", out);
        indented(out, indent);
    }
    fputs(")", out);
}

/* False where it is not set: nothing is printed. */
static bool dump_value(FILE *out, const struct option *o, const void *base, unsigned indent)
{
    const void *field = (const char *)base + o->offset;

    if (o->type == TYPE_GROUPS) {
        dump_groups(out, o, field, indent);
    } else if (o->type == TYPE_GROUP) {
        fputs("{\n", out);
        dump_section(out, o->section, field, indent + 1);
        indented(out, indent);
        fputs("}", out);
    } else {
        return value_types[o->type].print(out, o, field);
    }
    return true;
}

/* The value as text; empty where it is not set.  free() it. */
static char *value_text(const struct option *o, const void *base, unsigned indent)
{
    char  *text = NULL;
    size_t bytes = 0;
    FILE  *out = open_memstream(&text, &bytes);

    if (out == NULL)
        return mem_copy(SLICE(""));
    dump_value(out, o, base, indent);
    fclose(out);
    return text;
}

void dump_section(FILE *out, const struct section *section, const void *base, unsigned indent)
{
    for (const struct option *o = section->options; o->name != NULL; o++) {
        char *text = value_text(o, base, indent);

        indented(out, indent);
        if (*text != '\0')
            fprintf(out, "%s = %s;\n", o->name, text);
        else
            fprintf(out, "# %s: %s\n", o->name, o->unset != NULL ? o->unset : "not set");
        free(text);
    }
}

void config_dump(const struct config *c, FILE *out)
{
    const struct snapshot *snap = (const struct snapshot *)(const void *)c;

    dump_section(out, &section_top, &snap->settings, 0);
}

/* -- what a reload does not change -- */

struct names {
    char  *text;
    size_t bytes;
};

static void add_name(struct names *to, const char *group, const char *name)
{
    size_t used = strlen(to->text);

    if (used < to->bytes)
        snprintf(to->text + used, to->bytes - used, "%s%s%s%s", used > 0 ? ", " : "", group, *group != '\0' ? "." : "",
                 name);
}

static void compare(const struct section *section, const void *old, const void *fresh, const char *group,
                    struct names *differ)
{
    for (const struct option *o = section->options; o->name != NULL; o++) {
        if (o->type == TYPE_GROUP) {
            compare(o->section, (const char *)old + o->offset, (const char *)fresh + o->offset, o->name, differ);
        } else if (o->reload == RELOAD_RESTART) {
            char *before = value_text(o, old, 0), *after = value_text(o, fresh, 0);

            if (strcmp(before, after) != 0)
                add_name(differ, group, o->name);
            free(before);
            free(after);
        }
    }
}

void config_restart_needed(const struct config *old, const struct config *fresh, char *names, size_t bytes)
{
    const struct snapshot *a = (const struct snapshot *)(const void *)old;
    const struct snapshot *b = (const struct snapshot *)(const void *)fresh;
    struct names           differ = { names, bytes };

    if (bytes == 0)
        return;
    names[0] = '\0';
    compare(&section_top, &a->settings, &b->settings, "", &differ);
}
