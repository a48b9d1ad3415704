/*
 * What is stored for the request, as far as the exchange may still serve it.
 */
#include "engine/internal.h"

#include <unistd.h>

void candidate_drop(struct exchange *x)
{
    struct candidate *c = &x->stored;

    if (c->borrowed)
        store_reader_end(x->engine->reader);
    if (c->fd >= 0)
        close(c->fd);
    *c = (struct candidate){ .fd = -1 };
}

/* A body file is opened now, since eviction may unlink it at any time. */
bool candidate_open(struct exchange *x)
{
    struct candidate *c = &x->stored;

    if (c->body_file == 0 || c->fd >= 0)
        return true;
    c->fd = store_body_open(x->engine->services->store, &c->record);
    return c->fd >= 0;
}

void candidate_keep(struct exchange *x)
{
    struct candidate *c = &x->stored;

    if (!c->borrowed)
        return;
    if (c->selected && candidate_open(x)) {
        c->response.head.fields = http_fields_copy(&c->response.head.fields, &x->arena);
        c->selection = arena_copy(&x->arena, c->selection);
        c->body = arena_copy(&x->arena, c->body);
    } else {
        c->selected = false;
    }
    store_reader_end(x->engine->reader);
    c->borrowed = false;
}

bool candidate_read(struct exchange *x, int64_t first, char *out, size_t count)
{
    struct candidate *c = &x->stored;

    if (!candidate_open(x))
        return false;
    if (c->body_file == 0) {
        memcpy(out, c->body.ptr + first, count);
        return true;
    }
    for (size_t done = 0; done < count;) {
        ssize_t n = pread(c->fd, out + done, count - done, first + (int64_t)done);

        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}
