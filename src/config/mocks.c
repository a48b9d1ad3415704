/*
 * Mocks: what a dry run answers, and what is injected.
 */
#include "config/snapshot.h"

#include "base/arena.h"

#include <errno.h>
#include <libconfig.h>
#include <string.h>
#include <sys/stat.h>

enum { BODY_MOST = 16 * 1024 * 1024, OK_STATUS = 200 };

#define MILLION 1000000.0

static bool is_set(const struct set_mock *m)
{
    return m->status != INT_NOT_SET || m->headers != NULL || m->body != NULL || m->body_file != NULL ||
           m->delay_ns >= 0 || m->share >= 0.0;
}

/* NULL, or why it cannot be had. */
static const char *read_file(const char *path, struct arena *a, struct slice *out)
{
    const char *wrong = NULL;
    struct stat about;
    FILE       *in = fopen(path, "rb");
    char       *text;

    if (in == NULL)
        return strerror(errno);
    if (fstat(fileno(in), &about) != 0 || !S_ISREG(about.st_mode)) {
        wrong = "it is no file";
    } else if (about.st_size > BODY_MOST) {
        wrong = "it is larger than 16MiB";
    } else {
        text = arena_alloc(a, (size_t)about.st_size + 1);
        *out = (struct slice){ text, fread(text, 1, (size_t)about.st_size, in) };
    }
    fclose(in);
    return wrong;
}

static bool may_have_body(unsigned status)
{
    return status != 204 && status != 205 && status != 304;
}

void review_mock(struct reader *r, const config_setting_t *owner, const struct set_mock *m)
{
    const config_setting_t *group = reader_member(owner, "mock");
    struct arena            a = { 0 };
    struct slice            content = SLICE_NONE;
    const char             *wrong = m->body_file != NULL ? read_file(m->body_file, &a, &content) : NULL;

    arena_free(&a);
    if (wrong != NULL)
        reader_error(r, group, "body_file", "\"%s\" cannot be read: %s", m->body_file, wrong);
    if (m->body != NULL && m->body_file != NULL)
        reader_error(r, group, "body_file", "a mock has one body; take body or body_file out");
    else if ((m->body != NULL || m->body_file != NULL) && m->status != INT_NOT_SET && !may_have_body(m->status))
        reader_error(r, group, "status", "an answer with %u has no body; take the body out", m->status);
}

static bool begins_as_json(struct slice body)
{
    body = slice_trim(body);
    return body.len > 0 && (body.ptr[0] == '{' || body.ptr[0] == '[' || body.ptr[0] == '"');
}

static struct http_fields fields_of(struct arena *a, const struct set_mock *m, struct slice body)
{
    struct http_fields f = { 0 };

    for (const char *const *h = m->headers; h != NULL && *h != NULL; h++) {
        struct slice all = slice_of(*h), name = slice_sub(all, 0, slice_find(all, ':', 0));

        http_fields_add(&f, a, name, slice_trim(slice_sub(all, name.len + 1, all.len)));
    }
    if (body.len > 0 && http_fields_find(&f, HTTP_CONTENT_TYPE, 0) < 0)
        http_fields_add_id(&f, a, HTTP_CONTENT_TYPE,
                           begins_as_json(body) ? SLICE("application/json") : SLICE("text/plain; charset=utf-8"));
    return f;
}

const struct mock_options *mock_resolve(struct snapshot *snap, const struct set_mock *m)
{
    struct mock_options *out;

    if (!is_set(m))
        return NULL;
    out = arena_alloc(&snap->arena, sizeof *out);
    out->status = m->status != INT_NOT_SET ? m->status : OK_STATUS;
    out->body = m->body != NULL ? slice_of(m->body) : SLICE("");
    if (m->body_file != NULL)
        read_file(m->body_file, &snap->arena, &out->body); /* review_mock() has seen that it can be read */
    out->headers = fields_of(&snap->arena, m, out->body);
    out->delay_ns = m->delay_ns > 0 ? m->delay_ns : 0;
    out->has_share = m->share >= 0.0;
    out->share_millionths = out->has_share ? (unsigned)(m->share * MILLION + 0.5) : (unsigned)MILLION;
    out->requests = arena_alloc(&snap->arena, sizeof *out->requests);
    return out;
}
