/*
 * How a setting of libconfig's tree is named in a message, and where it stands.
 */
#include "config/reader.h"

#include "config/checks.h"
#include "config/source.h"

#include <libconfig.h>

struct source_place reader_place(const config_setting_t *s)
{
    const struct node *n = config_setting_get_hook(s);

    return n != NULL ? n->place : (struct source_place){ "the defaults", config_setting_source_line(s), 0 };
}

const config_setting_t *reader_member(const config_setting_t *group, const char *name)
{
    const config_setting_t *s = config_setting_get_member(group, name);

    return s != NULL ? s : group;
}

/* "inat" of a group with a name in a list, else "[2]". */
static const char *element_name(struct arena *arena, const config_setting_t *s)
{
    const config_setting_t *name = config_setting_is_group(s) ? config_setting_get_member(s, "name") : NULL;
    const char             *text = name != NULL ? config_setting_get_string(name) : NULL;

    if (text != NULL && check_name(text, NULL))
        return arena_printf(arena, ".%s", text).ptr;
    return arena_printf(arena, "[%d]", config_setting_index(s)).ptr;
}

/* "upstreams.inat.limits[2]" and, where it is not NULL, ".member". In the arena. */
static const char *path_of(struct reader *r, const config_setting_t *s, const char *member)
{
    struct arena *arena = r->problems->arena;
    const char   *own = "";

    if (!config_setting_is_root(s)) {
        const config_setting_t *parent = config_setting_parent(s);
        const char             *before = path_of(r, parent, NULL);

        if (config_setting_name(s) != NULL)
            own = arena_printf(arena, "%s%s%s", before, *before != '\0' ? "." : "", config_setting_name(s)).ptr;
        else
            own = arena_printf(arena, "%s%s", before, element_name(arena, s)).ptr;
    }
    if (member != NULL)
        own = arena_printf(arena, "%s%s%s", own, *own != '\0' ? "." : "", member).ptr;
    return own;
}

static void complain(struct reader *r, bool warning, const config_setting_t *s, const char *member, const char *format,
                     va_list args)
{
    /* Where the group has the member, its line says more than the group's. */
    const config_setting_t *at = member != NULL && config_setting_is_group(s) ? reader_member(s, member) : s;
    const char             *path = path_of(r, s, member);

    problem_add(r->problems, warning, reader_place(at), *path != '\0' ? path : NULL, format, args);
}

void reader_error(struct reader *r, const config_setting_t *s, const char *member, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(r, false, s, member, format, args);
    va_end(args);
}

void reader_warning(struct reader *r, const config_setting_t *s, const char *member, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(r, true, s, member, format, args);
    va_end(args);
}
