/*
 * Prints the option table as the settings tables of weir.conf(5), in mdoc.
 * tests/unit/test_config compares them with the page that is checked in, and
 * writes them there when it is told to.
 */
#include "config/settings.h"

#include <stdlib.h>

enum { MANUAL_WIDTH = 78 };

/* Running text: one sentence a line at least, wrapped, nothing that roff would take for a request.
 */
static void print_words(FILE *out, const char *text)
{
    size_t column = 0;

    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        bool   sentence = word > 0 && text[word - 1] == '.';

        if (column > 0 && column + 1 + word > MANUAL_WIDTH) {
            putc('\n', out);
            column = 0;
        }
        if (column > 0)
            putc(' ', out);
        else if (*text == '.' || *text == '\'')
            fputs("\\&", out);
        for (size_t i = 0; i < word; i++)
            fputs(text[i] == '\\' ? "\\e" : (char[]){ text[i], '\0' }, out);
        column += word + 1;
        text += word + strspn(text + word, " ");
        if (sentence && *text != '\0') {
            putc('\n', out);
            column = 0;
        }
    }
    putc('\n', out);
}

static void print_type(FILE *out, const struct option *o)
{
    static const char *const types[TYPE_COUNT] = {
        [TYPE_BOOL] = "true or false",  [TYPE_INT] = "number",
        [TYPE_NUMBER] = "number",       [TYPE_SHARE] = "share",
        [TYPE_DURATION] = "duration",   [TYPE_SIZE] = "size",
        [TYPE_WORD] = "word",           [TYPE_MODE] = "file mode",
        [TYPE_TEXT] = "text",           [TYPE_PATH] = "path",
        [TYPE_TEXTS] = "list of texts", [TYPE_STATUSES] = "list of statuses",
        [TYPE_GROUP] = "group",         [TYPE_GROUPS] = "list of groups",
    };

    if (o->words == NULL)
        fputs(types[o->type], out);
    for (const struct word *w = o->words; w != NULL && w->text != NULL; w++)
        fprintf(out, "%s\"%s\"", w == o->words ? "" : w[1].text == NULL ? " or " : ", ", w->text);
}

/* "Number; default: 3; needs a restart." */
static void print_facts(FILE *page, const struct option *o)
{
    char  *text = NULL;
    size_t bytes = 0;
    FILE  *out = open_memstream(&text, &bytes);

    if (out == NULL)
        return;
    fputs("Type: ", out);
    print_type(out, o);
    if (o->required)
        fputs("; required", out);
    else if (o->value != NULL || o->unset != NULL)
        fprintf(out, "; default: %s", o->unset != NULL ? o->unset : o->value);
    fputs(o->reload == RELOAD_RESTART ? "; needs a restart." : ".", out);
    fclose(out);
    print_words(page, text);
    free(text);
}

struct manual {
    FILE                 *out;
    const struct section *section; /* whose table is being printed */
};

static void print_row(void *context, const struct section *section, const struct option *o)
{
    struct manual *m = context;

    if (section != m->section) {
        if (m->section != NULL)
            fputs(".El\n", m->out);
        if (section == &section_top)
            fputs(".Ss The top of the file\n", m->out);
        else
            fprintf(m->out, ".Ss Settings of %s\n", section->title);
        fputs(".Bl -tag -width Ds\n", m->out);
        m->section = section;
    }
    fprintf(m->out, ".It Ic %s\n", o->name);
    print_words(m->out, o->help);
    print_facts(m->out, o);
}

void options_print_manual(FILE *out)
{
    struct manual m = { out, NULL };

    options_visit(print_row, &m);
    fputs(".El\n", out);
}
