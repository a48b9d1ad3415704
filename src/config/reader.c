/*
 * How a setting of libconfig's tree is named in a message, and where it stands.
 */
#include "config/reader.h"

#include "config/checks.h"
#include "config/source.h"

#include <libconfig.h>

struct place reader_place(const config_setting_t *s)
{
    const struct node *n = config_setting_get_hook(s);

    return n != NULL ? n->place
                     : (struct place){ "the defaults", config_setting_source_line(s), 0 };
}

/* "inat" of a group with a name in a list, else "[2]". */
static const char *element_name(struct arena *arena, const config_setting_t *s)
{
    const config_setting_t *name =
        config_setting_is_group(s) ? config_setting_get_member(s, "name") : NULL;
    const char *text = name != NULL ? config_setting_get_string(name) : NULL;

    if (text != NULL && check_name(text, NULL))
        return arena_printf(arena, ".%s", text).ptr;
    return arena_printf(arena, "[%d]", config_setting_index(s)).ptr;
}

const char *reader_path(struct reader *r, const config_setting_t *s, const char *member)
{
    struct arena *arena = r->problems->arena;
    const char   *own = "";

    if (!config_setting_is_root(s)) {
        const config_setting_t *parent = config_setting_parent(s);
        const char             *before = reader_path(r, parent, NULL);

        if (config_setting_name(s) != NULL)
            own = arena_printf(arena, "%s%s%s", before, *before != '\0' ? "." : "",
                               config_setting_name(s))
                      .ptr;
        else
            own = arena_printf(arena, "%s%s", before, element_name(arena, s)).ptr;
    }
    if (member != NULL)
        own = arena_printf(arena, "%s%s%s", own, *own != '\0' ? "." : "", member).ptr;
    return own;
}

static void complain(struct reader *r, bool warning, const config_setting_t *s, const char *member,
                     const char *format, va_list args)
{
    const config_setting_t *at = s;
    const char             *path = reader_path(r, s, member);

    /* Where the group has the member, its line says more than the group's. */
    if (member != NULL && config_setting_is_group(s) &&
        config_setting_get_member(s, member) != NULL)
        at = config_setting_get_member(s, member);
    problem_add(r->problems, warning, reader_place(at), *path != '\0' ? path : NULL, format, args);
}

void reader_error(struct reader *r, const config_setting_t *s, const char *member,
                  const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(r, false, s, member, format, args);
    va_end(args);
}

void reader_warning(struct reader *r, const config_setting_t *s, const char *member,
                    const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(r, true, s, member, format, args);
    va_end(args);
}
