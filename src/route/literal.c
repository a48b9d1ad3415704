/*
 * A walk over the text of an expression that understands a part of PCRE2's
 * syntax, and gives up at anything else.  Runs of plain bytes outside of
 * groups stand in every match, unless there is an alternative to all of it.
 */
#include "route/literal.h"

struct literal_reading {
    struct slice   text;
    size_t         at;
    unsigned       depth; /* of groups */
    bool           gave_up;
    bool           at_start; /* the run began after a first '^' */
    struct literal run, best;
};

static void end_run(struct literal_reading *r)
{
    if (r->run.length > r->best.length)
        r->best = r->run;
    r->run = (struct literal){ .length = 0 };
    r->at_start = false;
}

static void add_byte(struct literal_reading *r, char c)
{
    if (r->depth > 0)
        return;
    if (r->run.length == LITERAL_BYTES) { /* full: what follows is left out */
        if (!r->run.first)
            end_run(r);
        return;
    }
    if (r->run.length == 0)
        r->run.first = r->at_start;
    r->run.bytes[r->run.length++] = c;
}

/* "?", "*" or "{": the byte before it may be there or not, or again. */
static void quantify(struct literal_reading *r, bool at_least_once)
{
    if (!at_least_once && r->run.length > 0)
        r->run.length--;
    end_run(r);
}

/* "{2,3}"; any other brace is a byte that could be followed by anything. */
static void read_count(struct literal_reading *r)
{
    quantify(r, false);
    for (r->at++; r->at < r->text.len && r->text.ptr[r->at] != '}'; r->at++)
        if (r->text.ptr[r->at] != ',' && (r->text.ptr[r->at] < '0' || r->text.ptr[r->at] > '9'))
            r->gave_up = true;
    r->at++;
}

static void read_escape(struct literal_reading *r)
{
    char c = r->at + 1 < r->text.len ? r->text.ptr[r->at + 1] : 'E';

    r->at += 2;
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
        /* those that are of one letter; others may go on */
        if (memchr("dDwWsShHvVRbBAzZ", c, 16) == NULL)
            r->gave_up = true;
        end_run(r);
    } else {
        add_byte(r, c);
    }
}

static void read_class(struct literal_reading *r)
{
    end_run(r);
    r->at++;
    if (r->at < r->text.len && r->text.ptr[r->at] == '^')
        r->at++;
    if (r->at < r->text.len && r->text.ptr[r->at] == ']')
        r->at++; /* a first ']' is itself */
    while (r->at < r->text.len && r->text.ptr[r->at] != ']') {
        if (r->text.ptr[r->at] == '[' ||
            (r->text.ptr[r->at] == '\\' && r->at + 1 < r->text.len && memchr("QE", r->text.ptr[r->at + 1], 2) != NULL))
            r->gave_up = true; /* a class in the class; a quotation */
        r->at += r->text.ptr[r->at] == '\\' ? 2 : 1;
    }
    r->at++;
}

static void read_group(struct literal_reading *r)
{
    struct slice rest = slice_sub(r->text, r->at, r->text.len);

    end_run(r);
    r->depth++;
    if (slice_starts_with(rest, SLICE("(?:")))
        r->at += 3;
    else if (rest.len > 1 && (rest.ptr[1] == '?' || rest.ptr[1] == '*'))
        r->gave_up = true; /* options, assertions, verbs */
    else
        r->at++;
}

static void read_one(struct literal_reading *r)
{
    char c = r->text.ptr[r->at];

    switch (c) {
    case '\\':
        read_escape(r);
        return;
    case '[':
        read_class(r);
        return;
    case '(':
        read_group(r);
        return;
    case ')':
        if (r->depth == 0)
            r->gave_up = true;
        else
            r->depth--;
        break;
    case '|':
        if (r->depth == 0)
            r->gave_up = true;
        break;
    case '?':
    case '*':
    case '+':
        quantify(r, c == '+');
        break;
    case '{':
        read_count(r);
        return;
    case '^':
        end_run(r);
        r->at_start = r->at == 0;
        break;
    case '.':
    case '$':
        end_run(r);
        break;
    default:
        add_byte(r, c);
    }
    r->at++;
}

struct literal literal_of(struct slice expression)
{
    struct literal_reading r = { .text = expression };

    while (r.at < r.text.len && !r.gave_up)
        read_one(&r);
    end_run(&r);
    return r.gave_up ? (struct literal){ .length = 0 } : r.best;
}
