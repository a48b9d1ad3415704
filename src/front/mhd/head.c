/*
 * What is read of a request's head: its fields out of libmicrohttpd's memory, and whether it came before.
 */
#include "front/mhd/call.h"

#include "base/clock.h"

static enum MHD_Result add_field(void *context, enum MHD_ValueKind kind, const char *name, size_t name_bytes,
                                 const char *value, size_t value_bytes)
{
    struct call *call = context;

    (void)kind;
    rawhead_field(&call->raw, name, name_bytes, value != NULL ? value : name + name_bytes + 1, value_bytes);
    http_fields_add(&call->request.fields, &call->arena, (struct slice){ name, name_bytes },
                    slice_trim((struct slice){ value != NULL ? value : "", value != NULL ? value_bytes : 0 }));
    return MHD_YES;
}

static enum MHD_Result pass_field(void *context, enum MHD_ValueKind kind, const char *name, size_t name_bytes,
                                  const char *value, size_t value_bytes)
{
    (void)kind;
    rawhead_field(context, name, name_bytes, value != NULL ? value : name + name_bytes + 1, value_bytes);
    return MHD_YES;
}

bool call_find_kept(struct call *call, const char *method, const char *version, size_t head_bytes)
{
    struct worker *w = call->worker;
    struct rawhead raw;
    int64_t        now_wall_ns;

    if (call->connection->kind != LISTENER_DATA || w->stop.is_asked || strcmp(method, MHD_HTTP_METHOD_GET) != 0)
        return false;
    rawhead_begin(&raw, call->raw_target, call->target.len, version);
    MHD_get_connection_values_n(call->mhd, MHD_HEADER_KIND, pass_field, &raw);
    call->head.rest = rawhead_rest(&raw, method, head_bytes, version);
    if (call->head.rest.ptr == NULL)
        return false;
    call->head = kept_head(call->target, call->head.rest);
    now_wall_ns = clock_wall_ns();
    call->kept = kept_find(w->kept.table, &call->head, w->engine, now_wall_ns);
    if (call->kept == NULL)
        return false;
    kept_use(call->kept);
    call->repetition = repeat_begin(call->kept->repeat, w->engine, now_wall_ns);
    return true;
}

void call_read_head(struct call *call, const char *method, const char *version)
{
    struct http_request *r = &call->request;
    struct slice         length;

    r->method_name = slice_of(method);
    r->method = http_method_parse(r->method_name);
    r->target = call->target;
    r->version_minor = strcmp(version, MHD_HTTP_VERSION_1_0) == 0 ? 0 : 1;
    rawhead_begin(&call->raw, call->raw_target, call->target.len, version);
    if (call->worker->calls.count > MANY_CALLS)
        http_fields_reserve(&r->fields, &call->arena,
                            (unsigned)MHD_get_connection_values_n(call->mhd, MHD_HEADER_KIND, NULL, NULL));
    MHD_get_connection_values_n(call->mhd, MHD_HEADER_KIND, add_field, call);
    length = http_fields_get(&r->fields, HTTP_CONTENT_LENGTH);
    call->body_bytes = 0;
    if (http_fields_find(&r->fields, HTTP_TRANSFER_ENCODING, 0) >= 0)
        call->body_bytes = -1;
    else if (length.ptr != NULL && !slice_to_int64(length, &call->body_bytes))
        call->body_bytes = -1; /* MHD may see a number there: it is refused before that body is waited for */
    call->has_body = call->body_bytes != 0;
}

/* Of its pool MHD uses this much for each field and each pair of the first Cookie, which it also copies. */
static size_t record_bytes(const struct http_fields *f)
{
    enum { RECORD_BYTES = 64 };
    struct slice cookie = http_fields_get(f, HTTP_COOKIE);
    size_t       records = f->count + 1;

    for (size_t i = 0; i < cookie.len; i++)
        records += cookie.ptr[i] == ';' || cookie.ptr[i] == ',';
    return records * RECORD_BYTES + cookie.len;
}

bool call_head_fits(const struct call *call, size_t head_bytes)
{
    return head_bytes + record_bytes(&call->request.fields) + CALL_ANSWER_ROOM <= POOL_BYTES;
}

size_t call_head_bytes(const struct call *call)
{
    size_t n = call->target.len + call->request.method_name.len + 16;

    for (unsigned i = 0; i < call->request.fields.count; i++)
        n += call->request.fields.items[i].name.len + call->request.fields.items[i].value.len + 4;
    return n;
}
