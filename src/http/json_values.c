/*
 * Pointers are followed by yajl's callbacks: for each is known how many of its names the open objects and arrays
 * match, and whether the value that comes next continues it.  Objects that no pointer leads into cost a comparison a
 * name.  An event stream is cut into lines first; what follows "data:" goes to the parser as it comes.
 */
#include "http/json_values.h"

#include "base/arena.h"
#include "http/json_pointer.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

enum {
    NUMBER_BYTES = 63,
    FIELD_BYTES = 5, /* "data:" */
    STRING_BYTES = 1024,
    ESCAPE_BYTES = 6,       /* the longest: a code unit's */
    PARSER_BYTES = 8 * 1024 /* it reads a token anew with each piece of it: more is one that nobody means */
};

struct pointer {
    const char  *text;
    struct slice name[JSON_VALUES_DEPTH]; /* still with ~0 and ~1 */
    unsigned     names, matched;          /* of the containers that are open */
    bool         is_next;                 /* the value that comes is at name[matched] */
    bool         has_value;
    double       value;
    struct slice wanted; /* ptr NULL: nothing */
    bool         is_wanted;
};

/* Long strings are cut before yajl sees them: it would gather what comes in several pieces. */
struct strings {
    bool     inside, escaped, is_cut;
    unsigned bytes, since_escape;
};

/* The line of an event stream that is being read. */
enum event_line { LINE_BEGINS, LINE_DATA_FIRST, LINE_DATA, LINE_OTHER };

struct json_values {
    yajl_handle     parser; /* NULL: none is needed, or the text is broken */
    struct pointer  pointer[JSON_VALUES_MOST];
    unsigned        count;
    unsigned        depth;                           /* open containers */
    bool            in_array[JSON_VALUES_DEPTH + 1]; /* of those that a pointer may lead through */
    unsigned long   index[JSON_VALUES_DEPTH + 1];    /* of the next value there */
    unsigned        leading;                         /* the deepest container that some pointer leads into */
    struct strings  strings;
    bool            is_stream, is_broken, wants_texts;
    enum event_line line;
    bool            after_cr, has_data; /* of this event */
    char            field[FIELD_BYTES];
    unsigned        field_bytes;
};

/* -- following -- */

/* RFC 6901 4: ~1 is a slash, ~0 a tilde. */
static bool is_name(struct slice token, const unsigned char *key, size_t bytes)
{
    size_t k = 0;

    for (size_t i = 0; i < token.len; i++, k++) {
        char c = token.ptr[i];

        if (c == '~' && i + 1 < token.len)
            c = token.ptr[++i] == '1' ? '/' : '~';
        if (k >= bytes || (char)key[k] != c)
            return false;
    }
    return k == bytes;
}

static bool is_index(struct slice token, unsigned long index)
{
    unsigned long wanted;

    return json_pointer_index(token, &wanted) && wanted == index;
}

/* In an array the values have no names: the next one is looked at when it comes. */
static void begin_value(struct json_values *v)
{
    unsigned long index;

    if (v->depth == 0 || v->depth > v->leading || v->depth > JSON_VALUES_DEPTH || !v->in_array[v->depth])
        return;
    index = v->index[v->depth]++;
    for (unsigned i = 0; i < v->count; i++) {
        struct pointer *p = &v->pointer[i];

        p->is_next = p->matched == v->depth - 1 && p->names >= v->depth && is_index(p->name[v->depth - 1], index);
    }
}

static int on_key(void *context, const unsigned char *key, size_t bytes)
{
    struct json_values *v = context;

    if (v->depth > v->leading || v->depth > JSON_VALUES_DEPTH)
        return 1;
    for (unsigned i = 0; i < v->count; i++) {
        struct pointer *p = &v->pointer[i];

        p->is_next = p->matched == v->depth - 1 && p->names >= v->depth && is_name(p->name[v->depth - 1], key, bytes);
    }
    return 1;
}

static int on_number(void *context, const char *text, size_t bytes)
{
    struct json_values *v = context;
    char                number[NUMBER_BYTES + 1];

    begin_value(v);
    if (v->depth > v->leading || bytes > NUMBER_BYTES)
        return 1;
    for (unsigned i = 0; i < v->count; i++) {
        struct pointer *p = &v->pointer[i];

        if (!p->is_next || p->names != v->depth)
            continue;
        memcpy(number, text, bytes);
        number[bytes] = '\0';
        p->value = strtod(number, NULL);
        p->has_value = true;
        p->is_wanted = p->is_wanted || slice_eq(p->wanted, (struct slice){ text, bytes });
        p->is_next = false;
    }
    return 1;
}

/* A value that is no container: is it what is wanted there? */
static void pass_text(struct json_values *v, const char *text, size_t bytes)
{
    begin_value(v);
    if (v->depth > v->leading || !v->wants_texts)
        return;
    for (unsigned i = 0; i < v->count; i++) {
        struct pointer *p = &v->pointer[i];

        if (!p->is_next || p->names != v->depth)
            continue;
        p->is_wanted = p->is_wanted || slice_eq(p->wanted, (struct slice){ text, bytes });
        p->is_next = false;
    }
}

static int on_null(void *context)
{
    pass_text(context, "null", 4);
    return 1;
}

static int on_bool(void *context, int is_true)
{
    pass_text(context, is_true ? "true" : "false", is_true ? 4 : 5);
    return 1;
}

static int on_string(void *context, const unsigned char *text, size_t bytes)
{
    pass_text(context, (const char *)text, bytes);
    return 1;
}

static int open_container(struct json_values *v, bool is_array)
{
    bool leads = v->depth == 0;

    begin_value(v);
    if (v->depth <= v->leading && v->depth < JSON_VALUES_DEPTH) {
        for (unsigned i = 0; i < v->count && v->depth > 0; i++) {
            struct pointer *p = &v->pointer[i];

            if (p->is_next && p->names > v->depth) {
                p->matched = v->depth;
                leads = true;
            }
            p->is_next = false;
        }
        if (leads) {
            v->leading = v->depth + 1;
            v->in_array[v->depth + 1] = is_array;
            v->index[v->depth + 1] = 0;
        }
    }
    return ++v->depth <= JSON_NESTED_MOST;
}

static int close_container(void *context)
{
    struct json_values *v = context;

    v->depth--;
    if (v->depth >= v->leading)
        return 1;
    v->leading = v->depth;
    for (unsigned i = 0; i < v->count; i++) {
        struct pointer *p = &v->pointer[i];

        p->is_next = false;
        if (p->matched > 0 && p->matched >= v->depth)
            p->matched = v->depth > 0 ? v->depth - 1 : 0;
    }
    return 1;
}

static int on_map(void *context)
{
    return open_container(context, false);
}

static int on_array(void *context)
{
    return open_container(context, true);
}

/* Strings have no callback: yajl would decode those with escapes, which nobody wants but who asks for a text; and an
 * array's index wants one. */
static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_bool,
    .yajl_number = on_number,
    .yajl_start_map = on_map,
    .yajl_map_key = on_key,
    .yajl_end_map = close_container,
    .yajl_start_array = on_array,
    .yajl_end_array = close_container,
}, callbacks_with_strings = {
    .yajl_null = on_null,
    .yajl_boolean = on_bool,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_map,
    .yajl_map_key = on_key,
    .yajl_end_map = close_container,
    .yajl_start_array = on_array,
    .yajl_end_array = close_container,
};

/* -- the parser's memory -- */

/* yajl knows no failure of these: it is stopped after the piece that asked for so much. */
static void note_size(struct json_values *v, size_t bytes)
{
    v->is_broken = v->is_broken || bytes > PARSER_BYTES;
}

static void *parser_alloc(void *context, size_t bytes)
{
    note_size(context, bytes);
    return mem_alloc_raw(bytes);
}

static void *parser_resize(void *context, void *old, size_t bytes)
{
    note_size(context, bytes);
    return mem_resize(old, bytes);
}

static void parser_free(void *context, void *old)
{
    (void)context;
    free(old);
}

/* -- life -- */

static void parse_pointer(struct pointer *p, const char *text)
{
    struct slice all = slice_of(text);
    size_t       at = 0;

    *p = (struct pointer){ .text = text };
    while (at < all.len && p->names < JSON_VALUES_DEPTH) {
        size_t end = slice_find(all, '/', at + 1);

        p->name[p->names++] = slice_sub(all, at + 1, end);
        at = end;
    }
    if (at < all.len) /* deeper than is followed */
        p->names = 0;
}

static bool has_indices(const struct json_values *v)
{
    for (unsigned i = 0; i < v->count; i++)
        for (unsigned k = 0; k < v->pointer[i].names; k++)
            if (v->pointer[i].name[k].len > 0 && v->pointer[i].name[k].ptr[0] >= '0' &&
                v->pointer[i].name[k].ptr[0] <= '9')
                return true;
    return false;
}

static void begin_text(struct json_values *v)
{
    yajl_alloc_funcs memory = { parser_alloc, parser_resize, parser_free, v };

    if (v->parser != NULL)
        yajl_free(v->parser);
    v->depth = v->leading = 0;
    for (unsigned i = 0; i < v->count; i++) {
        v->pointer[i].matched = 0;
        v->pointer[i].is_next = false;
    }
    v->strings = (struct strings){ 0 };
    v->parser = yajl_alloc(v->wants_texts || has_indices(v) ? &callbacks_with_strings : &callbacks, &memory, v);
    if (v->parser == NULL)
        return;
    yajl_config(v->parser, yajl_dont_validate_strings, 1);
    if (v->is_stream)
        yajl_config(v->parser, yajl_allow_multiple_values, 1);
}

struct json_values *json_values_open(const char *const *pointers, unsigned count, bool is_event_stream)
{
    struct json_values *v = mem_alloc(sizeof *v);

    v->count = count < JSON_VALUES_MOST ? count : JSON_VALUES_MOST;
    v->is_stream = is_event_stream;
    for (unsigned i = 0; i < v->count; i++)
        parse_pointer(&v->pointer[i], pointers[i]);
    if (v->count > 0)
        begin_text(v);
    return v;
}

void json_values_want(struct json_values *v, unsigned pointer, struct slice text)
{
    if (pointer >= v->count)
        return;
    v->pointer[pointer].wanted = text;
    if (v->wants_texts)
        return;
    v->wants_texts = true;
    begin_text(v);
}

void json_values_close(struct json_values *v)
{
    if (v != NULL && v->parser != NULL)
        yajl_free(v->parser);
    free(v);
}

/* -- feeding -- */

static void to_parser(struct json_values *v, const char *from, const char *to)
{
    if (from == to || v->is_broken)
        return;
    if (yajl_parse(v->parser, (const unsigned char *)from, (size_t)(to - from)) != yajl_status_ok)
        v->is_broken = true;
}

/* To the end of the string, or of the piece.  *from: what the parser has not had yet. */
static const char *pass_string(struct json_values *v, const char *at, const char *end, const char **from)
{
    struct strings *s = &v->strings;

    for (; at < end; at++) {
        if (s->escaped) {
            s->escaped = false;
        } else if (*at == '"') {
            if (s->is_cut)
                *from = at;
            *s = (struct strings){ 0 };
            return at + 1;
        } else {
            if (!s->is_cut && s->bytes >= STRING_BYTES && (*at == '\\' || s->since_escape >= ESCAPE_BYTES)) {
                to_parser(v, *from, at);
                s->is_cut = true;
            }
            s->escaped = *at == '\\';
            s->since_escape = s->escaped ? 0 : s->since_escape;
        }
        s->bytes++;
        s->since_escape++;
    }
    return at;
}

static void parse(struct json_values *v, const char *bytes, size_t count)
{
    const char *at = bytes, *end = bytes + count, *from = bytes;

    if (count == 0 || v->is_broken || v->parser == NULL)
        return;
    v->has_data = true;
    while (at < end && !v->is_broken) {
        if (v->strings.inside) {
            at = pass_string(v, at, end, &from);
            continue;
        }
        at = memchr(at, '"', (size_t)(end - at));
        if (at == NULL)
            break;
        v->strings.inside = true;
        at++;
    }
    if (!v->strings.is_cut)
        to_parser(v, from, end);
}

/* An empty line.  The next event is another text; the parser is as good as new where this one is whole. */
static void end_event(struct json_values *v)
{
    if (!v->has_data)
        return;
    parse(v, "\n", 1); /* a number ends here */
    v->has_data = false;
    if (v->is_broken || v->depth > 0)
        begin_text(v);
    v->is_broken = false;
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static const char *line_end(const char *from, const char *end)
{
    const char *lf = memchr(from, '\n', (size_t)(end - from));
    const char *cr = memchr(from, '\r', (size_t)((lf != NULL ? lf : end) - from));

    return cr != NULL ? cr : lf != NULL ? lf : end;
}

static void end_line(struct json_values *v, char c)
{
    if (v->line == LINE_BEGINS && v->field_bytes == 0)
        end_event(v);
    else if (v->line == LINE_DATA)
        parse(v, "\n", 1);
    v->line = LINE_BEGINS;
    v->field_bytes = 0;
    v->after_cr = c == '\r';
}

/* WHATWG HTML 9.2.6: lines end with LF, CR or both; "data:", then one space that is not part of it. */
static void feed_stream(struct json_values *v, const char *at, const char *end)
{
    while (at < end) {
        if (v->after_cr && *at == '\n') {
            v->after_cr = false;
            at++;
            continue;
        }
        v->after_cr = false;
        if (is_line_end(*at)) {
            end_line(v, *at++);
            continue;
        }
        switch (v->line) {
        case LINE_BEGINS:
            v->field[v->field_bytes++] = *at++;
            if (v->field_bytes == FIELD_BYTES)
                v->line = memcmp(v->field, "data:", FIELD_BYTES) == 0 ? LINE_DATA_FIRST : LINE_OTHER;
            break;
        case LINE_DATA_FIRST:
            at += *at == ' ';
            v->line = LINE_DATA;
            break;
        case LINE_DATA:
        case LINE_OTHER: {
            const char *to = line_end(at, end);

            if (v->line == LINE_DATA)
                parse(v, at, (size_t)(to - at));
            at = to;
        }
        }
    }
}

void json_values_feed(struct json_values *v, const char *bytes, size_t count)
{
    if (v->count == 0)
        return;
    if (v->is_stream)
        feed_stream(v, bytes, bytes + count);
    else
        parse(v, bytes, count);
}

void json_values_end(struct json_values *v)
{
    if (v->count == 0)
        return;
    if (v->is_stream) {
        end_event(v); /* an API that ends with its last line, not with an empty one, has said it all the same */
        return;
    }
    if (v->is_broken || v->parser == NULL || yajl_complete_parse(v->parser) != yajl_status_ok)
        for (unsigned i = 0; i < v->count; i++)
            v->pointer[i].has_value = v->pointer[i].is_wanted = false;
}

bool json_values_number(const struct json_values *v, unsigned pointer, double *out)
{
    if (pointer >= v->count || !v->pointer[pointer].has_value)
        return false;
    *out = v->pointer[pointer].value;
    return true;
}

bool json_values_is_wanted(const struct json_values *v, unsigned pointer)
{
    return pointer < v->count && v->pointer[pointer].is_wanted;
}

bool json_values_at(const struct json_values *v, const char *pointer, double *out)
{
    for (unsigned i = 0; i < v->count; i++)
        if (strcmp(v->pointer[i].text, pointer) == 0)
            return json_values_number(v, i, out);
    return false;
}
