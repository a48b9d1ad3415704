/*
 * A pattern is a glob for the path and one for each parameter of its query
 * part, or a PCRE2 expression.  The hit path runs this for the few rules that rules.c does not
 * pass over: nothing is compiled or allocated here while matching.
 */
#include "route/pattern.h"

#include "base/arena.h"
#include "route/glob.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>

enum {
    MATCH_LIMIT = 100000, /* steps of an expression that backtracks */
    HEAP_LIMIT_KIB = 1024,
    /* what PCRE2 needs for one match without a compiled form's stack */
    MATCH_DATA_BYTES = 512,
};

struct pattern {
    char  *text;
    size_t length;
    /* a glob */
    struct glob  *path;
    bool          has_query;
    struct glob **parameters;
    struct slice *parameter_texts; /* slices of `text`: for pattern_hides() */
    unsigned      parameter_count;
    /* an expression */
    pcre2_code          *expression;
    pcre2_match_context *limits;
    bool                 sees_query;
};

/* ---- compiling ---- */

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("_.~%+[]$:-", c) != NULL);
}

static bool parameter_begins(struct slice text, size_t at)
{
    size_t end = at;

    while (end < text.len && is_name_byte(text.ptr[end]))
        end++;
    return end > at && end < text.len && text.ptr[end] == '=';
}

/* The next `wanted` outside of braces and not escaped, at or after `from`; text.len where there is
 * none. */
static size_t find_outside(struct slice text, char wanted, size_t from)
{
    unsigned depth = 0;

    for (size_t i = from; i < text.len; i++) {
        char c = text.ptr[i];

        if (depth == 0 && c == wanted)
            return i;
        if (c == '\\')
            i++;
        else if (c == '{')
            depth++;
        else if (c == '}' && depth > 0)
            depth--;
    }
    return text.len;
}

/* Where the path part ends; *query where the query part begins, text.len + 1 where there is none.
 */
static size_t find_query(struct slice text, size_t *query)
{
    unsigned depth = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '\\') {
            if (depth == 0 && i + 1 < text.len && text.ptr[i + 1] == '?') {
                *query = i + 2;
                return i;
            }
            i++;
        } else if (c == '{') {
            depth++;
        } else if (c == '}' && depth > 0) {
            depth--;
        } else if (c == '?' && depth == 0 && parameter_begins(text, i + 1)) {
            *query = i + 1;
            return i;
        }
    }
    *query = text.len + 1;
    return text.len;
}

static int compile_query(struct pattern *p, struct slice text, size_t from, struct fault *why)
{
    p->has_query = true;
    while (from < text.len) {
        size_t       end = find_outside(text, '&', from);
        struct slice part = slice_sub(text, from, end);

        if (part.len > 0) {
            struct glob *g = glob_compile(part, false, from, why);

            if (g == NULL)
                return -1;
            p->parameters = mem_resize(p->parameters, (p->parameter_count + 1) * sizeof p->parameters[0]);
            p->parameter_texts = mem_resize(p->parameter_texts,
                                            (p->parameter_count + 1) * sizeof p->parameter_texts[0]);
            p->parameter_texts[p->parameter_count] = part;
            p->parameters[p->parameter_count++] = g;
        }
        from = end + 1;
    }
    return 0;
}

static int compile_glob(struct pattern *p, struct slice text, struct fault *why)
{
    size_t query, path_end;

    if (memchr("/*?{", text.ptr[0], 4) == NULL && !slice_starts_with(text, SLICE("http://")) &&
        !slice_starts_with(text, SLICE("https://")))
        return fault_set(why, "character 1: a path begins with \"/\", and so must its pattern "
                              "(or with a wildcard; \"~\" begins an expression)");
    path_end = find_query(text, &query);
    p->path = glob_compile(slice_sub(text, 0, path_end), true, 0, why);
    if (p->path == NULL)
        return -1;
    return query <= text.len ? compile_query(p, text, query, why) : 0;
}

/* A "\?" or a "?" in brackets can only stand for the one before the query. */
static bool expression_names_question_mark(struct slice text)
{
    bool in_class = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '\\') {
            if (i + 1 < text.len && text.ptr[i + 1] == '?')
                return true;
            i++;
        } else if (in_class) {
            if (c == '?')
                return true;
            in_class = c != ']';
        } else if (c == '[') {
            in_class = true;
            if (i + 1 < text.len && text.ptr[i + 1] == '^')
                i++;
            if (i + 1 < text.len && text.ptr[i + 1] == ']')
                i++; /* a first ']' is itself */
        }
    }
    return false;
}

static int compile_expression(struct pattern *p, struct slice text, struct fault *why)
{
    int        code;
    PCRE2_SIZE at;

    p->expression = pcre2_compile((PCRE2_SPTR)text.ptr, text.len,
                                  PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    if (p->expression == NULL) {
        PCRE2_UCHAR message[128];

        pcre2_get_error_message(code, message, sizeof message);
        return fault_set(why, "character %zu: %s", (size_t)at + 2, (const char *)message);
    }
    p->limits = pcre2_match_context_create(NULL);
    if (p->limits == NULL)
        return fault_set(why, "no memory");
    pcre2_set_match_limit(p->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(p->limits, HEAP_LIMIT_KIB);
    p->sees_query = expression_names_question_mark(text);
    return 0;
}

struct pattern *pattern_compile(struct slice text, struct fault *why)
{
    struct pattern *p;
    struct slice    own;
    int             rc;

    if (text.len == 0) {
        fault_set(why, "the pattern is empty");
        return NULL;
    }
    p = mem_alloc(sizeof *p);
    p->text = mem_copy(text);
    p->length = text.len;
    own = (struct slice){ p->text, p->length };
    if (text.ptr[0] == '~')
        rc = compile_expression(p, slice_sub(own, 1, own.len), why);
    else
        rc = compile_glob(p, own, why);
    if (rc == 0)
        return p;
    pattern_free(p);
    return NULL;
}

void pattern_hasten(struct pattern *p)
{
    /* Where memory may not be made executable the interpreter does the work. */
    if (p->expression != NULL)
        pcre2_jit_compile(p->expression, PCRE2_JIT_COMPLETE);
}

void pattern_free(struct pattern *p)
{
    if (p == NULL)
        return;
    glob_free(p->path);
    for (unsigned i = 0; i < p->parameter_count; i++)
        glob_free(p->parameters[i]);
    free(p->parameters);
    free(p->parameter_texts);
    pcre2_match_context_free(p->limits);
    pcre2_code_free(p->expression);
    free(p->text);
    free(p);
}

/* ---- matching ---- */

/* The memory of one match stands on the stack; PCRE2 asks for more only where there is no compiled
 * form. */
struct match_memory {
    size_t used;
    _Alignas(max_align_t) char bytes[MATCH_DATA_BYTES];
};

static void *match_allocate(size_t bytes, void *context)
{
    struct match_memory *m = context;
    size_t               rounded = (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    void                *p;

    if (rounded < bytes || rounded > sizeof m->bytes - m->used)
        return malloc(bytes);
    p = m->bytes + m->used;
    m->used += rounded;
    return p;
}

static void match_release(void *p, void *context)
{
    struct match_memory *m = context;

    if ((uintptr_t)p < (uintptr_t)m->bytes || (uintptr_t)p >= (uintptr_t)m->bytes + sizeof m->bytes)
        free(p);
}

static bool expression_matches(const struct pattern *p, struct slice subject)
{
    struct match_memory    memory = { .used = 0 };
    pcre2_general_context *context = pcre2_general_context_create(match_allocate, match_release, &memory);
    pcre2_match_data      *data = context != NULL ? pcre2_match_data_create(1, context) : NULL;
    bool                   matches = false;

    if (data != NULL)
        matches = pcre2_match(p->expression, (PCRE2_SPTR)subject.ptr, subject.len, 0, 0, data, p->limits) >= 0;
    pcre2_match_data_free(data);
    pcre2_general_context_free(context);
    return matches;
}

static bool parameter_is_there(const struct glob *g, struct slice query)
{
    for (size_t from = 0; from <= query.len;) {
        size_t end = slice_find(query, '&', from);

        if (glob_matches(g, slice_sub(query, from, end)))
            return true;
        from = end + 1;
    }
    return false;
}

static bool query_matches(const struct pattern *p, struct slice query)
{
    if (p->parameter_count == 0)
        return query.len == 0;
    for (unsigned i = 0; i < p->parameter_count; i++)
        if (!parameter_is_there(p->parameters[i], query))
            return false;
    return true;
}

bool pattern_matches(const struct pattern *p, struct slice target)
{
    size_t       end = slice_find(target, '?', 0);
    struct slice path = slice_sub(target, 0, end);

    if (p->expression != NULL)
        return expression_matches(p, p->sees_query ? target : path);
    return glob_matches(p->path, path) && (!p->has_query || query_matches(p, slice_sub(target, end + 1, target.len)));
}

struct slice pattern_text(const struct pattern *p)
{
    return (struct slice){ p->text, p->length };
}

/* ---- parts ---- */

const struct glob *pattern_path(const struct pattern *p)
{
    return p->path;
}

unsigned pattern_parameters(const struct pattern *p)
{
    return p->parameter_count;
}

const struct glob *pattern_parameter(const struct pattern *p, unsigned i)
{
    return p->parameters[i];
}

struct slice pattern_parameter_text(const struct pattern *p, unsigned i)
{
    return p->parameter_texts[i];
}

bool pattern_sees_query(const struct pattern *p)
{
    return p->sees_query;
}

bool pattern_matches_query(const struct pattern *p, struct slice query)
{
    return !p->has_query || query_matches(p, query);
}

/* ---- comparing ---- */

static bool has_parameter(const struct pattern *p, struct slice text)
{
    for (unsigned i = 0; i < p->parameter_count; i++)
        if (slice_eq(p->parameter_texts[i], text))
            return true;
    return false;
}

/* Every query that `later` takes is one that `earlier` takes. */
static bool query_hides(const struct pattern *earlier, const struct pattern *later)
{
    if (!earlier->has_query)
        return true;
    if (!later->has_query)
        return false;
    if (earlier->parameter_count == 0)
        return later->parameter_count == 0;
    for (unsigned i = 0; i < earlier->parameter_count; i++)
        if (!has_parameter(later, earlier->parameter_texts[i]))
            return false;
    return true;
}

bool pattern_hides_all(const struct pattern *p)
{
    struct glob *all;
    bool         every;

    if (p->expression != NULL || p->has_query)
        return false;
    all = glob_compile(SLICE("/**"), true, 0, NULL);
    every = glob_hides(p->path, all);
    glob_free(all);
    return every;
}

bool pattern_hides(const struct pattern *earlier, const struct pattern *later)
{
    if (slice_eq(pattern_text(earlier), pattern_text(later)))
        return true;
    if (earlier->expression != NULL)
        return false;
    if (pattern_hides_all(earlier))
        return true;
    return later->expression == NULL && query_hides(earlier, later) && glob_hides(earlier->path, later->path);
}

bool pattern_hides_within(const struct pattern *earlier, const struct pattern *later, int64_t *work)
{
    return query_hides(earlier, later) && glob_hides_within(earlier->path, later->path, work);
}
