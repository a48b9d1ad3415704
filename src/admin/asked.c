/*
 * See asked.h.
 */
#include "admin/asked.h"

struct slice asked_text(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);

    return json_is_string(v) ? (struct slice){ json_string_value(v), json_string_length(v) } : SLICE_NONE;
}

bool asked_fields(const json_t *list, unsigned without, struct http_fields *f, struct arena *a)
{
    const json_t *pair;
    size_t        i;

    if (list != NULL && !json_is_array(list))
        return false;
    json_array_foreach(list, i, pair)
    {
        const json_t *name = json_array_get(pair, 0), *value = json_array_get(pair, 1);
        struct slice  n = { json_string_value(name), json_string_length(name) };
        struct slice  v = slice_trim((struct slice){ json_string_value(value), json_string_length(value) });

        if (!json_is_string(name) || !json_is_string(value) || json_array_size(pair) != 2 || !http_is_token(n) ||
            !http_is_field_value(v))
            return false;
        if ((http_name_flags(http_name_parse(n)) & without) == 0)
            http_fields_add(f, a, n, v);
    }
    return true;
}
