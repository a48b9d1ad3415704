/*
 * Beginning anew: somebody removed, moved or replaced the cache's directory while Weir runs ("it may be deleted at
 * any time").  The writer looks before each group of changes.
 *
 * The new database takes the place of the old one under the readers: each of them goes over at its next look-up,
 * and the old one is closed by the last.  `attention` counts those that have not, so that a look-up of a
 * quiet store does not ask.  Descriptors that others borrow keep their numbers (dup3).
 *
 * Where nothing can be begun (a directory that cannot be made, a full disk), the store is broken until it can: it is
 * tried again with the changes that come.
 */
#include "store/internal.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRY_AGAIN_NS (NS_PER_SEC / 2)
#define SAY_AGAIN_NS (60 * NS_PER_SEC)

/* -- noticing -- */

static bool is_same(int fd, const struct stat *there)
{
    struct stat ours;

    return fstat(fd, &ours) == 0 && ours.st_dev == there->st_dev && ours.st_ino == there->st_ino;
}

/* The directory of the bodies alone. */
static void look_for_bodies(struct store *s)
{
    struct stat  there;
    struct fault why;
    int          fd;

    if (fstatat(s->directory_fd, "bodies", &there, AT_SYMLINK_NOFOLLOW) == 0 && is_same(s->bodies_fd, &there))
        return;
    fd = bodies_open(s->directory_fd, &why);
    if (fd < 0)
        return; /* the next body says what is wrong */
    dup3(fd, s->bodies_fd, O_CLOEXEC);
    close(fd);
    log_warning("cache_bodies_gone", "path=%s/bodies", s->path);
}

/* -- beginning -- */

static void take_over(struct writer *w, struct store *fresh, struct store_opening *o)
{
    struct store *s = w->store;
    struct home  *old = s->home;

    dup3(fresh->bodies_fd, s->bodies_fd, O_CLOEXEC);
    dup3(db_directory(fresh->db), s->directory_fd, O_CLOEXEC);
    dup3(db_file(fresh->db), s->file_fd, O_CLOEXEC);
    close(fresh->bodies_fd);
    pthread_mutex_lock(&s->moving);
    s->home = home_new(fresh->db, &fresh->tables);
    s->db = fresh->db;
    s->turn++;
    atomic_fetch_add(&s->attention, STORE_READER_BEHIND * s->reader_count);
    pthread_mutex_unlock(&s->moving);
    s->tables = fresh->tables;
    home_release(old);

    w->counts = o->counts;
    if (atomic_load(&s->next_id) < o->next_id)
        atomic_store(&s->next_id, o->next_id);
    s->started_at = atomic_load(&s->next_id);
    w->doomed.count = 0;
    w->suspect_count = 0;
    sweep_begin(&w->sweep, s->bodies_fd, s->started_at);
    store_publish(w->store, &w->counts.totals);
    atomic_fetch_add_explicit(&s->snapshot, 1, memory_order_release);
    atomic_fetch_add_explicit(&s->generation, 1, memory_order_release);
    atomic_fetch_and(&s->attention, ~STORE_BROKEN_MARK);
}

static void say_why_not(struct writer *w, const struct fault *why)
{
    const int64_t now_ns = clock_mono_ns();

    if (w->anew.said_ns != 0 && now_ns - w->anew.said_ns < SAY_AGAIN_NS)
        return;
    w->anew.said_ns = now_ns;
    log_error("cache_not_begun", "note=%s reason=%s",
              log_quote("nothing is stored or read until it can be, which is tried again"), log_quote(why->text));
}

static void begin(struct writer *w)
{
    struct store        *s = w->store, *fresh;
    struct store_opening o = { .next_id = 0 };
    struct fault         why = { "" }, note = { "" };

    if (!w->anew.is_gone)
        log_warning("cache_gone", "path=%s note=%s", log_quote(s->path),
                    log_quote("somebody removed, moved or replaced it: it is begun anew"));
    w->anew.is_gone = true;
    w->anew.tried_ns = clock_mono_ns();
    atomic_fetch_or(&s->attention, STORE_BROKEN_MARK);
    db_leave(s->db);
    fresh = mem_alloc(sizeof *fresh);
    fresh->path = s->path;
    fresh->max_bytes = s->max_bytes;
    fresh->most_readers = s->most_readers;
    fresh->bodies_fd = -1;
    if (store_open_database(fresh, &o, &why, &note) == 0) {
        take_over(w, fresh, &o);
        w->anew.is_gone = false;
        log_warning("cache_begun_anew", "path=%s records=%llu%s%s", log_quote(s->path),
                    (unsigned long long)atomic_load(&s->now.records), note.text[0] != '\0' ? " note=" : "",
                    note.text[0] != '\0' ? log_quote(note.text) : "");
    } else {
        if (fresh->bodies_fd >= 0)
            close(fresh->bodies_fd);
        say_why_not(w, &why);
    }
    free(fresh);
}

void anew_look(struct writer *w)
{
    struct store *s = w->store;

    if (w->anew.is_gone) {
        if (clock_mono_ns() - w->anew.tried_ns >= TRY_AGAIN_NS)
            begin(w);
        return;
    }
    if (store_is_broken(s))
        return; /* damaged: the next start begins a new one */
    if (!db_is_in_place(s->db))
        begin(w);
    else
        look_for_bodies(s);
}

struct look {
    struct mail   mail;
    struct store *store;
};

static void receive_look(struct mail *m)
{
    struct look *look = CONTAINER_OF(m, struct look, mail);

    anew_look(look->store->writer);
    free(look);
}

/* The writer looks, soon. */
static void look_soon(struct store *s)
{
    struct look *look = mem_alloc(sizeof *look);

    look->mail.receive = receive_look;
    look->store = s;
    mailbox_post(s->mailbox, &look->mail);
}

/* -- for those who speak of it -- */

bool store_promises(struct store *s, int64_t body_bytes)
{
    const bool     is_file = body_bytes < 0 || body_bytes > STORE_INLINE_BYTES;
    const unsigned matters = REFUSES_COMMITS | (is_file ? REFUSES_FILES : 0);
    struct stat    st;

    if (s == NULL || store_is_broken(s) || (atomic_load_explicit(&s->refusing, memory_order_relaxed) & matters) != 0)
        return false;
    if (fstat(s->file_fd, &st) == 0 && st.st_nlink > 0)
        return true;
    look_soon(s);
    return false;
}

void store_refuses_files(struct store *s)
{
    if (s == NULL)
        return;
    atomic_fetch_or_explicit(&s->refusing, REFUSES_FILES, memory_order_relaxed);
    look_soon(s);
}
