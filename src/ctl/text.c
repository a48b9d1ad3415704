/*
 * A text is taken to pieces, each a character or an escape, and a piece is never cut.
 */
#include "ctl/text.h"

#include <langinfo.h>
#include <locale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

enum { PIECE_BYTES = 16, COLUMNS_MOST = 10000 };

/* Does the terminal take UTF-8? */
static bool speaks_utf8(void)
{
    static int known = -1;

    if (known < 0) {
        setlocale(LC_CTYPE, "");
        known = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    }
    return known == 1;
}

/* The code point at the front and how many bytes it has; 0 bytes: none (RFC 3629). */
static size_t decode(const unsigned char *p, size_t bytes, unsigned *code)
{
    static const struct {
        unsigned char mask, lead;
        unsigned      least;
    } rows[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };

    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        if ((p[0] & rows[n].mask) != rows[n].lead)
            continue;
        if (n >= bytes)
            return 0;
        *code = p[0] & (unsigned char)~rows[n].mask;
        for (size_t i = 1; i <= n; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return 0;
            *code = *code << 6 | (p[i] & 0x3f);
        }
        return *code < rows[n].least || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : n + 1;
    }
    return 0;
}

/* What a terminal would obey, or what hides how the rest reads: C0, C1, line and paragraph ends, marks and overrides of
 * direction, characters without width, tags. */
static bool is_hostile(unsigned code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0x061c ||
           code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb) || (code >= 0xe0000 && code <= 0xe0fff);
}

struct piece {
    char     text[PIECE_BYTES];
    unsigned columns;
};

/* The next piece; how many bytes of the text it stands for. */
static size_t take(const char *text, size_t bytes, unsigned flags, struct piece *out)
{
    unsigned code = 0;
    size_t   n = decode((const unsigned char *)text, bytes, &code);
    int      width = 1;

    if (n == 0) {
        out->columns = (unsigned)snprintf(out->text, sizeof out->text, "\\x%02x", (unsigned char)text[0]);
        return 1;
    }
    if ((flags & TEXT_LINES) != 0 && (code == '\n' || code == '\t')) {
        snprintf(out->text, sizeof out->text, "%c", (char)code);
        out->columns = 1;
        return n;
    }
    if (code >= 0x80 && speaks_utf8())
        width = wcwidth((wchar_t)code);
    if (is_hostile(code) || width < 0 || (code >= 0x80 && !speaks_utf8())) {
        out->columns = (unsigned)snprintf(out->text, sizeof out->text, code < 0x80 ? "\\x%02x" : "\\u{%x}", code);
        return n;
    }
    memcpy(out->text, text, n);
    out->text[n] = '\0';
    out->columns = (unsigned)width;
    return n;
}

void text_print(FILE *to, const char *text, size_t bytes, unsigned flags)
{
    struct piece p;

    for (size_t at = 0; at < bytes;) {
        at += take(text + at, bytes - at, flags, &p);
        fputs(p.text, to);
    }
}

static unsigned columns_of(const char *text)
{
    const size_t bytes = strlen(text);
    unsigned     columns = 0;
    struct piece p;

    for (size_t at = 0; at < bytes && columns < COLUMNS_MOST; columns += p.columns)
        at += take(text + at, bytes - at, 0, &p);
    return columns;
}

/* Columns of the word at the front, up to its space; how many bytes. */
static size_t word_at(const char *text, size_t bytes, unsigned *columns)
{
    size_t       at = 0;
    struct piece p;

    *columns = 0;
    while (at < bytes && text[at] != ' ') {
        at += take(text + at, bytes - at, 0, &p);
        *columns += p.columns;
    }
    return at;
}

void text_print_wrapped(FILE *to, const char *text, unsigned indent, unsigned columns)
{
    const size_t   bytes = strlen(text);
    const unsigned room = columns > indent + 20 ? columns - indent : columns > 0 ? 20 : COLUMNS_MOST * 100;
    unsigned       used = 0, blanks = 0, wide;

    for (size_t at = 0; at < bytes;) {
        size_t       end = at + word_at(text + at, bytes - at, &wide);
        struct piece p;

        if (used > 0 && used + blanks + wide > room) {
            fprintf(to, "\n%*s", (int)indent, "");
            used = blanks = 0;
        }
        fprintf(to, "%*s", (int)blanks, "");
        used += blanks;
        while (at < end) {
            at += take(text + at, bytes - at, 0, &p);
            if (used + p.columns > room) {
                fprintf(to, "\n%*s", (int)indent, "");
                used = 0;
            }
            fputs(p.text, to);
            used += p.columns;
        }
        for (blanks = 0; at < bytes && text[at] == ' '; at++)
            blanks += used > 0;
    }
}

/* The first `columns` of it, or less where a piece does not fit; prints them. How many columns it printed. */
static unsigned print_front(FILE *to, const char *text, unsigned columns)
{
    const size_t bytes = strlen(text);
    unsigned     used = 0;
    struct piece p;

    for (size_t at = 0; at < bytes;) {
        at += take(text + at, bytes - at, 0, &p);
        if (used + p.columns > columns)
            break;
        fputs(p.text, to);
        used += p.columns;
    }
    return used;
}

/* The last pieces that fit. */
static unsigned print_back(FILE *to, const char *text, unsigned columns)
{
    const size_t bytes = strlen(text);
    unsigned     left = 0;
    struct piece p;
    size_t       at = 0;

    for (size_t i = 0; i < bytes; left += p.columns)
        i += take(text + i, bytes - i, 0, &p);
    for (; left > columns; left -= p.columns)
        at += take(text + at, bytes - at, 0, &p);
    text_print(to, text + at, bytes - at, 0);
    return left;
}

void text_print_fitted(FILE *to, const char *text, unsigned columns, int fill)
{
    unsigned used;

    if (columns == 0) {
        text_print(to, text, strlen(text), 0);
        return;
    }
    if (columns_of(text) <= columns) {
        used = print_front(to, text, columns);
    } else if (columns < 4) {
        used = print_front(to, text, columns);
    } else {
        const char *const cut = speaks_utf8() ? "\xe2\x80\xa6" : "~";

        used = print_front(to, text, (columns - 1) * 2 / 5);
        fputs(cut, to);
        used += 1 + print_back(to, text, columns - 1 - used);
    }
    for (; fill && used < columns; used++)
        fputc(' ', to);
}

int text_is_plain(const char *text, size_t bytes)
{
    unsigned code = 0;

    for (size_t at = 0, n; at < bytes; at += n) {
        n = decode((const unsigned char *)text + at, bytes - at, &code);
        if (n == 0 || (code < 0x20 && code != '\n' && code != '\t' && code != '\r') || code == 0x7f)
            return 0;
    }
    return 1;
}

unsigned text_columns(int fd)
{
    const char    *said = getenv("COLUMNS");
    struct winsize size = { 0 };

    if (!isatty(fd))
        return 0;
    if (said != NULL && atoi(said) > 0)
        return (unsigned)atoi(said);
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

unsigned text_terminal_columns(void)
{
    return text_columns(STDOUT_FILENO);
}
