/*
 * A task as a row: numbers in the machine's order, texts after their length.  Another format is another number in the
 * owner below, whose rows are then set aside.
 *
 * What the client itself brought as a credential is in none of them: taking.c has left it out.
 */
#include "jobs/task.h"

#include <stdlib.h>

enum { FIELDS_MOST = 4096 };

/* -- writing -- */

struct row_out {
    char  *bytes;
    size_t used, room;
};

static void put(struct row_out *o, const void *bytes, size_t count)
{
    MEM_ROOM(o->bytes, o->room, o->used + count);
    if (count > 0)
        memcpy(o->bytes + o->used, bytes, count);
    o->used += count;
}

static void put_number(struct row_out *o, int64_t n)
{
    put(o, &n, sizeof n);
}

static void put_text(struct row_out *o, struct slice s)
{
    put_number(o, s.ptr != NULL ? (int64_t)s.len : -1);
    if (s.ptr != NULL)
        put(o, s.ptr, s.len);
}

static void put_fields(struct row_out *o, const struct http_fields *f)
{
    put_number(o, f->count);
    for (unsigned i = 0; i < f->count; i++) {
        put_text(o, f->items[i].name);
        put_text(o, f->items[i].value);
    }
}

static void put_body(struct row_out *o, const struct task_body *b)
{
    put_number(o, b->bytes);
    put_number(o, b->is_in_file);
    put_text(o, b->text);
}

static void put_asked(struct row_out *o, const struct task *t)
{
    const struct task_asked *a = &t->asked;

    put_text(o, a->request.method_name);
    put_text(o, a->shown);
    put_number(o, a->request.version_minor);
    put_fields(o, &a->kept);
    put_text(o, a->upstream);
    put_text(o, a->upstreams);
    put_text(o, a->connected);
    put_text(o, a->proxy_user);
    put_number(o, a->is_tls);
    put_number(o, a->has_body);
    put_text(o, slice_of(a->peer_name));
    put_number(o, a->peer.has_uid ? (int64_t)a->peer.uid : -1);
    put_text(o, (struct slice){ (const char *)a->peer.address, a->peer.address_bytes });
    put_body(o, &t->body);
}

static void put_answer(struct row_out *o, const struct task_answer *a)
{
    put_number(o, a->status);
    put_number(o, a->length);
    put_number(o, a->is_empty);
    put_fields(o, &a->kept);
    put_body(o, &a->body);
}

struct slice row_of_task(const struct task *t, enum task_state state)
{
    struct row_out o = { 0 };
    const bool     has_answer = t->answer != NULL && state < TASK_EXPIRED;

    put_number(&o, state == TASK_RUNNING ? TASK_QUEUED : state);
    put_number(&o, (int64_t)t->number);
    put_number(&o, t->slot);
    put_number(&o, (int64_t)t->seq);
    put_number(&o, t->created_wall_ns);
    put_number(&o, t->ended_wall_ns);
    put(&o, &t->owner, sizeof t->owner);
    put_number(&o, t->has_key);
    put(&o, &t->key, sizeof t->key);
    put(&o, &t->content, sizeof t->content);
    put_number(&o, t->is_batch);
    put_number(&o, t->may_repeat);
    put_number(&o, t->own_credential);
    put_number(&o, t->was_sent);
    put_number(&o, t->was_read);
    put_asked(&o, t);
    put_number(&o, has_answer);
    if (has_answer)
        put_answer(&o, t->answer);
    return (struct slice){ o.bytes, o.used };
}

/* -- reading -- */

struct row_in {
    struct slice  left;
    struct arena *arena;
    bool          broken;
};

static void take(struct row_in *in, void *out, size_t count)
{
    memset(out, 0, count);
    in->broken = in->broken || in->left.len < count;
    if (in->broken)
        return;
    if (count > 0)
        memcpy(out, in->left.ptr, count);
    in->left = slice_sub(in->left, count, in->left.len);
}

static int64_t take_number(struct row_in *in)
{
    int64_t n;

    take(in, &n, sizeof n);
    return n;
}

static struct slice take_text(struct row_in *in)
{
    const int64_t length = take_number(in);
    struct slice  s;

    if (in->broken || length < 0)
        return SLICE_NONE;
    in->broken = (uint64_t)length > in->left.len;
    if (in->broken)
        return SLICE_NONE;
    s = arena_copy(in->arena, slice_sub(in->left, 0, (size_t)length));
    in->left = slice_sub(in->left, (size_t)length, in->left.len);
    return s;
}

static void take_fields(struct row_in *in, struct http_fields *f)
{
    const int64_t count = take_number(in);

    in->broken = in->broken || count < 0 || count > FIELDS_MOST;
    for (int64_t i = 0; i < count && !in->broken; i++) {
        struct slice name = take_text(in), value = take_text(in);

        in->broken = in->broken || name.ptr == NULL || value.ptr == NULL;
        if (!in->broken)
            http_fields_add(f, in->arena, name, value);
    }
}

static void take_body(struct row_in *in, struct task_body *b)
{
    b->bytes = take_number(in);
    b->is_in_file = take_number(in) != 0;
    b->text = take_text(in);
    in->broken = in->broken || b->bytes < 0 || (b->text.ptr != NULL && (int64_t)b->text.len != b->bytes);
}

static void take_peer(struct row_in *in, struct task_asked *a)
{
    struct slice name = take_text(in), address;
    int64_t      uid = take_number(in);

    address = take_text(in);
    if (in->broken || name.len >= sizeof a->peer_name || address.len > sizeof a->peer.address) {
        in->broken = true;
        return;
    }
    if (name.len > 0)
        memcpy(a->peer_name, name.ptr, name.len);
    a->peer = (struct peer){ .has_uid = uid >= 0, .gid = (gid_t)-1, .address_bytes = (unsigned)address.len };
    if (uid >= 0)
        a->peer.uid = (uid_t)uid;
    if (address.len > 0)
        memcpy(a->peer.address, address.ptr, address.len);
}

static void take_asked(struct row_in *in, struct task *t)
{
    struct task_asked *a = &t->asked;

    a->request.method_name = take_text(in);
    a->request.method = http_method_parse(a->request.method_name);
    a->request.target = a->shown = take_text(in);
    a->request.version_minor = (unsigned)take_number(in);
    take_fields(in, &a->kept);
    a->request.fields = a->kept;
    a->upstream = take_text(in);
    a->upstreams = take_text(in);
    a->connected = take_text(in);
    a->proxy_user = take_text(in);
    a->is_tls = take_number(in) != 0;
    a->has_body = take_number(in) != 0;
    take_peer(in, a);
    take_body(in, &t->body);
}

static void take_answer(struct row_in *in, struct task_answer *a)
{
    a->status = (unsigned)take_number(in);
    a->length = take_number(in);
    a->is_empty = take_number(in) != 0;
    take_fields(in, &a->kept);
    a->fields = a->kept;
    take_body(in, &a->body);
}

struct task *row_read(struct jobs *jobs, struct slice id, struct slice row)
{
    struct task  *t;
    struct row_in in = { .left = row };
    int64_t       state;

    if (id.len != TASK_ID_LENGTH)
        return NULL;
    t = task_new(jobs);
    in.arena = &t->arena;
    memcpy(t->id, id.ptr, TASK_ID_LENGTH);
    t->is_loaded = t->row.is_there = true;
    state = take_number(&in);
    t->number = (uint64_t)take_number(&in);
    t->slot = (unsigned)take_number(&in);
    t->seq = (uint64_t)take_number(&in);
    t->created_wall_ns = take_number(&in);
    t->ended_wall_ns = take_number(&in);
    take(&in, &t->owner, sizeof t->owner);
    t->has_key = take_number(&in) != 0;
    take(&in, &t->key, sizeof t->key);
    take(&in, &t->content, sizeof t->content);
    t->is_batch = take_number(&in) != 0;
    t->may_repeat = take_number(&in) != 0;
    t->own_credential = take_number(&in) != 0;
    t->was_sent = take_number(&in) != 0;
    t->was_read = take_number(&in) != 0;
    take_asked(&in, t);
    if (take_number(&in) != 0 && !in.broken) {
        t->answer = task_answer_new();
        in.arena = &t->answer->arena;
        take_answer(&in, t->answer);
    }
    t->state = (enum task_state)state;
    if (in.broken || in.left.len > 0 || state < TASK_QUEUED || state > TASK_EXPIRED ||
        (t->answer == NULL && (state == TASK_DONE || state == TASK_FAILED))) {
        task_release(t);
        return NULL;
    }
    return t;
}
