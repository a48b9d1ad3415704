/*
 * The generator of property.h: xorshift64*.
 */
#include "property.h"

#include "base/arena.h"

#include <stdlib.h>

uint64_t property_next(struct property *p)
{
    p->state ^= p->state >> 12;
    p->state ^= p->state << 25;
    p->state ^= p->state >> 27;
    return p->state * UINT64_C(2685821657736338717);
}

size_t property_below(struct property *p, size_t bound)
{
    return (size_t)((property_next(p) >> 16) % bound);
}

struct slice property_exact(struct slice s)
{
    char *copy = malloc(s.len > 0 ? s.len : 1);

    if (copy == NULL)
        abort();
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    /* An empty slice stands after its byte, where nothing may be read at all. */
    return (struct slice){ s.len > 0 ? copy : copy + 1, s.len };
}

struct slice property_text(struct property *p, const char *const *fragments, size_t most)
{
    char   text[1024];
    size_t used = 0, count = 0, wanted = property_below(p, most + 1);

    while (fragments[count] != NULL)
        count++;
    for (size_t i = 0; i < wanted; i++) {
        const char *fragment = fragments[property_below(p, count)];
        size_t      length = strlen(fragment);

        if (used + length + 1 > sizeof text)
            break;
        memcpy(text + used, fragment, length);
        used += length;
        if (property_below(p, 16) == 0)
            text[used++] = (char)property_next(p);
    }
    return property_exact((struct slice){ text, used });
}

void property_free(struct slice s)
{
    free((char *)(uintptr_t)(s.len > 0 ? s.ptr : s.ptr - 1));
}
