/*
 * A database and who reads it.  Where another takes its place each reader goes over at its next look-up, and the
 * last one closes it (anew.c).
 */
#include "store/internal.h"

#include "base/arena.h"

#include <stdlib.h>

static void destroy_home(struct ref *ref)
{
    struct home *h = CONTAINER_OF(ref, struct home, ref);

    db_close(h->db);
    free(h);
}

struct home *home_new(struct db *db, const struct tables *t)
{
    struct home *h = mem_alloc(sizeof *h);

    ref_init(&h->ref, destroy_home);
    h->db = db;
    h->records = t->records;
    h->files = t->files;
    h->tags = t->tags;
    h->labels = t->labels;
    return h;
}

void home_release(struct home *h)
{
    if (h != NULL)
        ref_release(&h->ref);
}

struct home *home_now(struct store *s)
{
    struct home *home;

    pthread_mutex_lock(&s->moving);
    home = s->home;
    ref_acquire(&home->ref);
    pthread_mutex_unlock(&s->moving);
    return home;
}

/* One that nobody counts in any more, or a new one. Under the lock. */
static struct hit_tally *take_tally(struct store *s)
{
    struct hit_tally *first = atomic_load_explicit(&s->tallies, memory_order_relaxed), *t = first;

    while (t != NULL && t->is_taken)
        t = t->next;
    if (t == NULL) {
        t = tally_new();
        t->next = first;
        atomic_store_explicit(&s->tallies, t, memory_order_release);
    }
    t->is_taken = true;
    return t;
}

void home_enter(struct store *s, struct store_reader *r)
{
    pthread_mutex_lock(&s->moving);
    ref_acquire(&s->home->ref);
    r->home = s->home;
    r->turn = s->turn;
    s->reader_count++;
    r->tally = take_tally(s);
    pthread_mutex_unlock(&s->moving);
}

/* What it has open of the old one is closed before, by the caller. */
void home_leave(struct store *s, struct store_reader *r)
{
    pthread_mutex_lock(&s->moving);
    s->reader_count--;
    r->tally->is_taken = false;
    if (r->home != s->home)
        atomic_fetch_sub(&s->attention, STORE_READER_BEHIND * (s->turn - r->turn));
    pthread_mutex_unlock(&s->moving);
    home_release(r->home);
    r->home = NULL;
}

void home_move(struct store *s, struct store_reader *r)
{
    struct home *old = r->home;

    pthread_mutex_lock(&s->moving);
    if (s->turn != r->turn) {
        ref_acquire(&s->home->ref);
        r->home = s->home;
        atomic_fetch_sub(&s->attention, STORE_READER_BEHIND * (s->turn - r->turn));
        r->turn = s->turn;
    } else {
        old = NULL;
    }
    pthread_mutex_unlock(&s->moving);
    home_release(old);
}
