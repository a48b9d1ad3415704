/*
 * /entry: one stored response with all that is stored of it, in each of its variants; or the body of one of them.
 *
 * The URL says which; `header` (a request's field, as often as there are some) and `whose` choose among variants, and
 * the newest comes first.  Whose they are is a part of their keys, so all records are gone through: a second or so for
 * a million.  A body goes out as it is stored, and is nothing that a browser would show.
 */
#include "admin/best.h"
#include "admin/meant.h"
#include "admin/row.h"
#include "base/clock.h"
#include "http/date.h"
#include "http/url.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { VARIANTS_MOST = 64, PIECE_BYTES = 16 * 1024, HEADERS_MOST = 64 };

struct entry_body { /* of the best variant so far */
    bool         is_set;
    int64_t      worth;
    int64_t      bytes, given;
    struct slice inline_bytes; /* malloc'd */
    int          fd;           /* -1: inline, or: */
    bool         is_gone;      /* its file, or its bytes are not what was stored */
};

struct looking {
    struct admin_call *call;
    struct store      *store;
    struct meant      *meant;
    struct store_walk  walk;
    struct http_fields request;
    bool               has_request, wants_body;
    /* the walk's, and after it the worker's */
    struct best       best;
    struct entry_body body;
    bool              has_any; /* that the fields of the request did not choose */
    bool              has_row;
};

/* -- a record: the walk's thread -- */

static void put_time(struct json_out *o, const char *name, int64_t wall_ns)
{
    char      text[40];
    time_t    t = (time_t)(wall_ns / NS_PER_SEC);
    struct tm parts;

    if (gmtime_r(&t, &parts) == NULL || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        text[0] = '\0';
    row_put_text(o, name, slice_of(text));
}

static void put_fields(struct json_out *o, const struct http_fields *f, struct arena *a)
{
    json_key(o, "fields");
    json_raw(o, SLICE("["));
    for (unsigned i = 0; i < f->count; i++) {
        json_raw(o, i > 0 ? SLICE(",[") : SLICE("["));
        json_text(o, f->items[i].name);
        json_raw(o, SLICE(","));
        json_text(o, row_without_marks(f->items[i].value, a));
        json_raw(o, SLICE("]"));
    }
    json_raw(o, SLICE("]"));
}

/* The values that the request had for the fields that Vary names; those of credentials are hashes. */
static void put_selection(struct json_out *o, struct slice selection)
{
    bool has_any = false;

    json_key(o, "vary");
    json_raw(o, SLICE("{"));
    while (selection.len > 0) {
        size_t       end = slice_find(selection, '\n', 0);
        struct slice line = slice_sub(selection, 0, end), name = slice_sub(line, 0, slice_find(line, ':', 0));

        json_raw(o, has_any ? SLICE(",") : SLICE(""));
        json_text(o, name);
        json_raw(o, SLICE(":"));
        if (name.len < line.len)
            json_text(o, slice_trim(slice_sub(line, name.len + 1, line.len)));
        else
            json_raw(o, SLICE("null"));
        has_any = true;
        selection = slice_sub(selection, end + 1, selection.len);
    }
    json_raw(o, SLICE("}"));
}

static size_t room_of(const struct store_record *r, const struct entry_facts *e)
{
    size_t room = row_room(e) + 6 * r->selection.len + 512;

    for (unsigned i = 0; i < e->fields.count; i++)
        room += 6 * (e->fields.items[i].name.len + e->fields.items[i].value.len) + 16;
    return room;
}

static struct slice write_entry(struct looking *l, const struct store_record *r, const struct entry_facts *e)
{
    const size_t    room = room_of(r, e);
    struct json_out o = { arena_alloc_raw(&l->meant->scratch, room), room, 0, false };

    json_raw(&o, SLICE("{"));
    row_put(&o, e, admin_hits(l->call->admin, r));
    put_time(&o, "requested", r->requested_wall_ns);
    put_time(&o, "received", r->received_wall_ns);
    row_put_text(&o, "kept_in", r->body_file != 0 ? SLICE("file") : SLICE("database"));
    put_selection(&o, r->selection);
    put_fields(&o, &e->fields, &l->meant->scratch);
    json_raw(&o, SLICE("}"));
    return o.overflow ? SLICE("{}") : (struct slice){ o.buffer, o.used };
}

static void drop_body(struct entry_body *b)
{
    free((char *)(uintptr_t)b->inline_bytes.ptr);
    if (b->is_set && b->fd >= 0)
        close(b->fd);
    *b = (struct entry_body){ .fd = -1 };
}

/* Opened now: eviction may take the file at any time. */
static void keep_body(struct looking *l, const struct store_record *r, int64_t worth)
{
    if (l->body.is_set && l->body.worth >= worth)
        return;
    drop_body(&l->body);
    l->body = (struct entry_body){ .is_set = true, .worth = worth, .bytes = r->body_bytes, .fd = -1 };
    if (r->body_file != 0) {
        l->body.fd = store_body_open(l->store, r);
        l->body.is_gone = l->body.fd < 0;
    } else if (store_inline_is_right(r)) {
        l->body.inline_bytes = (struct slice){ mem_copy(r->body), r->body.len };
    } else {
        l->body.is_gone = true;
    }
}

/* The newest first, and what is kept for validation only after all others. */
static int64_t worth_of(const struct store_record *r)
{
    return (int64_t)(r->id & INT64_MAX) - (r->invalidated ? INT64_MAX / 2 : 0);
}

static bool visit(void *context, const struct store_record *r)
{
    struct looking    *l = context;
    struct entry_facts e;

    arena_reset(&l->meant->scratch);
    if (!entry_is_meant(&l->meant->wish, &l->meant->reader, r, &l->meant->scratch, &e))
        return true;
    l->has_any = true;
    if (l->has_request && !entry_is_selected(&e, r, &l->request, &l->meant->scratch))
        return true;
    if (l->wants_body)
        keep_body(l, r, worth_of(r));
    else if (best_wants(&l->best, worth_of(r)))
        best_put(&l->best, worth_of(r), write_entry(l, r, &e));
    return true;
}

/* -- the answer: the worker's thread -- */

static void looking_free(void *state)
{
    struct looking *l = state;

    drop_body(&l->body);
    best_free(&l->best);
    meant_free(l->meant);
    free(l);
}

static void looking_cancel(void *state)
{
    struct looking *l = state;

    atomic_store_explicit(&l->walk.is_cancelled, true, memory_order_relaxed);
}

static void write_body(struct admin_call *call)
{
    struct entry_body *b = &((struct looking *)call->own.state)->body;
    char               piece[PIECE_BYTES];
    ssize_t            n = 1;

    while (admin_has_room(call) && b->given < b->bytes && n > 0) {
        size_t wanted = b->bytes - b->given < PIECE_BYTES ? (size_t)(b->bytes - b->given) : PIECE_BYTES;

        n = b->fd >= 0 ? pread(b->fd, piece, wanted, b->given) : (ssize_t)wanted;
        if (n > 0)
            admin_write(call, b->fd >= 0 ? (struct slice){ piece, (size_t)n }
                                         : slice_sub(b->inline_bytes, (size_t)b->given, (size_t)b->given + wanted));
        b->given += n > 0 ? n : 0;
    }
    if (b->given == b->bytes || n <= 0)
        admin_finish(call);
}

static void add_entry(void *context, struct slice text)
{
    struct looking *l = context;

    admin_write(l->call, l->has_row ? SLICE(",\n") : SLICE("\n"));
    admin_write(l->call, text);
    l->has_row = true;
}

static void write_entries(struct admin_call *call)
{
    struct looking *l = call->own.state;
    const bool      has_more = l->best.met > VARIANTS_MOST;

    admin_write(call, SLICE("{\"entries\": ["));
    best_take(&l->best, add_entry, l);
    admin_write(call, has_more ? SLICE("\n], \"more\": true}\n") : SLICE("\n], \"more\": false}\n"));
    admin_finish(call);
}

static void answer(struct looking *l)
{
    struct admin_call *call = l->call;

    if (l->wants_body ? !l->body.is_set : l->best.met == 0) {
        admin_answer_problem(call, PROBLEM_NOT_STORED,
                             l->has_any ? "Variants of that URL are stored, but none for a request with these fields; "
                                          "weirctl show without -H lists them."
                                        : "Nothing is stored of that URL; weirctl ls lists what is, and a glob finds "
                                          "others like it.");
        return;
    }
    if (l->wants_body && l->body.is_gone) {
        admin_answer_problem(call, PROBLEM_CACHE_UNREADABLE,
                             "The stored body is gone or damaged: the next request for it is answered anew.");
        return;
    }
    admin_start(call, 200, l->wants_body ? "application/octet-stream" : "application/json",
                l->wants_body ? write_body : write_entries);
    if (l->wants_body) {
        http_fields_add(&call->reply.fields, &call->arena, SLICE("X-Content-Type-Options"), SLICE("nosniff"));
        admin_promise(call, l->body.bytes);
    }
    admin_go_on(call);
}

static void walked(struct mail *m)
{
    struct looking *l = CONTAINER_OF(CONTAINER_OF(m, struct store_walk, done), struct looking, walk);

    if (!admin_resume(l->call))
        return;
    if (l->walk.ok)
        answer(l);
    else
        admin_answer_problem(l->call, PROBLEM_CACHE_UNREADABLE, "The database could not be read; the log says why.");
}

static void settled(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, change.done);
    struct looking    *l = call->own.state;

    if (!admin_has_changed(call, PROBLEM_CACHE_UNREADABLE, "The cache is broken; the log says why."))
        return;
    call->awaits_mail = true;
    store_walk(l->store, &l->walk);
}

/* -- what is asked for -- */

/* "Name: value" */
static bool take_header(struct looking *l, struct slice text, struct fault *why)
{
    size_t       colon = slice_find(text, ':', 0);
    struct slice name = slice_sub(text, 0, colon), value = slice_trim(slice_sub(text, colon + 1, text.len));

    if (colon == text.len || !http_is_token(name) || !http_is_field_value(value) || l->request.count >= HEADERS_MOST)
        return fault_set(why, "A header is \"Name: value\", and there are %d at most.", HEADERS_MOST), false;
    if (entry_tells_who(l->call->config, name))
        return fault_set(why,
                         "%.*s is a credential: of whose answers there are several, whose chooses, by what weirctl ls "
                         "-l "
                         "shows.",
                         (int)(name.len < 60 ? name.len : 60), name.ptr),
               false;
    http_fields_add(&l->request, &l->call->arena, name, value);
    l->has_request = true;
    return true;
}

static bool take(struct looking *l, struct slice name, struct slice value, struct fault *why)
{
    if (slice_eq(name, SLICE("header")))
        return take_header(l, value, why);
    if (slice_eq(name, SLICE("body")) && slice_eq(value, SLICE("1")))
        return l->wants_body = true;
    if (slice_eq(name, SLICE("url")) || slice_eq(name, SLICE("whose")) || slice_eq(name, SLICE("upstream")))
        return meant_take(l->meant, name, value, why) == MEANT_TAKEN;
    return fault_set(why, "There are url, whose, upstream, header and body=1."), false;
}

static bool read_wish(struct looking *l, struct fault *why)
{
    struct admin_call *call = l->call;
    struct slice       rest = call->query, parameter;

    while (http_query_next(&rest, &parameter)) {
        size_t equals = slice_find(parameter, '=', 0);

        if (parameter.len > 0 &&
            !take(l, slice_sub(parameter, 0, equals),
                  http_percent_decode(slice_sub(parameter, equals + 1, parameter.len), &call->arena), why))
            return false;
    }
    return l->meant->wish.urls != NULL || (fault_set(why, "Say url=URL."), false);
}

static void run(struct admin_call *call)
{
    struct looking *l = mem_alloc(sizeof *l);
    struct fault    why;

    l->call = call;
    l->store = call->admin->services->store;
    l->meant = meant_new(call);
    l->body.fd = -1;
    best_init(&l->best, VARIANTS_MOST);
    l->walk.visit = visit;
    l->walk.context = l;
    l->walk.reply_to = call->admin->mailbox;
    l->walk.done.receive = walked;
    call->own = (struct admin_own){ .state = l, .free = looking_free, .cancel = looking_cancel };
    if (!read_wish(l, &why)) {
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD, why.text);
        return;
    }
    call->change.kind = STORE_SETTLE;
    admin_submit_change(call, settled);
}

const struct endpoint endpoint_entry = { "/entry", HTTP_GET, run, ON_QUERY_SOCKET | WITHOUT_DAEMON };
