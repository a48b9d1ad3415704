/*
 * The first " = " ends the pointer: a name in it may hold an equals sign.
 */
#include "http/condition.h"

#include "http/json_pointer.h"

bool condition_parse(struct slice text, struct condition *out)
{
    static const struct slice json = SLICE("json:");
    size_t                    at;

    text = slice_trim(text);
    if (!slice_starts_with(text, json))
        return false;
    text = slice_sub(text, json.len, text.len);
    for (at = slice_find(text, '=', 0); at < text.len; at = slice_find(text, '=', at + 1))
        if (at > 0 && text.ptr[at - 1] == ' ' && at + 1 < text.len && text.ptr[at + 1] == ' ')
            break;
    if (at == text.len)
        at = slice_find(text, '=', 0);
    out->pointer = slice_trim(slice_sub(text, 0, at));
    out->value = slice_trim(slice_sub(text, at + 1, text.len));
    return json_pointer_is_valid(out->pointer) && out->value.len > 0 && out->value.len <= CONDITION_VALUE_BYTES;
}
