/*
 * An exchange that is being recorded.
 *
 * Nothing of it is written before its end, but bodies that are large, into files without a name.  Then it is masked and
 * searched, and goes into the writer's journal in one write: so a kill leaves whole exchanges.
 */
#include "snapshot/writer.h"

#include <errno.h>
#include <stdlib.h>

struct snapshot_recording {
    struct snapshot_writer  *writer;
    struct arena             arena;
    struct secrets_known    *own; /* the request's own credentials */
    struct slice             raw_url;
    struct http_fields       raw_request, raw_response, raw_trailers;
    struct snapshot_exchange x;
    unsigned                 interim_room, timing_room;
    struct snapshot_piece   *timing;
    struct spooled_body      sent, came;
};

struct snapshot_recording *snapshot_record(struct snapshot_writer *w, struct slice method, struct slice url,
                                           const struct http_fields *fields, int64_t time_ms)
{
    struct snapshot_recording *r = mem_alloc(sizeof *r);

    r->writer = w;
    r->own = secrets_known_open();
    r->raw_url = arena_copy(&r->arena, url);
    r->raw_request = http_fields_copy(fields, &r->arena);
    r->x.method = arena_copy(&r->arena, method);
    r->x.time_ms = time_ms;
    r->x.had_credential = redact_learn(&w->redaction, r->own, url, fields);
    redact_learn(&w->redaction, w->secrets, url, fields);
    return r;
}

void snapshot_record_secret(struct snapshot_recording *r, struct slice value)
{
    r->x.had_credential = true;
    redact_learn_value(r->own, value, &r->arena);
    redact_learn_value(r->writer->secrets, value, &r->arena);
}

void snapshot_record_sent(struct snapshot_recording *r, const void *bytes, size_t count)
{
    spooled_body_add(&r->sent, r->writer, bytes, count);
}

void snapshot_record_interim(struct snapshot_recording *r, unsigned status, const struct http_fields *fields)
{
    ARENA_ROOM(&r->arena, r->x.interims, r->interim_room, r->x.interim_count);
    r->x.interims[r->x.interim_count++] = (struct snapshot_interim){ .status = status,
                                                                     .fields = http_fields_copy(fields, &r->arena) };
}

void snapshot_record_head(struct snapshot_recording *r, unsigned status, const struct http_fields *fields)
{
    r->x.status = status;
    r->raw_response = http_fields_copy(fields, &r->arena);
    redact_learn_cookies(r->writer->secrets, fields);
}

void snapshot_record_came(struct snapshot_recording *r, const void *bytes, size_t count, int64_t at_ms)
{
    spooled_body_add(&r->came, r->writer, bytes, count);
    if (at_ms < 0 || count == 0)
        return;
    ARENA_ROOM(&r->arena, r->timing, r->timing_room, r->x.timing_count);
    r->timing[r->x.timing_count++] = (struct snapshot_piece){ at_ms, r->came.total };
}

void snapshot_record_trailer(struct snapshot_recording *r, struct slice name, struct slice value)
{
    http_fields_add(&r->raw_trailers, &r->arena, arena_copy(&r->arena, name), arena_copy(&r->arena, value));
}

/* ---- its end ---- */

static struct http_fields masked_by_all(const struct snapshot_writer *w, const struct http_fields *f, struct arena *a)
{
    struct http_fields made = http_fields_copy(f, a);

    for (unsigned i = 0; i < made.count; i++)
        made.items[i].value = secrets_known_mask(w->secrets, made.items[i].value, a);
    return made;
}

static enum snapshot_kept holds_secret(const struct snapshot_recording *r, const char *where, struct fault *why)
{
    fault_set(why,
              SLICE_FMT " " SLICE_FMT ": a credential stands in %s, and nothing of the exchange was kept; mask it "
                        "with redact, as in \"json:/access_token\"",
              SLICE_ARG(r->x.method), SLICE_ARG(r->x.url), where);
    return SNAPSHOT_SECRET;
}

static enum snapshot_kept failed(const struct snapshot_recording *r, struct fault *why)
{
    struct fault inner = *why;

    fault_set(why, SLICE_FMT " " SLICE_FMT " was not kept: %.700s", SLICE_ARG(r->x.method), SLICE_ARG(r->x.url),
              inner.text);
    return SNAPSHOT_FAILED;
}

static int keep(struct snapshot_recording *r, struct slice sent, struct slice came, struct fault *why)
{
    struct snapshot_writer *w = r->writer;
    const uint64_t          at = w->journal.bytes;

    r->x.body.bytes = came.len;
    r->x.request_body.bytes = sent.len;
    if (journal_add(&w->journal, &r->x, sent, came, why) != 0)
        return -1;
    MEM_ROOM(w->marks, w->mark_room, w->mark_count + 1);
    w->marks[w->mark_count++] = (struct writer_mark){ at, secrets_known_count(w->secrets) };
    if (w->tell != NULL)
        w->tell(w->context, &r->x, sent, came, w->journal.fd, w->journal.bytes - came.len);
    return 0;
}

static enum snapshot_kept end_masked(struct snapshot_recording *r, struct redacted_body sent, struct redacted_body came,
                                     struct fault *why)
{
    struct snapshot_writer *w = r->writer;
    size_t                  start, end;

    if (secrets_known_find(w->secrets, 0, sent.plain, 0, &start, &end))
        return holds_secret(r, "the request's body", why);
    if (secrets_known_find(w->secrets, 0, came.plain, 0, &start, &end))
        return holds_secret(r, "the answer's body", why);
    if (secrets_known_find(w->secrets, 0, r->x.url, 0, &start, &end))
        return holds_secret(r, "its URL", why);
    if (keep(r, sent.bytes, came.bytes, why) != 0)
        return failed(r, why);
    return SNAPSHOT_KEPT;
}

/* Bodies come first: what is masked in them is known then, and masked in fields. */
static enum snapshot_kept end_whole(struct snapshot_recording *r, struct slice sent, struct slice came,
                                    struct fault *why)
{
    struct snapshot_writer *w = r->writer;
    const struct redaction *mask = &w->redaction;
    struct redacted_body    request, answer;

    r->x.url = redact_url(mask, r->own, r->raw_url, &r->arena);
    r->x.request = redact_request(mask, r->own, &r->raw_request, &r->arena);
    request = redact_body(mask, w->secrets, true, &r->x.request, sent, &r->arena);
    answer = redact_body(mask, w->secrets, false, &r->raw_response, came, &r->arena);
    r->x.request = masked_by_all(w, &r->x.request, &r->arena);
    r->x.response = redact_answer(mask, w->secrets, &r->raw_response, &r->arena);
    r->x.trailers = redact_answer(mask, w->secrets, &r->raw_trailers, &r->arena);
    for (unsigned i = 0; i < r->x.interim_count; i++)
        r->x.interims[i].fields = redact_answer(mask, w->secrets, &r->x.interims[i].fields, &r->arena);
    r->x.error = secrets_known_mask(w->secrets, r->x.error, &r->arena);
    return end_masked(r, request, answer, why);
}

enum snapshot_kept snapshot_record_end(struct snapshot_recording *r, enum snapshot_end end, struct slice error,
                                       int64_t took_ms, struct fault *why)
{
    struct slice       sent, came;
    enum snapshot_kept kept;

    r->x.end = end;
    r->x.error = error;
    r->x.took_ms = took_ms;
    r->x.timing = r->timing;
    if (spooled_body_whole(&r->sent, &sent) && spooled_body_whole(&r->came, &came)) {
        kept = end_whole(r, sent, came, why);
    } else {
        fault_set_errno(why, errno, "a body");
        kept = failed(r, why);
    }
    snapshot_record_drop(r);
    return kept;
}

void snapshot_record_drop(struct snapshot_recording *r)
{
    if (r == NULL)
        return;
    spooled_body_free(&r->sent);
    spooled_body_free(&r->came);
    secrets_known_close(r->own);
    arena_free(&r->arena);
    free(r);
}
