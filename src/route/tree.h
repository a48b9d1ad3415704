/*
 * Many globs as one tree: what they begin with alike is walked once for all
 * of them.  For rules.c only.
 *
 * A node is reached over one byte, one byte of a class, or over nothing, where it then takes any
 * number of bytes of a class or any number of segments.  Alternatives are laid out side by side; a
 * glob that would become too many of them is entered by the bytes that it begins with, and so is an
 * expression by bytes that every match of it holds: such a one may match, and is to be asked.
 *
 * Bounds, whatever the globs are: memory at most TREE_NODES_MOST nodes of 22 bytes (the rest is entered by where
 * the tree ends); a walk takes at most bytes of the subject times nodes, and only those nodes count that the subject
 * leads to: mostly one or two a byte.  Immutable after tree_finish(); any thread.
 */
#ifndef WEIR_ROUTE_TREE_H
#define WEIR_ROUTE_TREE_H

#include "base/arena.h"
#include "route/glob.h"

struct tree;

enum { TREE_NODES_MOST = 1 << 20 };

struct tree *tree_new(void);
/* `id`: what a walk tells; higher than all before. */
void tree_add(struct tree *, const struct glob *, unsigned id);
/* Whatever begins with the literal, or holds it, is to be asked. */
void     tree_add_literal(struct tree *, struct slice literal, bool anywhere, unsigned id);
void     tree_finish(struct tree *);
void     tree_free(struct tree *); /* NULL is fine */
unsigned tree_nodes(const struct tree *);

struct tree_walk {
    unsigned below; /* only ids below it are told; told() may lower it */
    /* `certain`: that glob matches; else it is to be asked.  May come more than once for an id, in any order. */
    void (*told)(struct tree_walk *, unsigned id, bool certain);
    /* out: how many nodes were gone to */
    unsigned steps;
};

/* Scratch memory beyond some hundred bytes comes from the arena. */
void tree_walk(const struct tree *, struct slice subject, struct tree_walk *, struct arena *);

#endif
