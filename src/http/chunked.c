/*
 * A machine of a few places, a byte at a time but for the data, which is skipped.
 */
#include "http/chunked.h"

enum chunked_place { SIZE, SIZE_MORE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF };

static int hex(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_control(unsigned char c)
{
    return (c < ' ' && c != '\t') || c == 0x7f;
}

static enum chunked_verdict size_digit(struct chunked *c, unsigned char byte)
{
    int digit = hex(byte);

    if (digit >= 0) {
        if (c->left >> 59 != 0)
            return CHUNKED_HUGE;
        c->left = c->left << 4 | (unsigned)digit;
        c->at = SIZE_MORE;
        return CHUNKED_MORE;
    }
    if (c->at == SIZE || (byte != ';' && byte != '\r'))
        return byte == '\n' && c->at != SIZE ? CHUNKED_BAD_LINE : CHUNKED_BAD_SIZE;
    c->at = byte == ';' ? EXTENSION : SIZE_LF;
    return CHUNKED_MORE;
}

static enum chunked_verdict size_line(struct chunked *c, unsigned char byte)
{
    if (++c->line > CHUNKED_LINE_BYTES)
        return CHUNKED_LONG_LINE;
    switch (c->at) {
    case SIZE:
    case SIZE_MORE:
        return size_digit(c, byte);
    case EXTENSION:
        if (byte == '\r')
            c->at = SIZE_LF;
        else if (is_control(byte))
            return CHUNKED_BAD_LINE;
        return CHUNKED_MORE;
    default:
        break;
    }
    if (byte != '\n')
        return CHUNKED_BAD_LINE;
    c->at = c->left > 0 ? DATA : TRAILER;
    c->line = 0;
    c->is_empty = true;
    return CHUNKED_MORE;
}

static enum chunked_verdict data_end(struct chunked *c, unsigned char byte)
{
    if (byte != (c->at == DATA_CR ? '\r' : '\n'))
        return CHUNKED_BAD_DATA;
    c->at = c->at == DATA_CR ? DATA_LF : SIZE;
    c->line = 0;
    return CHUNKED_MORE;
}

/* RFC 9112 5.1, 5.2: a name and a colon; no line is continued. */
static enum chunked_verdict trailer(struct chunked *c, unsigned char byte)
{
    if (++c->line > CHUNKED_TRAILERS_BYTES)
        return CHUNKED_LONG_TRAILERS;
    if (c->at == TRAILER_LF) {
        if (byte != '\n')
            return CHUNKED_BAD_LINE;
        if (c->is_empty)
            return CHUNKED_END;
        c->at = TRAILER;
        c->is_empty = true;
        return CHUNKED_MORE;
    }
    if (byte == '\r') {
        c->at = TRAILER_LF;
        return c->is_empty || c->has_name ? CHUNKED_MORE : CHUNKED_BAD_TRAILER;
    }
    if (is_control(byte) && byte != '\t')
        return CHUNKED_BAD_LINE;
    if (c->is_empty) {
        c->is_empty = c->has_name = false;
        return byte == ':' || byte == ' ' || byte == '\t' ? CHUNKED_BAD_TRAILER : CHUNKED_MORE;
    }
    c->has_name = c->has_name || byte == ':';
    return c->has_name || (byte != ' ' && byte != '\t') ? CHUNKED_MORE : CHUNKED_BAD_TRAILER;
}

enum chunked_verdict chunked_feed(struct chunked *c, const char *bytes, size_t count, size_t *taken)
{
    size_t               i = 0;
    enum chunked_verdict v = CHUNKED_MORE;

    while (i < count && v == CHUNKED_MORE) {
        if (c->at == DATA) {
            size_t some = c->left < count - i ? (size_t)c->left : count - i;

            c->left -= some;
            i += some;
            if (c->left == 0)
                c->at = DATA_CR;
        } else if (c->at == DATA_CR || c->at == DATA_LF) {
            v = data_end(c, (unsigned char)bytes[i++]);
        } else if (c->at == TRAILER || c->at == TRAILER_LF) {
            v = trailer(c, (unsigned char)bytes[i++]);
        } else {
            v = size_line(c, (unsigned char)bytes[i++]);
        }
    }
    *taken = i;
    return v;
}
