/*
 * See snapshot_support.h.
 */
#include "snapshot_support.h"

#include "tempdir.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int set_up(void **state)
{
    struct here *h = mem_alloc(sizeof *h);

    h->path = tempdir_make();
    h->fd = open(h->path, O_RDONLY | O_DIRECTORY);
    *state = h;
    return 0;
}

int tear_down(void **state)
{
    struct here *h = *state;

    close(h->fd);
    tempdir_remove(h->path);
    arena_free(&h->arena);
    free(h);
    return 0;
}

struct http_fields fields(struct arena *a, const char *const *lines)
{
    struct http_fields f = { 0 };

    for (; lines != NULL && *lines != NULL; lines++) {
        struct slice line = slice_of(*lines);
        size_t       colon = slice_find(line, ':', 0);

        http_fields_add(&f, a, slice_sub(line, 0, colon), slice_trim(slice_sub(line, colon + 1, line.len)));
    }
    return f;
}

enum snapshot_kept record(struct here *h, struct snapshot_writer *w, const struct simple *s, struct http_fields request,
                          struct http_fields response)
{
    struct snapshot_recording *r = snapshot_record(w, slice_of(s->method), slice_of(s->url), &request,
                                                   s->time_ms > 0 ? s->time_ms : 1000);

    if (s->sent != NULL)
        snapshot_record_sent(r, s->sent, strlen(s->sent));
    snapshot_record_head(r, 200, &response);
    if (s->answer != NULL)
        snapshot_record_came(r, s->answer, strlen(s->answer), -1);
    return snapshot_record_end(r, SNAPSHOT_WHOLE, SLICE(""), 5, &h->why);
}

struct snapshot_writer *writer(struct here *h, const struct snapshot_options *o)
{
    struct snapshot_writer *w = snapshot_writer_open(h->fd, o, &h->why);

    if (w == NULL)
        fail_msg("%s", h->why.text);
    return w;
}

struct snapshot_reader *reader(struct here *h, const struct snapshot_options *o)
{
    struct snapshot_reader *s = snapshot_open(h->fd, o, &h->why);

    if (s == NULL)
        fail_msg("%s", h->why.text);
    return s;
}

void end_writer(struct here *h, struct snapshot_writer *w)
{
    enum snapshot_kept kept = snapshot_writer_close(w, NULL, &h->why);

    if (kept != SNAPSHOT_KEPT)
        fail_msg("%s", h->why.text);
}

void record_simple(struct here *h, struct snapshot_writer *w, const struct simple *s)
{
    struct http_fields none = { 0 };

    assert_int_equal(record(h, w, s, none, FIELDS(h, "Content-Type: application/json")), SNAPSHOT_KEPT);
}

/* The body that answers; "missed: DIFFERENCE" else. */
const char *ask_with(struct here *h, struct snapshot_reader *s, const char *method, const char *url, const char *body,
                     struct http_fields f)
{
    struct snapshot_request  q = { slice_of(method), slice_of(url), &f, slice_of(body) };
    struct snapshot_exchange x;
    struct snapshot_nearest  near;
    struct slice             text;

    switch (snapshot_find(s, &q, &x, &near, &h->arena, &h->why)) {
    case SNAPSHOT_FOUND:
        if (!snapshot_body_all(s, &x.body, 1 << 20, &h->arena, &text, &h->why))
            fail_msg("%s", h->why.text);
        return text.ptr;
    case SNAPSHOT_MISSED:
        return arena_printf(&h->arena, "missed: " SLICE_FMT, SLICE_ARG(near.difference)).ptr;
    default:
        return arena_printf(&h->arena, "broken: %s", h->why.text).ptr;
    }
}

const char *ask(struct here *h, struct snapshot_reader *s, const char *method, const char *url, const char *body)
{
    return ask_with(h, s, method, url, body, (struct http_fields){ 0 });
}

char *whole_file(struct here *h, const char *name)
{
    char   path[4096];
    FILE  *f;
    char  *text = arena_alloc(&h->arena, 1 << 16);
    size_t n;

    snprintf(path, sizeof path, "%s/%s", h->path, name);
    f = fopen(path, "r");
    assert_non_null(f);
    n = fread(text, 1, (1 << 16) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

unsigned files_in(struct here *h, const char *name)
{
    char           path[4096];
    DIR           *d;
    struct dirent *e;
    unsigned       n = 0;

    snprintf(path, sizeof path, "%s/%s", h->path, name);
    d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}
