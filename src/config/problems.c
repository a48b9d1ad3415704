/*
 * Collects problems and prints them sorted by place, so that a reader walks
 * through the file once.  Also finds the word that a mistyped one was meant
 * to be.
 */
#include "config/problems.h"

#include <stdlib.h>
#include <strings.h>

struct config_problem {
    struct source_place place;
    unsigned            number; /* keeps the order of one place */
    bool                warning;
    const char         *text; /* setting and message */
};

void problem_add(struct problems *all, bool warning, struct source_place place, const char *setting, const char *format,
                 va_list args)
{
    unsigned number = all->errors + all->warnings;
    char     text[1024];

    vsnprintf(text, sizeof text, format, args);
    /* a text may hold a line end: one problem is one line */
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    ARENA_ROOM(all->arena, all->all, all->room, number);
    all->all[number] = (struct config_problem){
        place, number, warning,
        arena_printf(all->arena, "%s%s%s", setting != NULL ? setting : "", setting != NULL ? ": " : "", text).ptr
    };
    if (warning)
        all->warnings++;
    else
        all->errors++;
}

void problem_error(struct problems *all, struct source_place place, const char *setting, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    problem_add(all, false, place, setting, format, args);
    va_end(args);
}

static int by_place(const void *a, const void *b)
{
    const struct config_problem *x = a, *y = b;

    if (x->place.rank != y->place.rank)
        return x->place.rank < y->place.rank ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

void problems_print(struct problems *all, FILE *out)
{
    unsigned count = all->errors + all->warnings;

    if (count > 1)
        qsort(all->all, count, sizeof all->all[0], by_place);
    for (const struct config_problem *p = all->all; count > 0; p++, count--) {
        fputs(p->place.file, out);
        if (p->place.line > 0)
            fprintf(out, ":%u", p->place.line);
        fprintf(out, ": %s%s\n", p->warning ? "warning: " : "", p->text);
    }
}

enum { NEAR_MAX = 48 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance: a wrong, a missing, an extra or two swapped letters count 1.
 */
static unsigned distance(const char *a, const char *b)
{
    size_t   la = strlen(a), lb = strlen(b);
    unsigned d[NEAR_MAX + 1][NEAR_MAX + 1];

    if (la > NEAR_MAX || lb > NEAR_MAX)
        return NEAR_MAX;
    for (size_t i = 0; i <= la; i++)
        d[i][0] = (unsigned)i;
    for (size_t j = 0; j <= lb; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        for (size_t j = 1; j <= lb; j++) {
            unsigned other = (a[i - 1] | 0x20) != (b[j - 1] | 0x20);

            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + other);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[la][lb];
}

/* A part of a word says enough where it begins it ("warn" for "warning"); else less than half of
 * the shorter one may differ ("path" is no "rate"). */
static bool is_near(const char *text, const char *word, unsigned far)
{
    size_t text_bytes = strlen(text), word_bytes = strlen(word);
    size_t shorter = text_bytes < word_bytes ? text_bytes : word_bytes;

    if (far > word_bytes / 3 + 1)
        return false;
    return far * 2 < shorter || (text_bytes >= 3 && strncasecmp(text, word, text_bytes) == 0);
}

const char *problem_near(const char *text, const char *const *words)
{
    const char *best = NULL;
    unsigned    best_distance = NEAR_MAX;

    for (; *words != NULL; words++) {
        unsigned far = distance(text, *words);

        if (far < best_distance && is_near(text, *words, far)) {
            best = *words;
            best_distance = far;
        }
    }
    /* One part of a name for the whole: "connections" for "max_connections" is left to the manual.
     */
    return best;
}
