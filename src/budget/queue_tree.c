/*
 * A treap: a search tree by order, a heap by random rank, so that it is
 * balanced as if entries had come in random order.
 */
#include "budget/queue_tree.h"

#include <stddef.h>

static bool is_before(const struct queue_entry *a, const struct queue_entry *b)
{
    if (a->arrived_ns != b->arrived_ns)
        return a->arrived_ns < b->arrived_ns;
    return a->sequence < b->sequence;
}

static void count(struct queue_entry *e)
{
    e->size = 1 + queue_tree_size(e->left) + queue_tree_size(e->right);
}

static struct queue_entry **place_of(struct queue_entry **root, struct queue_entry *e)
{
    if (e->parent == NULL)
        return root;
    return e->parent->left == e ? &e->parent->left : &e->parent->right;
}

/* The child takes its parent's place, and the parent becomes its child. */
static void rotate_up(struct queue_entry **root, struct queue_entry *child)
{
    struct queue_entry *parent = child->parent, *between;

    *place_of(root, parent) = child;
    child->parent = parent->parent;
    parent->parent = child;
    if (parent->left == child) {
        between = parent->left = child->right;
        child->right = parent;
    } else {
        between = parent->right = child->left;
        child->left = parent;
    }
    if (between != NULL)
        between->parent = parent;
    count(parent);
    count(child);
}

void queue_tree_insert(struct queue_entry **root, struct queue_entry *e)
{
    struct queue_entry **at = root, *parent = NULL;

    while (*at != NULL) {
        parent = *at;
        parent->size++;
        at = is_before(e, parent) ? &parent->left : &parent->right;
    }
    *at = e;
    e->parent = parent;
    e->left = e->right = NULL;
    e->size = 1;
    while (e->parent != NULL && e->parent->rank < e->rank)
        rotate_up(root, e);
}

void queue_tree_remove(struct queue_entry **root, struct queue_entry *e)
{
    struct queue_entry *child;

    while (e->left != NULL && e->right != NULL)
        rotate_up(root, e->left->rank > e->right->rank ? e->left : e->right);
    child = e->left != NULL ? e->left : e->right;
    *place_of(root, e) = child;
    if (child != NULL)
        child->parent = e->parent;
    for (struct queue_entry *up = e->parent; up != NULL; up = up->parent)
        up->size--;
    e->parent = e->left = e->right = NULL;
}

struct queue_entry *queue_tree_first(struct queue_entry *root)
{
    while (root != NULL && root->left != NULL)
        root = root->left;
    return root;
}

struct queue_entry *queue_tree_last(struct queue_entry *root)
{
    while (root != NULL && root->right != NULL)
        root = root->right;
    return root;
}

uint32_t queue_tree_before(const struct queue_entry *e)
{
    uint32_t before = queue_tree_size(e->left);

    for (; e->parent != NULL; e = e->parent)
        if (e->parent->right == e)
            before += 1 + queue_tree_size(e->parent->left);
    return before;
}
