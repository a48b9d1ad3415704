/*
 * The shapes of a response, each with the one way of making it that keeps
 * the connection usable: see the table of facts in ARCHITECTURE.md.
 */
#include "front/mhd/response.h"

#include "front/mhd/sendfile.h"
#include "front/mhd/tricks.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    STREAM_BLOCK_BYTES = 32 * 1024,
    LONG_BLOCK_BYTES = 64 * 1024,
    LONG_BYTES = 512 * 1024,
    FIELD_OVERHEAD = 4,
    HEAD_OVERHEAD = 256
};

/* MHD zeroes the block that a stream is read into, and sends it piece by piece. */
static size_t block_bytes(int64_t length)
{
    if (length >= LONG_BYTES)
        return LONG_BLOCK_BYTES;
    return length > 0 && length < STREAM_BLOCK_BYTES ? (size_t)length : STREAM_BLOCK_BYTES;
}

struct mapping {
    void  *start;
    size_t bytes;
};

/* For a head without a body, which is never asked for. */
static ssize_t read_nothing(void *context, uint64_t position, char *buffer, size_t count)
{
    (void)context;
    (void)position;
    (void)buffer;
    (void)count;
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static bool head_fits(const struct http_fields *f, size_t room)
{
    size_t bytes = HEAD_OVERHEAD;

    for (unsigned i = 0; i < f->count; i++)
        bytes += f->items[i].name.len + f->items[i].value.len + FIELD_OVERHEAD;
    return bytes <= room;
}

bool response_is_bare(const struct reply *r, bool is_head)
{
    return r->kind == REPLY_EMPTY && (r->status == 304 || (is_head && r->length < 0));
}

/* MHD writes the length of all that it knows one of, and of an unknown one it sends a last chunk, which would be taken
 * for the next answer; or closes the connection, as HTTP/1.0 had it.  That is the way where nobody takes the line out
 * of a head. */
static struct MHD_Response *make_bare(void)
{
    struct MHD_Response *response;

    if (trick(TRICK_HEADS))
        return MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, read_nothing, NULL, NULL);
    MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    return response;
}

static struct MHD_Response *make_empty(const struct reply *r, bool is_head)
{
    if (response_is_bare(r, is_head))
        return make_bare();
    if (!is_head)
        return MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    return MHD_create_response_from_callback((uint64_t)r->length, 1024, read_nothing, NULL, NULL);
}

static void unmap(void *context)
{
    const struct mapping *m = context;

    munmap(m->start, m->bytes);
    free(context);
}

/* A stored body's file never changes. */
static struct MHD_Response *make_mapped(const struct reply *r)
{
    size_t before = (size_t)(r->offset % sysconf(_SC_PAGESIZE));
    size_t bytes = before + (size_t)r->length;
    void *start = r->length > 0 ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, r->fd, (off_t)(r->offset - (int64_t)before))
                                : MAP_FAILED;
    struct MHD_Response *response;
    struct mapping      *m;

    if (start == MAP_FAILED)
        return MHD_create_response_from_fd_at_offset64((uint64_t)r->length, r->fd, (uint64_t)r->offset);
    m = mem_alloc(sizeof *m);
    *m = (struct mapping){ start, bytes };
    response = MHD_create_response_from_buffer_with_free_callback_cls((size_t)r->length, (char *)start + before, unmap,
                                                                      m);
    if (response != NULL)
        close(r->fd);
    else
        unmap(m);
    return response;
}

static struct MHD_Response *make_body(const struct reply *r, const struct response_options *o)
{
    switch (r->kind) {
    case REPLY_BYTES:
        return MHD_create_response_from_buffer(r->bytes.len, (void *)(uintptr_t)r->bytes.ptr, MHD_RESPMEM_MUST_COPY);
    case REPLY_FILE:
        sendfile_until(r->fd, r->offset + r->length);
        if (o->map_files)
            return make_mapped(r);
        return MHD_create_response_from_fd_at_offset64((uint64_t)r->length, r->fd, (uint64_t)r->offset);
    case REPLY_STREAM:
        return MHD_create_response_from_callback(r->length >= 0 ? (uint64_t)r->length : MHD_SIZE_UNKNOWN,
                                                 block_bytes(r->length), o->read, o->context, NULL);
    case REPLY_EMPTY:
        break;
    }
    return make_empty(r, o->is_head);
}

char *response_value(struct slice value, struct arena *a)
{
    char *tab, *text = (char *)(uintptr_t)arena_copy(a, value.len > 0 ? value : SLICE(" ")).ptr;

    while ((tab = strchr(text, '\t')) != NULL)
        *tab = ' ';
    return text;
}

struct MHD_Response *response_make(const struct reply *r, const struct response_options *o, struct arena *a)
{
    struct MHD_Response *response;

    if (!head_fits(&r->fields, o->head_room))
        return NULL;
    response = make_body(r, o);
    if (response == NULL)
        return NULL;
    if (o->close || r->close) /* before Date: after it MHD would send a second Date */
        MHD_add_response_header(response, "Connection", "close");
    for (unsigned i = 0; i < r->fields.count; i++)
        MHD_add_response_header(response, arena_copy(a, r->fields.items[i].name).ptr,
                                response_value(r->fields.items[i].value, a));
    return response;
}
