/*
 * A snapshot that is read: its lines are looked up by key, and parsed when they are asked for.
 */
#include "snapshot/internal.h"

#include <stdlib.h>
#include <sys/file.h>

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
    if (gather_read_index(&s->all, s->place, why) == 0)
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
    table_free(&s->by_key);
    gather_free(&s->all);
    snapshot_place_close(s->place);
    free(s);
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
