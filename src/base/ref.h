/*
 * A reference count to embed in what several threads hold.
 *
 * ref_acquire() needs a reference that is already held; the last
 * ref_release() calls `destroy` on the thread that dropped it.
 */
#ifndef WEIR_BASE_REF_H
#define WEIR_BASE_REF_H

#include <stdatomic.h>
#include <stddef.h>

struct ref {
    _Atomic unsigned count;
    void (*destroy)(struct ref *);
};

static inline void ref_init(struct ref *r, void (*destroy)(struct ref *))
{
    atomic_init(&r->count, 1);
    r->destroy = destroy;
}

static inline void ref_acquire(struct ref *r)
{
    atomic_fetch_add_explicit(&r->count, 1, memory_order_relaxed);
}

static inline void ref_release(struct ref *r)
{
    if (r != 0 && atomic_fetch_sub_explicit(&r->count, 1, memory_order_acq_rel) == 1)
        r->destroy(r);
}

/* The structure that `member` of type struct ref (or struct mail) stands in. */
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
