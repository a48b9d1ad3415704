/*
 * A search through what was written, for credentials that were learned after it: in fields they are masked, and an
 * exchange with one in its URL or a body is dropped.  Bodies are read in pieces.
 */
#include "snapshot/writer.h"

#include "http/inflate.h"

#include <stdlib.h>

enum { SEARCH_BYTES = 1024 * 1024, CODED_BYTES = 64 * 1024 };

/* ---- bodies ---- */

/* Without its coding, where it has one that is read here. */
struct body_pieces {
    int                        fd;
    const struct journal_body *body;
    uint64_t                   at;
    struct inflater           *inflater;
    char                       coded[CODED_BYTES];
};

static size_t read_on(struct body_pieces *p, char *out, size_t room)
{
    size_t count = p->body->bytes - p->at < room ? (size_t)(p->body->bytes - p->at) : room;

    if (count == 0 || !journal_read_body(p->fd, p->body, p->at, out, count))
        return 0;
    p->at += count;
    return count;
}

static size_t next_piece(struct body_pieces *p, char *out, size_t room)
{
    size_t count = 0, got;
    bool   sound = true;

    if (p->inflater == NULL)
        return read_on(p, out, room);
    while ((count = inflater_take(p->inflater, out, room, &sound)) == 0 && sound) {
        got = read_on(p, p->coded, sizeof p->coded);
        if (got == 0)
            return 0;
        inflater_feed(p->inflater, p->coded, got);
    }
    return count;
}

static bool pieces_hold_secret(const struct secrets_known *s, unsigned known, struct body_pieces *p)
{
    size_t used = 0, start, end, keep = secrets_known_longest(s), got;
    char  *text = mem_alloc_raw(keep + SEARCH_BYTES);
    bool   found = false;

    while (!found && (got = next_piece(p, text + used, keep + SEARCH_BYTES - used)) > 0) {
        used += got;
        found = secrets_known_find(s, known, (struct slice){ text, used }, 0, &start, &end);
        if (used > keep) { /* what begins in here may end in the next piece */
            memmove(text, text + used - keep, keep);
            used = keep;
        }
    }
    free(text);
    return found;
}

static bool body_holds_secret(int fd, const struct secrets_known *s, unsigned known, const struct http_fields *f,
                              const struct journal_body *b)
{
    struct body_pieces p = { .fd = fd, .body = b };
    bool               found;

    if (b->bytes == 0)
        return false;
    p.inflater = inflater_open_any(f);
    found = pieces_hold_secret(s, known, &p);
    inflater_close(p.inflater);
    return found;
}

/* ---- fields ---- */

static bool mask_text(const struct secrets_known *s, struct slice *text, struct arena *a)
{
    struct slice masked = secrets_known_mask(s, *text, a);
    bool         changed = masked.ptr != text->ptr;

    *text = masked;
    return changed;
}

static bool mask_fields(const struct secrets_known *s, struct http_fields *f, struct arena *a)
{
    bool changed = false;

    for (unsigned i = 0; i < f->count; i++)
        changed = mask_text(s, &f->items[i].value, a) || changed;
    return changed;
}

static bool mask_all(const struct secrets_known *s, struct snapshot_exchange *x, struct arena *a)
{
    bool changed = mask_fields(s, &x->request, a);

    changed = mask_fields(s, &x->response, a) || changed;
    changed = mask_fields(s, &x->trailers, a) || changed;
    for (unsigned i = 0; i < x->interim_count; i++)
        changed = mask_fields(s, &x->interims[i].fields, a) || changed;
    return mask_text(s, &x->error, a) || changed;
}

/* ---- exchanges ---- */

static int sift_one(struct journal *j, const struct secrets_known *s, struct journal_record *r, unsigned known,
                    size_t *taken_out, struct arena *a, struct fault *why)
{
    struct fault first;
    size_t       start, end;

    if (r->kind != JOURNAL_EXCHANGE && r->kind != JOURNAL_MASKED)
        return 0;
    if (secrets_known_find(s, known, r->x.url, 0, &start, &end) ||
        body_holds_secret(j->fd, s, known, &r->x.request, &r->sent) ||
        body_holds_secret(j->fd, s, known, &r->x.response, &r->came)) {
        fault_set(&first,
                  SLICE_FMT " " SLICE_FMT ": a credential that was used later stands in it, and nothing of the "
                            "exchange was kept; mask it with redact, as in \"json:/access_token\"",
                  SLICE_ARG(r->x.method), SLICE_ARG(secrets_known_mask(s, r->x.url, a)));
        if (journal_drop(j, r, why) != 0)
            return -1;
        if ((*taken_out)++ == 0)
            *why = first;
        return 0;
    }
    return mask_all(s, &r->x, a) ? journal_mask(j, r, &r->x, why) : 0;
}

int sift_marked(struct journal *j, const struct secrets_known *s, const struct writer_mark *marks, size_t count,
                size_t *taken_out, struct fault *why)
{
    struct journal_record r;
    struct arena          a = { 0 };
    int                   result = 0;

    for (size_t i = 0; i < count && result == 0; i++) {
        if (marks[i].known < secrets_known_count(s) && journal_read(j->fd, marks[i].at, &r, &a) == JOURNAL_GOT)
            result = sift_one(j, s, &r, marks[i].known, taken_out, &a, why);
        arena_reset(&a);
    }
    arena_free(&a);
    return result;
}

int sift_journal(struct journal *j, const struct secrets_known *s, size_t *taken_out, struct fault *why)
{
    struct journal_record r = { .next = 0 };
    struct arena          a = { 0 };
    const uint64_t        end = j->bytes; /* what is masked comes after it */
    int                   result = 0;

    while (secrets_known_count(s) > 0 && result == 0 && r.next < end &&
           journal_read(j->fd, r.next, &r, &a) == JOURNAL_GOT) {
        result = sift_one(j, s, &r, 0, taken_out, &a, why);
        arena_reset(&a);
    }
    arena_free(&a);
    return result;
}
