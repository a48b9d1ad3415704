/*
 * The types of settings: each is read from libconfig's tree into a field and
 * printed from the field as a file would state it.
 *
 * Nothing is converted on the way: a number where a duration is wanted is an
 * error, since nobody can know whether seconds were meant.
 */
#include "config/reader.h"

#include "base/check.h"
#include "config/source.h"
#include "http/duration.h"

#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <stdlib.h>

enum {
    NOT_SET_ONES = 0xff, /* INT_NOT_SET, -1, and as a double no number */
    WORDS_MOST = 8       /* of one setting */
};

static const char *kind_of(const config_setting_t *s)
{
    static const char *const kinds[] = {
        [CONFIG_TYPE_NONE] = "nothing",
        [CONFIG_TYPE_GROUP] = "a group { }",
        [CONFIG_TYPE_INT] = "a number",
        [CONFIG_TYPE_INT64] = "a number",
        [CONFIG_TYPE_FLOAT] = "a number with a fraction",
        [CONFIG_TYPE_STRING] = "a text",
        [CONFIG_TYPE_BOOL] = "true or false",
        [CONFIG_TYPE_ARRAY] = "an array [ ]",
        [CONFIG_TYPE_LIST] = "a list ( )",
    };

    return kinds[config_setting_type(s)];
}

static bool wrong_type(struct reader *r, const config_setting_t *s, const struct option *o)
{
    reader_error(r, s, NULL, "is %s; wanted is %s", kind_of(s),
                 o->wanted != NULL ? o->wanted : value_types[o->type].wanted);
    return false;
}

/* -- numbers -- */

/* The number as it was written: libconfig wraps what does not fit. */
static bool literal_int(const config_setting_t *s, int64_t *out)
{
    const struct node *n = config_setting_get_hook(s);
    char               digits[32];
    char              *end;
    long long          value;

    if (config_setting_type(s) != CONFIG_TYPE_INT && config_setting_type(s) != CONFIG_TYPE_INT64)
        return false;
    if (n == NULL || n->literal.ptr == NULL) {
        *out = config_setting_get_int64(s);
        return true;
    }
    if (n->literal.len >= sizeof digits) {
        *out = n->literal.ptr[0] == '-' ? INT64_MIN : INT64_MAX;
        return true;
    }
    memcpy(digits, n->literal.ptr, n->literal.len);
    digits[n->literal.len] = '\0';
    errno = 0;
    value = strtoll(digits, &end, digits[0] == '0' && (digits[1] | 0x20) == 'x' ? 16 : 10);
    *out = value; /* saturates */
    return true;
}

static bool in_range(struct reader *r, const config_setting_t *s, const struct option *o, int64_t n)
{
    const struct node *at = config_setting_get_hook(s);

    if (n >= o->min && n <= o->max)
        return true;
    reader_error(r, s, NULL, SLICE_FMT " is too %s; %" PRId64 " to %" PRId64 " is allowed",
                 SLICE_ARG(at != NULL && at->literal.ptr != NULL ? at->literal : SLICE("this")),
                 n < o->min ? "small" : "large", o->min, o->max);
    return false;
}

static bool parse_int(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    int64_t n;

    if (!literal_int(s, &n))
        return wrong_type(r, s, o);
    if (!in_range(r, s, o, n))
        return false;
    *(unsigned *)field = (unsigned)n;
    return true;
}

static bool print_int(FILE *out, const struct option *o, const void *field)
{
    const unsigned n = *(const unsigned *)field;

    (void)o;
    if (n == INT_NOT_SET)
        return false;
    fprintf(out, "%u", n);
    return true;
}

static bool parse_number(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    int64_t n;
    double  value;

    if (literal_int(s, &n))
        value = (double)n;
    else if (config_setting_type(s) == CONFIG_TYPE_FLOAT)
        value = config_setting_get_float(s);
    else
        return wrong_type(r, s, o);
    if (!(value >= (double)o->min && value <= (double)o->max)) {
        reader_error(r, s, NULL, "%g is out of range; %" PRId64 ".0 to %" PRId64 ".0 is allowed", value, o->min,
                     o->max);
        return false;
    }
    *(double *)field = value;
    return true;
}

/* Always with a point: "1" would be a whole number to libconfig. */
static void print_decimal(FILE *out, double value)
{
    char text[64];

    snprintf(text, sizeof text, "%.9f", value);
    for (size_t n = strlen(text); n > 3 && text[n - 1] == '0' && text[n - 2] != '.'; n--)
        text[n - 1] = '\0';
    fputs(text, out);
}

static bool print_number(FILE *out, const struct option *o, const void *field)
{
    (void)o;
    print_decimal(out, *(const double *)field);
    return true;
}

static bool parse_share(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    const char *text, *end;
    double      percent;

    if (config_setting_type(s) != CONFIG_TYPE_STRING)
        return wrong_type(r, s, o);
    text = config_setting_get_string(s);
    percent = strtod(text, (char **)&end);
    if (end == text || strcmp(end, "%") != 0 || text[strspn(text, "0123456789.")] != '%' ||
        !(percent >= 0.0 && percent <= 100.0)) {
        reader_error(r, s, NULL, "\"%s\" is no share; \"0%%\" to \"100%%\" is allowed, such as \"20%%\"", text);
        return false;
    }
    *(double *)field = percent / 100.0;
    return true;
}

static bool print_share(FILE *out, const struct option *o, const void *field)
{
    double share = *(const double *)field;

    (void)o;
    if (share >= 0.0)
        fprintf(out, "\"%.10g%%\"", share * 100.0);
    return share >= 0.0;
}

static bool parse_bool(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    if (config_setting_type(s) != CONFIG_TYPE_BOOL)
        return wrong_type(r, s, o);
    *(bool *)field = config_setting_get_bool(s) == CONFIG_TRUE;
    return true;
}

static bool print_bool(FILE *out, const struct option *o, const void *field)
{
    (void)o;
    fputs(*(const bool *)field ? "true" : "false", out);
    return true;
}

/* -- durations and sizes -- */

static bool parse_duration(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    char        low[32], high[32];
    const char *text;
    int64_t     ns, n;

    if (literal_int(s, &n) && n >= 0) {
        reader_error(r, s, NULL,
                     "is a number without a unit; write \"%" PRId64 "s\" for seconds or \"%" PRId64
                     "ms\" for milliseconds",
                     n, n);
        return false;
    }
    if (config_setting_type(s) != CONFIG_TYPE_STRING)
        return wrong_type(r, s, o);
    text = config_setting_get_string(s);
    if (!http_duration_parse(slice_of(text), &ns)) {
        reader_error(r, s, NULL,
                     "\"%s\" is no duration; a whole number and ms, s, m, h or d is wanted, such as "
                     "\"30s\"%s",
                     text, o->max == INT64_MAX ? ", or \"forever\"" : "");
        return false;
    }
    if (ns < o->min || ns > o->max) {
        reader_error(r, s, NULL, "\"%s\" is too %s; \"%s\" to \"%s\" is allowed", text, ns < o->min ? "short" : "long",
                     units_duration(o->min, low), units_duration(o->max, high));
        return false;
    }
    *(int64_t *)field = ns;
    return true;
}

static bool print_duration(FILE *out, const struct option *o, const void *field)
{
    int64_t ns = *(const int64_t *)field;
    char    text[32];

    (void)o;
    if (ns >= 0)
        fprintf(out, "\"%s\"", units_duration(ns, text));
    return ns >= 0;
}

static bool parse_size(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    char        low[32], high[32];
    const char *text;
    int64_t     bytes;

    if (config_setting_type(s) != CONFIG_TYPE_STRING)
        return wrong_type(r, s, o);
    text = config_setting_get_string(s);
    if (!units_parse_size(text, &bytes)) {
        reader_error(r, s, NULL,
                     "\"%s\" is no size; a whole number and B, KiB, MiB, GiB or TiB is wanted, such as "
                     "\"2GiB\"",
                     text);
        return false;
    }
    if (bytes < o->min || bytes > o->max) {
        reader_error(r, s, NULL, "\"%s\" is too %s; \"%s\" to \"%s\" is allowed", text,
                     bytes < o->min ? "small" : "large", units_size(o->min, low), units_size(o->max, high));
        return false;
    }
    *(int64_t *)field = bytes;
    return true;
}

static bool print_size(FILE *out, const struct option *o, const void *field)
{
    int64_t bytes = *(const int64_t *)field;
    char    text[32];

    (void)o;
    if (bytes >= 0)
        fprintf(out, "\"%s\"", units_size(bytes, text));
    return bytes >= 0;
}

/* -- texts -- */

static bool parse_word(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    const char *text, *near, *names[WORDS_MOST + 1] = { NULL };
    char        all[256] = "";

    for (const struct word *w = o->words; w->text != NULL; w++) {
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s\"%s\"",
                 w == o->words       ? ""
                 : w[1].text == NULL ? " or "
                                     : ", ",
                 w->text);
        CHECK(w - o->words < WORDS_MOST);
        names[w - o->words] = w->text;
    }
    if (config_setting_type(s) != CONFIG_TYPE_STRING) {
        reader_error(r, s, NULL, "is %s; wanted is %s", kind_of(s), all);
        return false;
    }
    text = config_setting_get_string(s);
    for (const struct word *w = o->words; w->text != NULL; w++) {
        if (strcmp(text, w->text) != 0)
            continue;
        if (o->bytes == sizeof(bool))
            *(bool *)field = w->value != 0;
        else
            *(unsigned *)field = (unsigned)w->value;
        return true;
    }
    near = problem_near(text, names);
    reader_error(r, s, NULL, "\"%s\" is not known here; wanted is %s%s%s%s", text, all,
                 near != NULL ? "; did you mean \"" : "", near != NULL ? near : "", near != NULL ? "\"?" : "");
    return false;
}

static bool print_word(FILE *out, const struct option *o, const void *field)
{
    unsigned           value = o->bytes == sizeof(bool) ? *(const bool *)field : *(const unsigned *)field;
    const struct word *w = o->words;

    while (w->text != NULL && (unsigned)w->value != value)
        w++;
    if (w->text != NULL)
        fprintf(out, "\"%s\"", w->text);
    return w->text != NULL;
}

/* Octal in quotes: libconfig would read 0600 as six hundred. */
static bool parse_mode(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    const char *text;

    if (config_setting_type(s) != CONFIG_TYPE_STRING)
        return wrong_type(r, s, o);
    text = config_setting_get_string(s);
    if (strlen(text) < 3 || strlen(text) > 4 || text[strspn(text, "01234567")] != '\0' ||
        strtoul(text, NULL, 8) > 0777) {
        reader_error(r, s, NULL, "\"%s\" is no file mode; octal digits are wanted, such as \"0660\"", text);
        return false;
    }
    *(unsigned *)field = (unsigned)strtoul(text, NULL, 8);
    return true;
}

static bool print_mode(FILE *out, const struct option *o, const void *field)
{
    (void)o;
    fprintf(out, "\"%04o\"", *(const unsigned *)field);
    return true;
}

/* Escaped as libconfig reads it. */
static void print_quoted(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20 || *text == 0x7f)
            fprintf(out, "\\x%02x", (unsigned char)*text);
        else
            putc(*text, out);
    }
    putc('"', out);
}

static bool passes(struct reader *r, const config_setting_t *s, const struct option *o, const char *text)
{
    struct fault why = { "" };

    if (o->check == NULL || o->check(text, &why))
        return true;
    reader_error(r, s, NULL, "%s", why.text);
    return false;
}

static bool parse_text(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    const char *text;

    if (config_setting_type(s) != CONFIG_TYPE_STRING)
        return wrong_type(r, s, o);
    text = config_setting_get_string(s);
    if (!passes(r, s, o, text))
        return false;
    /* The rows whose check allows "" mean "none" by it. */
    *(const char **)field = *text != '\0' ? arena_copy(r->arena, slice_of(text)).ptr : NULL;
    return true;
}

/* A relative path starts from the folder of the file that states it. */
static bool parse_path(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    const char *text, *file = reader_place(s).file, *slash = strrchr(file, '/');

    if (config_setting_type(s) != CONFIG_TYPE_STRING)
        return wrong_type(r, s, o);
    text = config_setting_get_string(s);
    if (*text == '\0' || text[strcspn(text, "\r\n")] != '\0') {
        reader_error(r, s, NULL, "a path is wanted");
        return false;
    }
    if (*text == '~') {
        reader_error(r, s, NULL, "\"~\" is the shell's; write the path out");
        return false;
    }
    if (*text != '/') {
        char *folder = realpath(slash != NULL ? arena_printf(r->arena, "%.*s/", (int)(slash - file), file).ptr : ".",
                                NULL);

        text = arena_printf(r->arena, "%s/%s", folder != NULL ? folder : ".", text).ptr;
        free(folder);
    }
    if (!passes(r, s, o, text))
        return false;
    *(const char **)field = arena_copy(r->arena, slice_of(text)).ptr;
    return true;
}

static bool print_text(FILE *out, const struct option *o, const void *field)
{
    const char *text = *(const char *const *)field;

    (void)o;
    if (text != NULL)
        print_quoted(out, text);
    return text != NULL;
}

/* -- lists -- */

static bool is_list(const config_setting_t *s)
{
    return config_setting_type(s) == CONFIG_TYPE_LIST || config_setting_type(s) == CONFIG_TYPE_ARRAY;
}

static bool parse_texts(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    unsigned     count, good = 0;
    const char **texts;

    if (!is_list(s))
        return wrong_type(r, s, o);
    count = (unsigned)config_setting_length(s);
    texts = arena_alloc(r->arena, (count + 1) * sizeof texts[0]);
    for (unsigned i = 0; i < count; i++) {
        const config_setting_t *e = config_setting_get_elem(s, i);

        if (config_setting_type(e) != CONFIG_TYPE_STRING)
            reader_error(r, e, NULL, "is %s; wanted is a text in quotes", kind_of(e));
        else if (passes(r, e, o, config_setting_get_string(e)))
            texts[good++] = arena_copy(r->arena, slice_of(config_setting_get_string(e))).ptr;
    }
    if (good < count)
        /* the default stays, so that nothing else is found wrong with it */
        return false;
    *(const char *const **)field = texts;
    return true;
}

static bool print_texts(FILE *out, const struct option *o, const void *field)
{
    const char *const *texts = *(const char *const *const *)field;

    (void)o;
    if (texts == NULL)
        return false;
    fputs("(", out);
    for (unsigned i = 0; texts[i] != NULL; i++) {
        fputs(i > 0 ? ", " : " ", out);
        print_quoted(out, texts[i]);
    }
    fputs(" )", out);
    return true;
}

static bool parse_statuses(struct reader *r, const config_setting_t *s, const struct option *o, void *field)
{
    unsigned  count, good = 0;
    unsigned *statuses;

    if (!is_list(s))
        return wrong_type(r, s, o);
    count = (unsigned)config_setting_length(s);
    statuses = arena_alloc(r->arena, (count + 1) * sizeof statuses[0]);
    for (unsigned i = 0; i < count; i++) {
        const config_setting_t *e = config_setting_get_elem(s, i);
        int64_t                 n;

        if (!literal_int(e, &n))
            reader_error(r, e, NULL, "is %s; wanted is a status code without quotes, such as 503", kind_of(e));
        else if (in_range(r, e, o, n))
            statuses[good++] = (unsigned)n;
    }
    if (good < count)
        return false;
    *(const unsigned **)field = statuses;
    return true;
}

static bool print_statuses(FILE *out, const struct option *o, const void *field)
{
    const unsigned *statuses = *(const unsigned *const *)field;

    (void)o;
    fputs("(", out);
    for (unsigned i = 0; statuses != NULL && statuses[i] != 0; i++)
        fprintf(out, "%s%u", i > 0 ? ", " : " ", statuses[i]);
    fputs(" )", out);
    return true;
}

const struct value_type value_types[TYPE_COUNT] = {
    [TYPE_BOOL] = { "true or false, without quotes", parse_bool, print_bool, 0 },
    [TYPE_INT] = { "a whole number without quotes", parse_int, print_int, NOT_SET_ONES },
    [TYPE_NUMBER] = { "a number without quotes, such as 0.1", parse_number, print_number, 0 },
    [TYPE_SHARE] = { "a share in quotes, such as \"20%\"", parse_share, print_share, NOT_SET_ONES },
    [TYPE_DURATION] = { "a duration in quotes, such as \"30s\"", parse_duration, print_duration, NOT_SET_ONES },
    [TYPE_SIZE] = { "a size in quotes, such as \"64KiB\" or \"2GiB\"", parse_size, print_size, NOT_SET_ONES },
    [TYPE_WORD] = { "a text in quotes", parse_word, print_word, 0 },
    [TYPE_MODE] = { "a file mode in quotes, such as \"0660\"", parse_mode, print_mode, NOT_SET_ONES },
    [TYPE_TEXT] = { "a text in quotes", parse_text, print_text, 0 },
    [TYPE_PATH] = { "a path in quotes", parse_path, print_text, 0 },
    [TYPE_TEXTS] = { "a list of texts, such as ( \"a\", \"b\" )", parse_texts, print_texts, 0 },
    [TYPE_STATUSES] = { "a list of status codes, such as ( 429, 503 )", parse_statuses, print_statuses, 0 },
    [TYPE_GROUP] = { "a group: { name = value; ... }", NULL, NULL, 0 },
    [TYPE_GROUPS] = { "a list: ( ..., ... )", NULL, NULL, 0 },
};
