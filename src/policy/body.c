/*
 * JSON bodies brought to one spelling, and a look into GraphQL documents.
 *
 * Jansson reads the JSON; what it cannot tell apart is kept out of its hands.
 * The GraphQL lexer below knows just enough (comments, strings, nesting) to
 * find the keyword that begins each definition.
 */
#include "policy/body.h"

#include "http/json_pointer.h"

#include <jansson.h>

#include <stdlib.h>

enum { EXACT_DIGITS = 15 }; /* decimal digits that every double keeps apart */

/* ---- the one spelling ---- */

static size_t skip_json_string(struct slice s, size_t at)
{
    for (at++; at < s.len && s.ptr[at] != '"'; at++)
        if (s.ptr[at] == '\\')
            at++;
    return at + 1;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Cuts a number from `at`; false where it is no integer and may lose digits or range as a double.
 */
static bool number_is_exact(struct slice s, size_t *at)
{
    unsigned digits = 0;
    bool     fraction = false, exponent = false;

    for (; *at < s.len; (*at)++) {
        char c = s.ptr[*at];

        if (is_digit(c))
            digits++;
        else if (c == '.')
            fraction = true;
        else if (c == 'e' || c == 'E')
            exponent = true;
        else if (c != '-' && c != '+')
            break;
    }
    return !exponent && (!fraction || digits <= EXACT_DIGITS);
}

static bool numbers_are_exact(struct slice body)
{
    for (size_t i = 0; i < body.len;) {
        if (body.ptr[i] == '"')
            i = skip_json_string(body, i);
        else if (!is_digit(body.ptr[i]))
            i++;
        else if (!number_is_exact(body, &i))
            return false;
    }
    return true;
}

/* An array's value becomes null, so that those after it keep their places. */
static void take_out(json_t *at, struct slice pointer)
{
    char          key[JSON_POINTER_BYTES + 1];
    struct slice  name;
    unsigned long index;

    while (json_pointer_next(&pointer, &name)) {
        bool is_last = pointer.len == 0;

        json_pointer_plain(name, key);
        if (json_is_object(at) && is_last) {
            json_object_del(at, key);
            return;
        }
        if (json_is_array(at) && !json_pointer_index(name, &index))
            return;
        if (json_is_array(at) && is_last) {
            json_array_set_new(at, index, json_null());
            return;
        }
        at = json_is_array(at) ? json_array_get(at, index) : json_object_get(at, key);
    }
}

char *policy_body_canonical(struct slice body, const char *const *ignored, size_t *length)
{
    json_error_t error;
    json_t      *root;
    char        *text;

    if (body.len == 0 || !numbers_are_exact(body))
        return NULL;
    root = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (root == NULL)
        return NULL;
    for (; ignored != NULL && *ignored != NULL; ignored++)
        take_out(root, slice_of(*ignored));
    text = json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    json_decref(root);
    if (text != NULL)
        *length = strlen(text); /* JSON holds no NUL: Jansson refuses \u0000 unless asked */
    return text;
}

/* ---- GraphQL ---- */

struct lexer {
    struct slice text;
    size_t       at;
};

enum body_token { TOKEN_END, TOKEN_NAME, TOKEN_STRING, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_OTHER };

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

static bool looking_at(const struct lexer *l, const char *what)
{
    return slice_starts_with(slice_sub(l->text, l->at, l->text.len), slice_of(what));
}

static void skip_ignored(struct lexer *l)
{
    while (l->at < l->text.len) {
        char c = l->text.ptr[l->at];

        if (c == '#')
            while (l->at < l->text.len && l->text.ptr[l->at] != '\n' && l->text.ptr[l->at] != '\r')
                l->at++;
        else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',')
            l->at++;
        else if (looking_at(l, "\xef\xbb\xbf"))
            l->at += 3;
        else
            return;
    }
}

static void skip_string(struct lexer *l)
{
    if (!looking_at(l, "\"\"\"")) {
        l->at = skip_json_string(l->text, l->at);
        return;
    }
    for (l->at += 3; l->at < l->text.len && !looking_at(l, "\"\"\""); l->at++)
        if (looking_at(l, "\\\"\"\""))
            l->at += 3;
    l->at += 3;
}

static enum body_token next_token(struct lexer *l, struct slice *text)
{
    size_t from;

    skip_ignored(l);
    if (l->at >= l->text.len)
        return TOKEN_END;
    from = l->at;
    if (l->text.ptr[from] == '"') {
        skip_string(l);
        return TOKEN_STRING;
    }
    if (is_name_byte(l->text.ptr[from])) {
        while (l->at < l->text.len && is_name_byte(l->text.ptr[l->at]))
            l->at++;
        *text = slice_sub(l->text, from, l->at);
        return TOKEN_NAME;
    }
    l->at++;
    if (memchr("{([", l->text.ptr[from], 3) != NULL)
        return TOKEN_OPEN;
    return memchr("})]", l->text.ptr[from], 3) != NULL ? TOKEN_CLOSE : TOKEN_OTHER;
}

/* Of the definition that the lexer stands before: does it end in a selection ("{...}"), so that its
 * first word was a keyword and not some sentence of a search? */
static bool skip_definition(struct lexer *l, enum body_token first)
{
    struct slice    ignored;
    unsigned        depth = first == TOKEN_OPEN ? 1 : 0;
    bool            in_selection = first == TOKEN_OPEN && l->text.ptr[l->at - 1] == '{';
    enum body_token token;

    while (depth > 0 || !in_selection) {
        token = next_token(l, &ignored);
        if (token == TOKEN_END)
            return false;
        if (token == TOKEN_OPEN && depth++ == 0)
            in_selection = l->text.ptr[l->at - 1] == '{';
        if (token == TOKEN_CLOSE && (depth == 0 || --depth == 0) && in_selection)
            return true;
    }
    return true;
}

static bool document_may_write(struct slice document)
{
    struct lexer    l = { document, 0 };
    struct slice    word = SLICE_NONE;
    enum body_token token;

    while ((token = next_token(&l, &word)) != TOKEN_END) {
        bool writes = token == TOKEN_NAME &&
                      (slice_eq(word, SLICE("mutation")) || slice_eq(word, SLICE("subscription")));

        if (token == TOKEN_STRING) /* the description of what follows */
            continue;
        if (skip_definition(&l, token) && writes)
            return true;
    }
    return false;
}

/* One operation as it is posted: {"query": "...", "variables": ..., "extensions": ...}. */
static bool operation_may_write(const json_t *operation)
{
    const json_t *query = json_object_get(operation, "query");

    if (json_is_string(query))
        return document_may_write((struct slice){ json_string_value(query), json_string_length(query) });
    return json_object_get(json_object_get(operation, "extensions"), "persistedQuery") != NULL ||
           json_object_get(operation, "documentId") != NULL;
}

bool policy_body_is_mutation(struct slice body)
{
    json_error_t error;
    json_t      *root, *operation;
    size_t       i;
    bool         writes;

    if (body.len == 0)
        return false;
    root = json_loadb(body.ptr, body.len, 0, &error);
    if (root == NULL) /* application/graphql: the document itself */
        return document_may_write(body);
    writes = operation_may_write(root);
    json_array_foreach(root, i, operation) /* a batch */
        writes = writes || operation_may_write(operation);
    json_decref(root);
    return writes;
}
