/*
 * Lists: the system's own macros, with names that Linux programmers know (queue(7)), and what its header lacks.
 *
 *   LIST    head of one pointer, removal anywhere       TAILQ   the same with an end, in order of insertion
 *   SLIST   one pointer an element: stacks, spare parts  STAILQ  first in, first out
 *
 * An element that may be in no list has an entry that is all zero: LIST_IS_IN(), set back by LIST_TAKE(); TAILQ_ too.
 */
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include <stddef.h>
#include <sys/queue.h>

/* Loops whose body may remove or free `each`. */
#define LIST_FOREACH_SAFE(each, head, field, following) \
    for ((each) = LIST_FIRST(head); (each) != NULL && ((following) = LIST_NEXT(each, field), 1); (each) = (following))
#define STAILQ_FOREACH_SAFE(each, head, field, following) \
    for ((each) = STAILQ_FIRST(head); (each) != NULL && ((following) = STAILQ_NEXT(each, field), 1); \
         (each) = (following))
#define TAILQ_FOREACH_SAFE(each, head, field, following) \
    for ((each) = TAILQ_FIRST(head); (each) != NULL && ((following) = TAILQ_NEXT(each, field), 1); (each) = (following))

#define LIST_IS_IN(each, field) ((each)->field.le_prev != NULL)
/* Nothing where it stands in none. */
#define LIST_TAKE(each, field) \
    do { \
        if (LIST_IS_IN(each, field)) { \
            LIST_REMOVE(each, field); \
            (each)->field.le_prev = NULL; \
        } \
    } while (0)
#define TAILQ_IS_IN(each, field) ((each)->field.tqe_prev != NULL)
#define TAILQ_TAKE(head, each, field) \
    do { \
        if (TAILQ_IS_IN(each, field)) { \
            TAILQ_REMOVE(head, each, field); \
            (each)->field.tqe_prev = NULL; \
        } \
    } while (0)

#endif
