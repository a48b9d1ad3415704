/*
 * The thread: takes up what is asked, tries the processes that it knows, and walks for the
 * rest, a step of each user in turn.  What is asked while it walks is taken up between two steps.
 *
 * A process of whom nothing may be read (a service in a sandbox sees only its own user) tells that
 * soon, and then its user is sealed for some seconds: nothing of it is looked for.
 */
#include "peer/finder.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/counters.h"
#include "peer/known.h"
#include "peer/process.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
    STEP_LOOKS = 512,     /* descriptors of one user, then it is another's turn */
    OPEN_LOOKS = 16,      /* what opening a process counts */
    LOOKS_MOST = 1 << 18, /* of one walk; each takes one to two microseconds */
    REST = 4,             /* times as long as the walk took */
    TRIES_MOST = 32,      /* connections at a time that known processes are tried for: of more, one walk
                                       * costs less */
    KNOWN_TRIED = 4,      /* processes for each */
    AT_ONCE = 256,        /* connections that are taken up between two steps */
    SEALED_MOST = 16
};

#define SEALED_NS (INT64_C(10) * NS_PER_SEC)

TAILQ_HEAD(cards, peer_card);
STAILQ_HEAD(asked, peer_card);

/* One user's processes; there while something is sought among them, and until the rest after it is over. */
struct peer_walk {
    LIST_ENTRY(peer_walk) entry;
    uid_t                 uid;
    struct cards          cards;
    bool                  active;
    pid_t                *pids;
    size_t                count, at;
    struct process        process;     /* being looked through */
    DIR                  *descriptors; /* its; NULL: the next one is to be opened */
    unsigned              looks, opened, denied;
    int64_t               spent_ns, rest_until_ns;
};

/* Whose processes cannot be looked into: it is not tried for a while. */
struct sealed {
    uid_t   uid;
    int64_t until_ns;
};

struct peer_finder {
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  more;              /* something is asked, or it is to stop */
    bool            started, stopping; /* under the lock, like the next one */
    struct asked    asked;             /* not yet taken up by the thread; a reference each */

    /* -- the thread's own -- */
    struct asked todo; /* those it has yet to take up */
    LIST_HEAD(, peer_walk) walks;
    struct table  by_inode; /* of the cards in walks */
    struct known  known;
    struct sealed sealed[SEALED_MOST];
    unsigned      next_sealed;
};

/* -- telling -- */

/* CARD_UNASKED: not found in time, the next one may ask again.  Gives the finder's reference back. */
static void tell(struct peer_finder *f, struct peer_card *c, enum peer_card_at at)
{
    struct peer_wait *w;

    pthread_mutex_lock(&f->lock);
    atomic_store_explicit(&c->at, at, memory_order_release);
    while ((w = LIST_FIRST(&c->waits)) != NULL) {
        LIST_TAKE(w, entry);
        /* Whoever leaves from now on finds it in no list, and waits for this mail. */
        mailbox_post(w->mailbox, &w->mail);
    }
    pthread_mutex_unlock(&f->lock);
    peer_card_release(c);
}

static void tell_unknown(struct peer_finder *f, struct peer_card *c, enum peer_card_at at)
{
    counter_add(COUNTER_PEER_UNKNOWN, 1);
    tell(f, c, at);
}

/* It is sought no more. */
static void withdraw(struct peer_finder *f, struct peer_card *c)
{
    if (c->walk == NULL)
        return;
    TAILQ_REMOVE(&c->walk->cards, c, of_walk);
    table_remove(&f->by_inode, &c->by_inode);
    c->walk = NULL;
}

/* Found in `p`, whose times are read: true where it still is who was asked for. */
static bool name(struct peer_card *c, uid_t uid, const struct process *p)
{
    struct peer_socket s;

    if (!c->ends.is_unix && (!kernel_ask(&c->ends, &s) || s.inode != c->sought || !s.has_uid || s.uid != uid))
        return false;
    pthread_mutex_lock(&c->lock);
    c->facts.pid = p->pid;
    c->facts.started = p->started;
    c->facts.program = p->program;
    pthread_mutex_unlock(&c->lock);
    return true;
}

static void found(struct peer_finder *f, struct peer_card *c, uid_t uid, const struct process *p, int fd)
{
    bool is_it = name(c, uid, p);

    withdraw(f, c);
    if (!is_it) {
        tell_unknown(f, c, CARD_TOLD);
        return;
    }
    known_put(&f->known, uid, p->pid, p->started, fd);
    tell(f, c, CARD_TOLD);
}

/* -- those that are known -- */

/* New descriptors are the lowest that are free: near the last one, or where one was closed. */
static int find_near(const struct process *p, unsigned inode, int fd)
{
    static const int steps[] = { 1, 0, 2, -1, 3, 4, -2, 5, 6, 7, 8 };

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (process_socket(p, fd + steps[i]) == inode)
            return fd + steps[i];
    return -1;
}

/* True: told. */
static bool try_known(struct peer_finder *f, struct peer_card *c, uid_t uid)
{
    struct known_process *known[KNOWN_TRIED];
    unsigned              count = known_of(&f->known, uid, known, KNOWN_TRIED);

    for (unsigned i = 0; i < count; i++) {
        struct process p;
        int            fd = -1;

        if (!process_open(&p, known[i]->pid, uid) || !process_read(&p) || p.started != known[i]->started)
            known_drop(known[i]);
        else
            fd = find_near(&p, c->sought, known[i]->fd);
        process_close(&p);
        if (fd < 0)
            continue;
        counter_add(COUNTER_PEER_CACHED, 1);
        found(f, c, uid, &p, fd);
        return true;
    }
    return false;
}

/* Nothing but its executable is asked for.  Whoever started after the connection was there only has the pid of who
 * made it. */
static void look_at_unix(struct peer_finder *f, struct peer_card *c)
{
    struct peer    who;
    struct process p;
    bool           there;

    peer_card_read(c, &who);
    there = who.has_uid && process_open(&p, who.pid, who.uid);
    if (there && process_read(&p) && p.started <= c->opened_ticks)
        name(c, who.uid, &p);
    if (there)
        process_close(&p);
    tell(f, c, CARD_TOLD);
}

/* -- walks -- */

static bool is_closed(const struct peer_finder *f, uid_t uid, int64_t now)
{
    for (unsigned i = 0; i < SEALED_MOST; i++)
        if (f->sealed[i].until_ns > now && f->sealed[i].uid == uid)
            return true;
    return false;
}

static struct peer_walk *walk_of(struct peer_finder *f, uid_t uid)
{
    struct peer_walk *w;

    LIST_FOREACH (w, &f->walks, entry)
        if (w->uid == uid)
            return w;
    w = mem_alloc(sizeof *w);
    w->uid = uid;
    w->process.folder = -1;
    TAILQ_INIT(&w->cards);
    LIST_INSERT_HEAD(&f->walks, w, entry);
    return w;
}

static void seek(struct peer_finder *f, struct peer_card *c, uid_t uid)
{
    c->walk = walk_of(f, uid);
    c->in_pass = false;
    TAILQ_INSERT_TAIL(&c->walk->cards, c, of_walk);
    table_add(&f->by_inode, &c->by_inode, c->sought);
}

static void begin_walk(struct peer_walk *w, int64_t now)
{
    struct peer_card *c;

    TAILQ_FOREACH (c, &w->cards, of_walk)
        c->in_pass = true;
    w->active = true;
    w->pids = process_list(w->uid, &w->count);
    w->at = 0;
    w->looks = w->opened = w->denied = 0;
    w->spent_ns = clock_real_ns() - now;
    counter_add(COUNTER_PEER_PASSES, 1);
}

static void leave_process(struct peer_walk *w)
{
    if (w->descriptors != NULL)
        closedir(w->descriptors);
    w->descriptors = NULL;
    process_close(&w->process);
}

/* Those who came meanwhile wait for the next one. */
static void end_walk(struct peer_finder *f, struct peer_walk *w)
{
    struct peer_card *c, *next;
    int64_t           now = clock_real_ns();
    bool              is_sealed;

    leave_process(w);
    free(w->pids);
    w->pids = NULL;
    w->active = false;
    w->rest_until_ns = now + REST * w->spent_ns;
    is_sealed = w->opened == 0 && w->denied > 0;
    if (is_sealed) {
        f->sealed[f->next_sealed] = (struct sealed){ w->uid, now + SEALED_NS };
        f->next_sealed = (f->next_sealed + 1) % SEALED_MOST;
    }
    TAILQ_FOREACH_SAFE (c, &w->cards, of_walk, next)
        if (c->in_pass || is_sealed) {
            withdraw(f, c);
            tell_unknown(f, c, CARD_TOLD);
        }
}

/* False: that was all. */
static bool open_next(struct peer_walk *w)
{
    leave_process(w);
    if (w->at == w->count)
        return false;
    if (!process_open(&w->process, w->pids[w->at++], w->uid))
        return true;
    w->descriptors = process_descriptors(&w->process);
    if (w->descriptors == NULL) {
        w->denied += errno == EACCES || errno == EPERM;
        process_close(&w->process);
    } else {
        w->opened++;
    }
    return true;
}

static struct peer_card *find_card(struct peer_finder *f, const struct peer_walk *w, unsigned inode)
{
    TABLE_EACH(n, &f->by_inode, inode)
    {
        struct peer_card *c = CONTAINER_OF(n, struct peer_card, by_inode);

        if (c->walk == w)
            return c;
    }
    return NULL;
}

static void look_at(struct peer_finder *f, struct peer_walk *w, int fd)
{
    unsigned          inode = process_socket(&w->process, fd);
    struct peer_card *c = inode != 0 ? find_card(f, w, inode) : NULL;

    if (c == NULL)
        return;
    if (w->process.started == 0 && !process_read(&w->process))
        return; /* it has ended */
    found(f, c, w->uid, &w->process, fd);
}

static void step_walk(struct peer_finder *f, struct peer_walk *w)
{
    int64_t  began = clock_real_ns();
    unsigned looks = 0;

    while (looks < STEP_LOOKS && !TAILQ_EMPTY(&w->cards)) {
        const struct dirent *entry = w->descriptors != NULL ? readdir(w->descriptors) : NULL;

        if (entry == NULL) {
            looks += OPEN_LOOKS;
            if (!open_next(w))
                break;
        } else if (entry->d_name[0] != '.') {
            looks++;
            look_at(f, w, atoi(entry->d_name));
        }
    }
    w->looks += looks;
    w->spent_ns += clock_real_ns() - began;
    if (looks < STEP_LOOKS || TAILQ_EMPTY(&w->cards) || w->looks >= LOOKS_MOST)
        end_walk(f, w);
}

/* -- the thread -- */

static void take_up(struct peer_finder *f, struct peer_card *c, bool try)
{
    struct peer who;

    if (c->deadline_ns <= clock_real_ns()) { /* so many came that nobody had the time */
        tell_unknown(f, c, CARD_UNASKED);
        return;
    }
    if (c->ends.is_unix) {
        look_at_unix(f, c);
        return;
    }
    peer_card_ask_user(c);
    pthread_mutex_lock(&c->lock);
    who = c->facts;
    c->sought = c->inode;
    pthread_mutex_unlock(&c->lock);
    if (!who.has_uid || c->sought == 0 || is_closed(f, who.uid, clock_real_ns()))
        tell_unknown(f, c, CARD_TOLD);
    else if (!try || !try_known(f, c, who.uid))
        seek(f, c, who.uid);
}

/* Some of them: walks go on meanwhile. */
static void take_up_some(struct peer_finder *f)
{
    struct peer_card *c;
    unsigned          count = 0;

    STAILQ_FOREACH (c, &f->todo, next_asked)
        if (++count > TRIES_MOST)
            break;
    for (unsigned i = 0; i < AT_ONCE && (c = STAILQ_FIRST(&f->todo)) != NULL; i++) {
        STAILQ_REMOVE_HEAD(&f->todo, next_asked);
        take_up(f, c, count <= TRIES_MOST);
    }
}

static void end_patience(struct peer_finder *f, int64_t now)
{
    struct peer_walk *w;
    struct peer_card *c, *next;

    LIST_FOREACH (w, &f->walks, entry)
        TAILQ_FOREACH_SAFE (c, &w->cards, of_walk, next) {
            if (c->deadline_ns > now)
                break; /* in order of their coming */
            withdraw(f, c);
            tell_unknown(f, c, CARD_UNASKED);
        }
}

/* When there is something to do; INT64_MAX: when somebody asks. */
static int64_t next_ns(const struct peer_finder *f, int64_t now)
{
    const struct peer_walk *w;
    int64_t                 next = INT64_MAX, due;

    LIST_FOREACH (w, &f->walks, entry) {
        due = w->active ? now : w->rest_until_ns;
        if (!TAILQ_EMPTY(&w->cards) && TAILQ_FIRST(&w->cards)->deadline_ns < due)
            due = TAILQ_FIRST(&w->cards)->deadline_ns;
        if (due < next)
            next = due;
    }
    return next;
}

static void walk_on(struct peer_finder *f)
{
    struct peer_walk *w, *next;
    int64_t           now = clock_real_ns();

    LIST_FOREACH_SAFE (w, &f->walks, entry, next) {
        if (!w->active && w->rest_until_ns > now)
            continue;
        if (!w->active && TAILQ_EMPTY(&w->cards)) {
            LIST_REMOVE(w, entry);
            free(w);
            continue;
        }
        if (!w->active)
            begin_walk(w, clock_real_ns());
        step_walk(f, w);
    }
}

/* True: there is something to do.  False: it is to stop. */
static bool await_work(struct peer_finder *f)
{
    int64_t         due = STAILQ_EMPTY(&f->todo) ? next_ns(f, clock_real_ns()) : 0;
    struct timespec until = { .tv_sec = due / NS_PER_SEC, .tv_nsec = due % NS_PER_SEC };
    bool            goes_on;

    pthread_mutex_lock(&f->lock);
    while (!f->stopping && STAILQ_EMPTY(&f->asked))
        if (due == INT64_MAX)
            pthread_cond_wait(&f->more, &f->lock);
        else if (due <= clock_real_ns() || pthread_cond_timedwait(&f->more, &f->lock, &until) == ETIMEDOUT)
            break;
    STAILQ_CONCAT(&f->todo, &f->asked);
    goes_on = !f->stopping;
    pthread_mutex_unlock(&f->lock);
    return goes_on;
}

static void give_up(struct peer_finder *f)
{
    struct peer_card *c, *next;
    struct peer_walk *w;

    STAILQ_FOREACH_SAFE(c, &f->todo, next_asked, next)
    tell(f, c, CARD_TOLD);
    while ((w = LIST_FIRST(&f->walks)) != NULL) {
        leave_process(w);
        free(w->pids);
        while ((c = TAILQ_FIRST(&w->cards)) != NULL) {
            withdraw(f, c);
            tell(f, c, CARD_TOLD);
        }
        LIST_REMOVE(w, entry);
        free(w);
    }
    table_free(&f->by_inode);
}

static void *run(void *context)
{
    struct peer_finder *f = context;

    pthread_setname_np(pthread_self(), "weir-peers");
    while (await_work(f)) {
        take_up_some(f);
        end_patience(f, clock_real_ns());
        walk_on(f);
    }
    give_up(f);
    return NULL;
}

/* -- the door -- */

struct peer_finder *peer_finder_open(void)
{
    struct peer_finder *f = mem_alloc(sizeof *f);
    pthread_condattr_t  monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&f->more, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&f->lock, NULL);
    STAILQ_INIT(&f->asked);
    STAILQ_INIT(&f->todo);
    LIST_INIT(&f->walks);
    return f;
}

void peer_finder_close(struct peer_finder *f)
{
    if (f == NULL)
        return;
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_signal(&f->more);
    pthread_mutex_unlock(&f->lock);
    if (f->started)
        pthread_join(f->thread, NULL);
    pthread_cond_destroy(&f->more);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* Under the lock.  False: there is no thread that could look. */
static bool start(struct peer_finder *f)
{
    if (!f->started && !f->stopping)
        f->started = pthread_create(&f->thread, NULL, run, f) == 0;
    return f->started && !f->stopping;
}

/* Under the lock. */
static bool find(struct peer_finder *f, struct peer_card *c, struct peer_wait *wait)
{
    if (atomic_load_explicit(&c->at, memory_order_relaxed) == CARD_TOLD || !start(f))
        return true;
    if (atomic_load_explicit(&c->at, memory_order_relaxed) == CARD_UNASKED) {
        atomic_store_explicit(&c->at, CARD_ASKED, memory_order_relaxed);
        c->deadline_ns = clock_real_ns() + PEER_PATIENCE_NS;
        ref_acquire(&c->ref);
        if (STAILQ_EMPTY(&f->asked))
            pthread_cond_signal(&f->more);
        STAILQ_INSERT_TAIL(&f->asked, c, next_asked);
        counter_add(COUNTER_PEER_LOOKUPS, 1);
    }
    if (wait != NULL)
        LIST_INSERT_HEAD(&c->waits, wait, entry);
    return false;
}

bool peer_find(struct peer_finder *f, struct peer_card *c, struct peer_wait *wait)
{
    bool told = peer_card_is_told(c);

    if (told)
        return true;
    pthread_mutex_lock(&f->lock);
    told = find(f, c, wait);
    pthread_mutex_unlock(&f->lock);
    return told;
}

bool peer_find_leave(struct peer_finder *f, struct peer_wait *wait)
{
    bool listed;

    pthread_mutex_lock(&f->lock);
    listed = LIST_IS_IN(wait, entry);
    LIST_TAKE(wait, entry);
    pthread_mutex_unlock(&f->lock);
    return listed;
}
