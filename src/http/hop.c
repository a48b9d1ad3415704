/*
 * See hop.h.
 */
#include "http/hop.h"

#include "http/list.h"

/* The names that Connection lists; `close` is an option and no field. */
static struct http_fields connection_options(const struct http_fields *f, struct arena *a)
{
    struct http_fields options = { 0 };
    struct http_list   list = http_list_of_field(f, HTTP_CONNECTION);
    struct slice       option;

    while (http_list_next(&list, &option)) {
        enum http_name id = http_name_parse(option);

        if ((http_name_flags(id) & HTTP_HOP_BY_HOP) == 0 && !slice_eq_nocase(option, SLICE("close")))
            http_fields_add_field(&options, a, &(struct http_field){ option, SLICE(""), id });
    }
    return options;
}

struct http_fields http_fields_end_to_end(const struct http_fields *f, struct arena *a)
{
    struct http_fields options = connection_options(f, a);
    struct http_fields kept = { 0 };

    if (f->count == 0)
        return kept;
    kept.capacity = f->count;
    kept.items = arena_alloc_raw(a, f->count * sizeof *kept.items);
    for (unsigned i = 0; i < f->count; i++) {
        const struct http_field *field = &f->items[i];

        if ((http_name_flags(field->id) & (HTTP_HOP_BY_HOP | HTTP_WEIR)) != 0)
            continue;
        if (options.count > 0 && http_fields_find_name(&options, field->name, 0) >= 0)
            continue;
        kept.items[kept.count++] = *field;
    }
    return kept;
}

bool http_name_stays_here(struct slice name)
{
    return (http_name_flags(http_name_parse(name)) & (HTTP_HOP_BY_HOP | HTTP_WEIR)) != 0 ||
           slice_eq_nocase(slice_sub(name, 0, 5), SLICE("Weir-"));
}

/* What nearly all clients send, if anything. */
static bool is_about_itself(struct slice connection)
{
    return slice_eq_nocase(connection, SLICE("keep-alive")) || slice_eq_nocase(connection, SLICE("close"));
}

void http_fields_drop_named(struct http_fields *f, struct arena *a)
{
    int                first = http_fields_find(f, HTTP_CONNECTION, 0);
    struct http_fields options, kept = { 0 };

    if (first < 0 ||
        (is_about_itself(f->items[first].value) && http_fields_find(f, HTTP_CONNECTION, (unsigned)first + 1) < 0))
        return;
    options = connection_options(f, a);
    if (options.count == 0)
        return;
    for (unsigned i = 0; i < f->count; i++) {
        const struct http_field *field = &f->items[i];

        if (field->id != HTTP_CONNECTION &&
            (http_name_stays_here(field->name) || http_fields_find_name(&options, field->name, 0) < 0))
            http_fields_add_field(&kept, a, field);
    }
    *f = kept;
}
