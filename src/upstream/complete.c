/*
 * A stored part is completed (RFC 9111 3.4): the request asked for what it
 * lacks, on the condition that the representation is still the same, and the
 * two become the whole that is answered with and stored.
 *
 * complete_head() and complete_end() run inside the attempt's callbacks and
 * at its end.
 */
#include "upstream/internal.h"

#include "policy/range.h"
#include "policy/validate.h"

/* What the API sends and where the stored bytes go: in front of it or after. */
struct join {
    struct byte_range sent;
    struct slice      front, back;
    int64_t           complete;
};

static bool join_parts(const struct fetch *f, const struct answer *a, struct join *j)
{
    struct stored_response other = { .head = a->head, .body_bytes = a->content_length };
    struct byte_range      held;
    struct slice           body = f->stored.part;
    int64_t                complete;

    if (!policy_parts_combine(&f->stored.head, &other) || !policy_part_of(&f->stored.head, &held, &complete) ||
        !policy_part_of(&other, &j->sent, &j->complete) || complete < 0)
        return false;
    j->front = j->back = SLICE("");
    j->complete = complete;
    if (held.first == 0 && j->sent.last + 1 == complete)
        j->front = slice_sub(body, 0, (size_t)j->sent.first);
    else if (held.last + 1 == complete && j->sent.first == 0)
        j->back = slice_sub(body, (size_t)(j->sent.last + 1 - held.first), body.len);
    else
        return false;
    return true;
}

bool complete_head(struct turn *t)
{
    struct answer     *a = t->answer;
    struct http_fields update = a->head.fields;
    struct fault       why;
    struct join        j;

    if (!join_parts(t->fetch, a, &j))
        return false;
    t->part_bytes = j.sent.last - j.sent.first + 1;
    t->part_tail = j.back;
    a->head.status = 200;
    a->head.fields = policy_freshen(&t->fetch->stored.head.head.fields, &update, t->fetch->policy->own_limits,
                                    &a->arena);
    http_fields_remove(&a->head.fields, HTTP_CONTENT_RANGE);
    a->content_length = j.complete;
    if (j.front.len > 0 && spool_write(a->body, j.front.ptr, j.front.len, &why) != 0)
        t->stop = STOP_DISK;
    return true;
}

bool complete_end(struct turn *t)
{
    struct fault why;

    if (t->part_bytes == 0)
        return true;
    return t->body_bytes == t->part_bytes &&
           (t->part_tail.len == 0 || spool_write(t->answer->body, t->part_tail.ptr, t->part_tail.len, &why) == 0);
}
