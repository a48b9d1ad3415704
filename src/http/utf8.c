/*
 * The first byte of a sequence says how many follow, and what the second may be.
 */
#include "http/utf8.h"

static bool begin(struct utf8_check *u, unsigned char c)
{
    u->rest_first = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    u->rest_last = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    u->rest_left = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    return c >= 0xc2 && c <= 0xf4;
}

static bool go_on(struct utf8_check *u, unsigned char c)
{
    if (c < u->rest_first || c > u->rest_last)
        return false;
    u->rest_first = 0x80;
    u->rest_last = 0xbf;
    u->rest_left--;
    return true;
}

bool utf8_check_feed(struct utf8_check *u, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count && !u->fails; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (u->rest_left > 0)
            u->fails = !go_on(u, c);
        else if (c >= 0x80)
            u->fails = !begin(u, c);
    }
    return !u->fails;
}

bool utf8_check_end(const struct utf8_check *u)
{
    return !u->fails && u->rest_left == 0;
}
