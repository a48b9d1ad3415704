/*
 * Texts, bytes and fields as JSON.
 */
#include "http/json_of.h"

#include "base/arena.h"

#include <sodium.h>

#include <stdlib.h>

json_t *json_of_text(struct slice s)
{
    json_t *text;
    char   *wide;
    size_t  used = 0;

    if (s.ptr == NULL)
        return json_null();
    text = json_stringn(s.ptr, s.len);
    if (text != NULL)
        return text;
    wide = mem_alloc_raw(2 * s.len);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c >= 0x80)
            wide[used++] = (char)(0xc0 | c >> 6);
        wide[used++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
    }
    text = json_stringn(wide, used);
    free(wide);
    return text;
}

json_t *json_of_base64(struct slice s)
{
    size_t  room = sodium_base64_encoded_len(s.len, sodium_base64_VARIANT_ORIGINAL);
    char   *text = mem_alloc_raw(room);
    json_t *made;

    sodium_bin2base64(text, room, (const unsigned char *)s.ptr, s.len, sodium_base64_VARIANT_ORIGINAL);
    made = json_string(text);
    free(text);
    return made;
}

json_t *json_of_fields(const struct http_fields *f, json_t *(*value)(struct slice))
{
    json_t *list = json_array();

    for (unsigned i = 0; i < f->count; i++)
        json_array_append_new(list, json_pack("[o, o]", value(f->items[i].name), value(f->items[i].value)));
    return list;
}
