/*
 * /export: what is stored with all its bytes, a line of JSON for each response; the last line says how many there were.
 *
 * Lines are made on the store's thread "walk", a bounded part at a time (entries.c does the same).  A body that is a
 * file is none of that thread's work: the walk pauses after its record, and the file goes out in pieces as the client
 * takes them.
 */
#include "admin/meant.h"
#include "admin/row.h"
#include "base/clock.h"
#include "http/json_of.h"
#include "http/url.h"

#include <sodium.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PART_BYTES = 64 * 1024, PIECE_BYTES = 12 * 1024 /* three bytes are four characters of base64 */ };

struct exporting {
    struct admin_call *call; /* worker's */
    struct store      *store;
    struct meant      *meant;
    struct store_walk  walk;
    /* the walk's, and while it does not walk the worker's */
    char    *rows;
    size_t   used, capacity;
    uint64_t exported, lost; /* lost: bodies that are gone or damaged */
    int      fd;             /* of a body that goes out next; -1: none */
    int64_t  bytes, given;
};

/* -- lines: the walk's thread -- */

static void put(struct exporting *x, struct slice s)
{
    MEM_ROOM(x->rows, x->capacity, x->used + s.len);
    memcpy(x->rows + x->used, s.ptr, s.len);
    x->used += s.len;
}

static void put_base64(struct exporting *x, struct slice s)
{
    size_t room = sodium_base64_encoded_len(s.len, sodium_base64_VARIANT_ORIGINAL);

    MEM_ROOM(x->rows, x->capacity, x->used + room);
    sodium_bin2base64(x->rows + x->used, room, (const unsigned char *)s.ptr, s.len, sodium_base64_VARIANT_ORIGINAL);
    x->used += room - 1;
}

static json_t *fields_json(const struct http_fields *f, struct arena *a)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < f->count; i++)
        json_array_append_new(list, json_pack("[o, o]", json_of_text(f->items[i].name),
                                              json_of_text(row_without_marks(f->items[i].value, a))));
    return list;
}

/* What the request said of what Vary names; of credentials there are hashes alone, which say nothing. */
static json_t *request_json(const struct exporting *x, struct slice selection)
{
    json_t *list = json_array();

    while (selection.len > 0) {
        size_t       end = slice_find(selection, '\n', 0);
        struct slice line = slice_sub(selection, 0, end), name = slice_sub(line, 0, slice_find(line, ':', 0));

        if (name.len < line.len && !entry_tells_who(x->call->config, name))
            json_array_append_new(list, json_pack("[o, o]", json_of_text(name),
                                                  json_of_text(slice_trim(slice_sub(line, name.len + 1, line.len)))));
        selection = slice_sub(selection, end + 1, selection.len);
    }
    return list;
}

/* All but the body, which is the last member. */
static void put_head(struct exporting *x, const struct store_record *r, const struct entry_facts *e)
{
    struct arena *a = &x->meant->scratch;
    json_t *head = json_pack("{s:o, s:o, s:I, s:I, s:i, s:o, s:o, s:b, s:o, s:I}", "method", json_of_text(e->method),
                             "url", json_of_text(e->url), "time", (json_int_t)(r->requested_wall_ns / NS_PER_MS),
                             "took", (json_int_t)((r->received_wall_ns - r->requested_wall_ns) / NS_PER_MS), "status",
                             (int)r->status, "request", request_json(x, r->selection), "fields",
                             fields_json(&e->fields, a), "private", !entry_is_shared(r), "upstream",
                             json_of_text(e->upstream), "bytes", (json_int_t)r->body_bytes);
    char   *text = json_dumps(head, JSON_COMPACT);

    json_decref(head);
    put(x, (struct slice){ text, strlen(text) - 1 });
    free(text);
    put(x, SLICE(",\"body\":\""));
}

static bool visit(void *context, const struct store_record *r)
{
    struct exporting  *x = context;
    struct entry_facts e;
    int                fd = -1;

    arena_reset(&x->meant->scratch);
    if (r->invalidated || !entry_is_meant(&x->meant->wish, &x->meant->reader, r, &x->meant->scratch, &e))
        return true;
    if (r->body_file != 0)
        fd = store_body_open(x->store, r);
    if (r->body_file != 0 ? fd < 0 : !store_inline_is_right(r)) {
        x->lost++;
        return true;
    }
    put_head(x, r, &e);
    x->exported++;
    if (fd >= 0) {
        x->fd = fd;
        x->bytes = r->body_bytes;
        x->given = 0;
        return false;
    }
    put_base64(x, r->body);
    put(x, SLICE("\"}\n"));
    return x->used < PART_BYTES;
}

/* -- the answer: the worker's thread -- */

static void export_free(void *state)
{
    struct exporting *x = state;

    if (x->fd >= 0)
        close(x->fd);
    meant_free(x->meant);
    free(x->rows);
    free(x);
}

static void export_cancel(void *state)
{
    struct exporting *x = state;

    atomic_store_explicit(&x->walk.is_cancelled, true, memory_order_relaxed);
}

static void walk_on(struct exporting *x)
{
    x->call->awaits_mail = true;
    store_walk(x->store, &x->walk);
}

static void end(struct exporting *x)
{
    char text[128];
    int  used = snprintf(text, sizeof text, "{\"exported\": %" PRIu64 ", \"lost\": %" PRIu64 "}\n", x->exported,
                         x->lost);

    admin_write(x->call, (struct slice){ text, (size_t)used });
    admin_finish(x->call);
}

/* False: its file ends too early, and so does the answer: its last line is missing. */
static bool write_body(struct exporting *x)
{
    while (x->fd >= 0 && admin_has_room(x->call)) {
        char    piece[PIECE_BYTES];
        size_t  wanted = x->bytes - x->given < PIECE_BYTES ? (size_t)(x->bytes - x->given) : PIECE_BYTES;
        ssize_t n = wanted > 0 ? pread(x->fd, piece, wanted, x->given) : 0;

        if (n != (ssize_t)wanted)
            return false;
        x->used = 0;
        put_base64(x, (struct slice){ piece, wanted });
        x->given += n;
        if (x->given == x->bytes) {
            put(x, SLICE("\"}\n"));
            close(x->fd);
            x->fd = -1;
        }
        admin_write(x->call, (struct slice){ x->rows, x->used });
        x->used = 0;
    }
    return true;
}

static void write_more(struct admin_call *call)
{
    struct exporting *x = call->own.state;

    admin_write(call, (struct slice){ x->rows, x->used });
    x->used = 0;
    if (!write_body(x))
        admin_finish(call);
    else if (x->fd >= 0)
        return; /* the client has not taken all yet */
    else if (x->walk.at_end)
        end(x);
    else
        walk_on(x);
}

static void walked(struct mail *m)
{
    struct exporting *x = CONTAINER_OF(CONTAINER_OF(m, struct store_walk, done), struct exporting, walk);

    admin_walked(x->call, x->walk.ok, write_more);
}

static void settled(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, change.done);

    if (admin_has_changed(call, PROBLEM_CACHE_UNREADABLE, "The cache is broken; the log says why."))
        walk_on(call->own.state);
}

/* -- what is asked for -- */

static bool read_wish(struct exporting *x, struct fault *why)
{
    struct admin_call *call = x->call;
    struct slice       rest = call->query, parameter;

    while (http_query_next(&rest, &parameter)) {
        size_t          equals = slice_find(parameter, '=', 0);
        struct slice    name = slice_sub(parameter, 0, equals);
        enum meant_read read;

        if (parameter.len == 0)
            continue;
        read = meant_take(x->meant, name,
                          http_percent_decode(slice_sub(parameter, equals + 1, parameter.len), &call->arena), why);
        if (read == MEANT_WRONG)
            return false;
        if (read == MEANT_OTHER)
            return fault_set(why,
                             "There is no parameter \"" SLICE_FMT "\"; there are url, upstream, tag, stale, expired, "
                             "older_than and whose.",
                             SLICE_ARG(slice_sub(name, 0, 60))),
                   false;
    }
    return true;
}

static void run(struct admin_call *call)
{
    struct exporting *x = mem_alloc(sizeof *x);
    struct fault      why = { "" };

    x->call = call;
    x->store = call->admin->services->store;
    x->meant = meant_new(call);
    x->fd = -1;
    x->walk.visit = visit;
    x->walk.context = x;
    x->walk.reply_to = call->admin->mailbox;
    x->walk.done.receive = walked;
    call->own = (struct admin_own){ .state = x, .free = export_free, .cancel = export_cancel };
    if (!read_wish(x, &why)) {
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD, why.text);
        return;
    }
    call->change.kind = STORE_SETTLE;
    admin_submit_change(call, settled);
}

const struct endpoint endpoint_export = { "/export", HTTP_GET, run, ON_ADMIN_SOCKET_ALONE | WITHOUT_DAEMON };
