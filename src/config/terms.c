/*
 * What settings say of bodies: the terms of a limit in any unit, JSON pointers, conditions, the end of a stream.
 */
#include "config/checks.h"

#include "base/check.h"
#include "budget/term.h"
#include "http/condition.h"
#include "http/event_mark.h"
#include "http/json_pointer.h"

#include <stdlib.h>

bool check_pointer(const char *text, struct fault *why)
{
    if (json_pointer_is_valid(slice_of(text)))
        return true;
    fault_set(why, "\"%s\" is no JSON pointer (RFC 6901): a slash stands before each name, as in \"/user\"", text);
    return false;
}

bool check_condition(const char *text, struct fault *why)
{
    struct condition c;

    if (condition_parse(slice_of(text), &c))
        return true;
    fault_set(why,
              "\"%s\" is no condition: \"json:\", a JSON pointer (RFC 6901), \" = \" and a value are wanted, as in "
              "\"json:/error/code = insufficient_quota\"",
              text);
    return false;
}

bool check_mark(const char *text, struct fault *why)
{
    if (event_mark_is_valid(slice_of(text)))
        return true;
    fault_set(why, "\"%s\" is no line of an event; a field, a colon and a value are wanted, as in \"data: [DONE]\"",
              text);
    return false;
}

bool check_term(const char *text, struct fault *why)
{
    struct limit_term term = { 0 };
    const char       *bad = NULL;
    bool              good = term_parse(slice_of(text), &term, &bad);

    free((char *)term.name);
    if (good)
        return true;
    fault_set(why, "\"%s\" is no term: %s", text, bad);
    return false;
}

struct limit_term checks_term(const char *text, struct arena *arena)
{
    struct limit_term term = { 0 };
    const char       *bad, *name;

    CHECK(term_parse(slice_of(text), &term, &bad));
    name = term.name;
    if (name != NULL)
        term.name = arena_copy(arena, slice_of(name)).ptr;
    free((char *)name);
    return term;
}
