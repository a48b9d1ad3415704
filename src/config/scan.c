/*
 * Walks a configuration's text by libconfig's grammar to name what is wrong
 * with it, and to note where each value stands.
 *
 * libconfig reads the text afterwards and builds the tree; this walk builds
 * nothing.  It goes on after a slip that leaves no doubt (a trailing comma, a
 * setting given twice) and stops at the first that does.
 */
#include "config/reader.h"
#include "config/source.h"

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_EQUALS,
    TOKEN_COMMA,
    TOKEN_SEMICOLON,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_TEXT,
    TOKEN_NUMBER,
    TOKEN_BOOL,
    TOKEN_WRONG
};

struct token {
    enum token_kind kind;
    struct slice    text;
    unsigned        line; /* counted from 0 */
};

enum { DEPTH_MAX = 32, PATH_BYTES = 256 };

struct scan {
    struct source   *src;
    struct arena    *arena;
    struct problems *problems;
    size_t           at;
    unsigned         line;
    struct token     token; /* the next one */
    struct node     *nodes;
    unsigned         count, room;
    unsigned         depth;
    char             path[PATH_BYTES];
    size_t           path_bytes;
    bool             good; /* libconfig would read on */
};

struct scan_seen { /* the names of one group */
    struct scan_seen *before;
    struct slice      name;
    unsigned          line;
};

static struct source_place place_of(const struct scan *s, unsigned line)
{
    return s->src->lines[line < s->src->line_count ? line : s->src->line_count - 1];
}

static void slip(struct scan *s, unsigned line, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void slip(struct scan *s, unsigned line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    problem_add(s->problems, false, place_of(s, line), s->path_bytes > 0 ? s->path : NULL, format, args);
    va_end(args);
}

/* -- tokens -- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '*';
}
static bool is_name_byte(char c)
{
    return is_letter(c) || is_digit(c) || c == '-' || c == '_';
}

size_t source_past(struct slice t, size_t at)
{
    char   next = at + 1 < t.len ? t.ptr[at + 1] : '\0';
    size_t i = at + 2;

    if (t.ptr[at] == '#' || (t.ptr[at] == '/' && next == '/'))
        return slice_find(t, '\n', at);
    if (t.ptr[at] == '/' && next == '*') {
        while (i < t.len && !(t.ptr[i] == '*' && i + 1 < t.len && t.ptr[i + 1] == '/'))
            i++;
        return i < t.len ? i + 2 : SIZE_MAX;
    }
    if (t.ptr[at] != '"')
        return at;
    for (i = at + 1; i < t.len && t.ptr[i] != '"'; i++)
        i += t.ptr[i] == '\\';
    return i < t.len ? i + 1 : SIZE_MAX;
}

/* Over the comment or text that begins here; false where it has no end, and with it the file. */
static bool pass(struct scan *s, const char *what, const char *end)
{
    size_t past = source_past((struct slice){ s->src->text, s->src->bytes }, s->at);

    if (past == SIZE_MAX) {
        slip(s, s->line, "the %s that begins here has no end; close it with %s", what, end);
        s->good = false;
        s->at = s->src->bytes;
        return false;
    }
    for (; s->at < past; s->at++)
        s->line += s->src->text[s->at] == '\n';
    return true;
}

/* Blanks, line ends and the three kinds of comments. */
static void skip_blanks(struct scan *s)
{
    for (;;) {
        const char *t = s->src->text + s->at;

        if (*t == '#' || (*t == '/' && (t[1] == '/' || t[1] == '*'))) {
            if (!pass(s, "comment", "*/"))
                return;
        } else if (*t != '\0' && strchr(" \t\n\r\f", *t) != NULL) {
            s->line += *t == '\n';
            s->at++;
        } else {
            return;
        }
    }
}

/* From the quote to its partner. */
static struct token take_text(struct scan *s)
{
    struct token got = { TOKEN_TEXT, { s->src->text + s->at, 0 }, s->line };

    if (!pass(s, "text", "a quotation mark"))
        got.kind = TOKEN_END;
    else
        got.text.len = (size_t)(s->src->text + s->at - got.text.ptr);
    return got;
}

/* libconfig's numbers: decimal and hexadecimal, with L for long ones, and fractions. */
static bool is_number(struct slice t)
{
    size_t i = 0, digits = 0, fraction = 0;

    if (t.len > 2 && t.ptr[0] == '0' && (t.ptr[1] | 0x20) == 'x') {
        for (i = 2; i < t.len && (is_digit(t.ptr[i]) || ((t.ptr[i] | 0x20) >= 'a' && (t.ptr[i] | 0x20) <= 'f')); i++)
            digits++;
    } else {
        if (i < t.len && (t.ptr[i] == '-' || t.ptr[i] == '+'))
            i++;
        for (; i < t.len && is_digit(t.ptr[i]); i++)
            digits++;
        if (i < t.len && t.ptr[i] == '.') {
            for (i++; i < t.len && is_digit(t.ptr[i]); i++)
                fraction++;
            return digits + fraction > 0 && i == t.len;
        }
    }
    while (i < t.len && t.ptr[i] == 'L')
        i++;
    return digits > 0 && i == t.len;
}

static struct token take_word(struct scan *s)
{
    const char  *t = s->src->text;
    struct token got = { TOKEN_NAME, { t + s->at, 0 }, s->line };

    if (is_letter(t[s->at])) {
        while (is_name_byte(t[s->at + got.text.len]))
            got.text.len++;
        if (slice_eq_nocase(got.text, SLICE("true")) || slice_eq_nocase(got.text, SLICE("false")))
            got.kind = TOKEN_BOOL;
    } else {
        got.text.len = strcspn(t + s->at, " \t\r\n\f,;=(){}[]\"#");
        if (got.text.len == 0)
            got.text.len = 1;
        got.kind = is_number(got.text) ? TOKEN_NUMBER : TOKEN_WRONG;
    }
    s->at += got.text.len;
    return got;
}

static struct token take_token(struct scan *s)
{
    static const char            marks[] = "=:,;({[)}]";
    static const enum token_kind kinds[] = { TOKEN_EQUALS, TOKEN_EQUALS, TOKEN_COMMA, TOKEN_SEMICOLON, TOKEN_OPEN,
                                             TOKEN_OPEN,   TOKEN_OPEN,   TOKEN_CLOSE, TOKEN_CLOSE,     TOKEN_CLOSE };
    const char                  *mark;

    skip_blanks(s);
    if (s->at >= s->src->bytes)
        return (struct token){ TOKEN_END, SLICE("the end of the file"), s->line > 0 ? s->line - 1 : 0 };
    mark = strchr(marks, s->src->text[s->at]);
    if (mark != NULL) {
        s->at++;
        return (struct token){ kinds[mark - marks], { s->src->text + s->at - 1, 1 }, s->line };
    }
    return s->src->text[s->at] == '"' ? take_text(s) : take_word(s);
}

static void next(struct scan *s)
{
    s->token = take_token(s);
}

/* -- the grammar -- */

static bool value(struct scan *s);

static bool stop(struct scan *s)
{
    s->good = false;
    return false;
}

static void note(struct scan *s, struct token t)
{
    ARENA_ROOM(s->arena, s->nodes, s->room, s->count);
    s->nodes[s->count++] = (struct node){ place_of(s, t.line), t.kind == TOKEN_NUMBER ? t.text : SLICE_NONE };
}

static size_t path_push(struct scan *s, const char *format, struct slice name, unsigned index)
{
    size_t before = s->path_bytes;
    int    n;

    if (name.ptr != NULL)
        n = snprintf(s->path + before, PATH_BYTES - before, format, before > 0 ? "." : "", SLICE_ARG(name));
    else
        n = snprintf(s->path + before, PATH_BYTES - before, "[%u]", index);
    if (n > 0 && before + (size_t)n < PATH_BYTES)
        s->path_bytes = before + (size_t)n;
    else
        s->path[before] = '\0';
    return before;
}

static void path_pop(struct scan *s, size_t before)
{
    s->path_bytes = before;
    s->path[before] = '\0';
}

/* The bracket that closes `open`, or the end of the file for a top-level '\0'. */
static char partner(char open)
{
    return (char)(open == '(' ? ')' : open == '{' ? '}' : open == '[' ? ']' : '\0');
}

static bool closes(const struct scan *s, char open)
{
    return open == '\0' ? s->token.kind == TOKEN_END
                        : s->token.kind == TOKEN_CLOSE && s->token.text.ptr[0] == partner(open);
}

static const char *quote(struct token t)
{
    return t.kind == TOKEN_END || t.kind == TOKEN_TEXT ? "" : "'";
}

/* What looks like a blank, and came with a text from elsewhere; NULL: the token begins with none. */
static const char *odd_blank(struct token t)
{
    static const struct {
        const char *bytes, *name;
    } blanks[] = {
        { "\302\240", "U+00A0" },     { "\342\200\257", "U+202F" }, { "\342\200\213", "U+200B" },
        { "\357\273\277", "U+FEFF" }, { "\343\200\200", "U+3000" },
    };

    for (size_t i = 0; i < sizeof blanks / sizeof blanks[0]; i++)
        if (t.kind == TOKEN_WRONG && slice_starts_with(t.text, slice_of(blanks[i].bytes)))
            return blanks[i].name;
    return NULL;
}

static bool told_of_blank(struct scan *s, struct token t)
{
    const char *name = odd_blank(t);

    if (name != NULL)
        slip(s, t.line, "%s stands here, which looks like a blank and is none; type it anew", name);
    return name != NULL;
}

/* Something else stands where `wanted` should. */
static bool unexpected(struct scan *s, char open, unsigned opened, const char *wanted)
{
    if (told_of_blank(s, s->token))
        return stop(s);
    if (s->token.kind == TOKEN_END && open != '\0') {
        if (s->good)
            slip(s, opened, "the '%c' on this line has no '%c'", open, partner(open));
    } else if (s->token.kind == TOKEN_CLOSE && open != '\0') {
        slip(s, s->token.line, "'" SLICE_FMT "' where the '%c' of line %u wants its '%c'", SLICE_ARG(s->token.text),
             open, place_of(s, opened).line, partner(open));
    } else {
        slip(s, s->token.line, "syntax error at %s" SLICE_FMT "%s; %s is wanted", quote(s->token),
             SLICE_ARG(slice_sub(s->token.text, 0, 40)), quote(s->token), wanted);
    }
    return stop(s);
}

static struct scan_seen *see(struct scan *s, struct scan_seen *all, struct token name)
{
    struct scan_seen *now = arena_alloc(s->arena, sizeof *now);

    for (struct scan_seen *one = all; one != NULL; one = one->before) {
        if (!slice_eq(one->name, name.text))
            continue;
        slip(s, name.line, "set twice; keep this or that of line %u", place_of(s, one->line).line);
        s->good = false;
        break;
    }
    *now = (struct scan_seen){ all, name.text, name.line };
    return now;
}

/* NAME = VALUE [;] ... up to the partner of `open`. */
static bool settings(struct scan *s, char open, unsigned opened)
{
    struct scan_seen *all = NULL;

    while (!closes(s, open)) {
        struct token name = s->token;
        size_t       before;

        if (name.kind != TOKEN_NAME)
            return unexpected(s, open, opened,
                              name.kind == TOKEN_SEMICOLON ? "one ';' after a setting" : "the name of a setting");
        before = path_push(s, "%s" SLICE_FMT, name.text, 0);
        all = see(s, all, name);
        next(s);
        if (s->token.kind != TOKEN_EQUALS)
            return unexpected(s, '\0', 0, "'=' after the name");
        next(s);
        if (!value(s))
            return false;
        path_pop(s, before);
        if (s->token.kind == TOKEN_SEMICOLON || s->token.kind == TOKEN_COMMA)
            next(s);
    }
    return true;
}

/* What libconfig tells apart in an array. */
static char kind_in_array(struct token t)
{
    if (t.kind != TOKEN_NUMBER)
        return t.kind == TOKEN_TEXT ? 't' : t.kind == TOKEN_BOOL ? 'b' : '\0';
    return memchr(t.text.ptr, '.', t.text.len) != NULL ? 'f' : slice_ends_with(t.text, SLICE("L")) ? 'l' : 'i';
}

static bool fits_array(struct scan *s, char first)
{
    char kind = kind_in_array(s->token);

    if (kind == first && kind != '\0')
        return true;
    if (s->token.kind == TOKEN_NAME || s->token.kind == TOKEN_WRONG)
        return true; /* value() says it better */
    slip(s, s->token.line, "an array [ ] holds plain values of one kind; write a list ( )");
    return stop(s);
}

/* VALUE, VALUE ... up to the partner of `open`. */
static bool elements(struct scan *s, char open, unsigned opened)
{
    unsigned index = 0;
    char     first = kind_in_array(s->token);

    while (!closes(s, open)) {
        size_t       before = path_push(s, NULL, SLICE_NONE, index++);
        struct token comma;

        if (s->token.kind == TOKEN_END || s->token.kind == TOKEN_CLOSE)
            return unexpected(s, open, opened, "a value");
        if ((open == '[' && !fits_array(s, first)) || !value(s))
            return false;
        path_pop(s, before);
        if (closes(s, open))
            break;
        if (s->token.kind != TOKEN_COMMA)
            return unexpected(s, s->token.kind == TOKEN_END || s->token.kind == TOKEN_CLOSE ? open : '\0', opened,
                              "a comma between two elements");
        comma = s->token;
        next(s);
        if (closes(s, open)) {
            slip(s, comma.line, "a trailing comma; take the ',' before '%c' out", partner(open));
            s->src->text[comma.text.ptr - s->src->text] = ' ';
        }
    }
    return true;
}

static bool nested(struct scan *s)
{
    char     open = s->token.text.ptr[0];
    unsigned opened = s->token.line;
    bool     good;

    if (++s->depth > DEPTH_MAX) {
        slip(s, opened, "groups and lists stand more than %d deep", DEPTH_MAX);
        return stop(s);
    }
    next(s);
    good = open == '{' ? settings(s, open, opened) : elements(s, open, opened);
    if (!good)
        return false;
    s->depth--;
    next(s);
    return true;
}

/* libconfig joins texts that follow one another: meant between settings, in a list a forgotten
 * comma. */
static void joined_texts(struct scan *s)
{
    bool in_list = s->path_bytes > 0 && s->path[s->path_bytes - 1] == ']';

    next(s);
    if (s->token.kind == TOKEN_TEXT && in_list)
        slip(s, s->token.line, "two texts without a comma between them");
    while (s->token.kind == TOKEN_TEXT)
        next(s);
}

/* The row of the table that the path leads to ("upstreams[0].retry.share"); NULL: none. */
static const struct option *option_at(struct slice path)
{
    const struct section *section = &section_top;
    const struct option  *o = NULL;

    for (size_t at = 0; at < path.len && section != NULL;) {
        size_t       end = slice_find(path, '.', at);
        struct slice name = slice_sub(path, at, end);

        name = slice_sub(name, 0, slice_find(name, '[', 0));
        for (o = section->options; o->name != NULL && !slice_eq(slice_of(o->name), name); o++)
            ;
        if (o->name == NULL)
            return NULL;
        section = o->section;
        at = end + 1;
    }
    return o;
}

/* From a quotation mark of another kind to its partner on the same line; what stands between them. */
static bool quoted_otherwise(struct slice *whole, struct slice *inner)
{
    static const char *const marks[][2] = {
        { "'", "'" },
        { "`", "`" },
        { "\342\200\234", "\342\200\235" },
        { "\342\200\235", "\342\200\235" },
        { "\342\200\236", "\342\200\234" },
        { "\342\200\230", "\342\200\231" },
        { "\302\253", "\302\273" },
    };

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *from = whole->ptr + strlen(marks[i][0]), *end;

        if (!slice_starts_with(*whole, slice_of(marks[i][0])))
            continue;
        end = strstr(from, marks[i][1]);
        if (end == NULL || end >= from + strcspn(from, "\n"))
            continue;
        *inner = (struct slice){ from, (size_t)(end - from) };
        whole->len = (size_t)(end - whole->ptr) + strlen(marks[i][1]);
        return true;
    }
    return false;
}

/* A bare word: what would be right is the setting's to say. */
static void no_value(struct scan *s, struct token t)
{
    const struct option *o = option_at(slice_of(s->path));
    struct slice         inner;

    if (told_of_blank(s, t))
        return;
    switch (o != NULL ? o->type : TYPE_TEXT) {
    case TYPE_BOOL:
        slip(s, t.line, SLICE_FMT " is no value; true or false is wanted, without quotation marks", SLICE_ARG(t.text));
        break;
    case TYPE_INT:
    case TYPE_NUMBER:
    case TYPE_STATUSES:
        slip(s, t.line, SLICE_FMT " is no value; a number is wanted, without quotation marks", SLICE_ARG(t.text));
        break;
    case TYPE_GROUP:
    case TYPE_GROUPS:
        if (s->path[s->path_bytes - 1] != ']') {
            slip(s, t.line, SLICE_FMT " is no value; wanted is %s", SLICE_ARG(t.text), value_types[o->type].wanted);
            break;
        }
        /* fall through */
    default:
        if (quoted_otherwise(&t.text, &inner))
            slip(s, t.line, SLICE_FMT " is no value; text stands in plain quotation marks: \"" SLICE_FMT "\"",
                 SLICE_ARG(t.text), SLICE_ARG(inner));
        else
            slip(s, t.line, SLICE_FMT " is no value; text stands in quotation marks: \"" SLICE_FMT "\"",
                 SLICE_ARG(t.text), SLICE_ARG(t.text));
    }
}

static bool value(struct scan *s)
{
    struct token first = s->token;

    switch (first.kind) {
    case TOKEN_OPEN:
        note(s, first);
        return nested(s);
    case TOKEN_TEXT:
        note(s, first);
        joined_texts(s);
        return true;
    case TOKEN_NUMBER:
    case TOKEN_BOOL:
        note(s, first);
        next(s);
        return true;
    case TOKEN_NAME:
    case TOKEN_WRONG:
        no_value(s, first);
        return stop(s);
    default:
        if (first.kind != TOKEN_END || s->good)
            slip(s, first.line, "a value is missing before %s" SLICE_FMT "%s", quote(first), SLICE_ARG(first.text),
                 quote(first));
        return stop(s);
    }
}

bool source_scan(struct source *src, struct nodes *out, struct arena *arena, struct problems *problems)
{
    struct scan s = { .src = src, .arena = arena, .problems = problems, .good = true };

    next(&s);
    settings(&s, '\0', 0);
    *out = (struct nodes){ s.nodes, s.count };
    return s.good;
}
