/*
 * What a glob is compiled to.  For glob.c, which writes and runs programs,
 * and tree.c, which lays those of many rules over one another.
 *
 * A jump leads back in one shape only: a loop over one class of bytes, SPLIT, class, JUMP to the
 * SPLIT.  Every other SPLIT and JUMP leads on.
 */
#ifndef WEIR_ROUTE_PROGRAM_H
#define WEIR_ROUTE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

enum opcode {
    OP_BYTE,         /* that byte */
    OP_SEGMENT_BYTE, /* any byte but '/' */
    OP_ANY_BYTE,
    OP_SPLIT, /* on at a and at b */
    OP_JUMP,  /* on at a */
    OP_REST,  /* whatever is left matches */
    OP_END
};

struct op {
    uint8_t  code;
    char     byte;
    uint16_t a, b;
};

struct glob {
    unsigned  op_count;
    unsigned  prefix_length; /* leading OP_BYTEs: compared at once */
    char     *prefix;
    struct op ops[];
};

/* The SPLIT at pc is the head of a loop; b is where it goes on. */
static inline bool program_loops(const struct glob *g, unsigned pc)
{
    return g->ops[pc].code == OP_SPLIT && pc + 2 < g->op_count && g->ops[pc + 2].code == OP_JUMP &&
           g->ops[pc + 2].a == pc;
}

/* The SPLIT at pc, which follows a '/', stands for any number of segments; b is where it goes on.  The head of what
 * glob.c makes of two stars between slashes. */
static inline bool program_descends(const struct glob *g, unsigned pc)
{
    return g->ops[pc].code == OP_SPLIT && pc + 5 < g->op_count && g->ops[pc].a == pc + 1 && g->ops[pc].b == pc + 5 &&
           program_loops(g, pc + 1) && g->ops[pc + 2].code == OP_ANY_BYTE && g->ops[pc + 4].code == OP_BYTE &&
           g->ops[pc + 4].byte == '/' && pc > 0 && g->ops[pc - 1].code == OP_BYTE && g->ops[pc - 1].byte == '/';
}

#endif
