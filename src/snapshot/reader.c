/*
 * A snapshot that is read: its lines are looked up by key, and parsed when they are asked for.
 */
#include "snapshot/internal.h"

#include "snapshot/journal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

struct snapshot_reader *snapshot_open(int fd, const struct snapshot_options *o, struct fault *why)
{
    struct snapshot_reader *s = mem_alloc(sizeof *s);
    int                     result = -1;

    why->text[0] = '\0';
    s->order = o != NULL ? o->order : SNAPSHOT_LAST;
    s->place = snapshot_place_open(fd, why);
    if (s->place == NULL || gather_open(&s->all, o, why) != 0)
        goto fail;
    /* Nobody sorts meanwhile. */
    if (snapshot_place_folder(s->place) >= 0)
        flock(snapshot_place_folder(s->place), LOCK_SH);
    if (snapshot_place_journal(s->place) >= 0)
        result = gather_read_journal(&s->all, snapshot_place_journal(s->place), "the snapshot", true, why);
    else if (gather_read_index(&s->all, s->place, why) == 0)
        result = s->all.is_there ? gather_read_journals(&s->all, s->place, why)
                                 : fault_set(why, "there is no " INDEX_NAME " in it: it is no snapshot");
    if (snapshot_place_folder(s->place) >= 0)
        flock(snapshot_place_folder(s->place), LOCK_UN);
    if (result != 0)
        goto fail;
    gather_sort(&s->all);
    find_index(s);
    return s;
fail:
    snapshot_close(s);
    return NULL;
}

void snapshot_close(struct snapshot_reader *s)
{
    if (s == NULL)
        return;
    bodies_free(s);
    if (s->taken_plus_1 > 0)
        close(s->taken_plus_1 - 1);
    table_free(&s->by_key);
    gather_free(&s->all);
    snapshot_place_close(s->place);
    free(s);
}

/* Of the file that is being written: a descriptor of the reader's own, which outlives the writer. */
static int own_file(struct snapshot_reader *s, int fd)
{
    if (fd >= 0 && s->taken_plus_1 == 0)
        s->taken_plus_1 = fcntl(fd, F_DUPFD_CLOEXEC, 3) + 1;
    return fd >= 0 ? s->taken_plus_1 - 1 : -1;
}

void snapshot_take(struct snapshot_reader *s, const struct snapshot_exchange *x, struct slice sent, struct slice came,
                   int fd, uint64_t came_at)
{
    struct snapshot_exchange  named = *x;
    struct arena             *a = &s->all.arena;
    struct gathered_line     *l = arena_alloc(a, sizeof *l);
    const struct journal_body where = { came_at, came.len };

    named.request_body.name = line_name_body(sent, http_fields_get(&x->request, HTTP_CONTENT_TYPE), a);
    named.body.name = line_name_body(came, http_fields_get(&x->response, HTTP_CONTENT_TYPE), a);
    if (came.len > 0 && !bodies_keep(s, named.body.name, came)) {
        fd = own_file(s, fd);
        if (fd < 0)
            return;
        gather_add_body(&s->all, named.body.name, fd, &where);
    }
    if (gather_line_of(&s->all, &named, l))
        table_add(&s->by_key, &l->node, find_key(&s->all.redaction, l->method, l->url, l->body));
}

size_t snapshot_count(const struct snapshot_reader *s)
{
    return s->all.count;
}

int64_t snapshot_created_ms(const struct snapshot_reader *s)
{
    return s->all.created_ms;
}

bool snapshot_get(struct snapshot_reader *s, size_t index, struct snapshot_exchange *x, struct arena *a,
                  struct fault *why)
{
    struct fault inner;

    if (line_read(s->all.lines[index].text, x, a, &inner) != 0) {
        fault_set(why, INDEX_NAME ": " SLICE_FMT " " SLICE_FMT ": %.700s", SLICE_ARG(s->all.lines[index].method),
                  SLICE_ARG(s->all.lines[index].url), inner.text);
        return false;
    }
    x->seq = s->all.lines[index].seq;
    return true;
}
