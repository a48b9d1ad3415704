/*
 * The reader of head.h.  It trusts its text: tests write it.
 */
#include "head.h"

#include "property.h"

struct head head_of(const char *lines)
{
    struct head  h = { { NULL, NULL, 0 }, { NULL, 0, 0 } };
    struct slice rest = slice_of(lines);

    while (rest.len > 0) {
        size_t       end = slice_find(rest, '\n', 0);
        struct slice line = slice_sub(rest, 0, end);
        size_t       colon = slice_find(line, ':', 0);

        http_fields_add(&h.fields, &h.arena, property_exact(slice_sub(line, 0, colon)),
                        property_exact(slice_trim(slice_sub(line, colon + 1, line.len))));
        rest = slice_sub(rest, end + 1, rest.len);
    }
    return h;
}

void head_free(struct head *h)
{
    for (unsigned i = 0; i < h->fields.count; i++) {
        property_free(h->fields.items[i].name);
        property_free(h->fields.items[i].value);
    }
    arena_free(&h->arena);
}
