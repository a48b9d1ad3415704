/*
 * A check of JSON after an inflater, where there is a coding.
 */
#include "upstream/body_check.h"

#include "base/arena.h"
#include "http/inflate.h"
#include "http/media.h"
#include "http/json_check.h"

#include <stdlib.h>

enum {
    PLAIN_BYTES = 16 * 1024,       /* of what is inflated at a time */
    FREE_BYTES = 32 * 1024 * 1024, /* inflated from however little */
    TIMES_MOST = 100               /* beyond that: as much as what came. All others wait while it is read */
};

struct body_check {
    struct inflater  *coding; /* NULL: none */
    bool              broken; /* the coding is, or it is a bomb */
    uint64_t          coded_bytes, plain_bytes;
    struct json_check json;
};

static bool is_judged(const struct http_response *head)
{
    return head->status >= 200 && head->status < 300 && head->status != 204 && head->status != 205 &&
           head->status != 206 && http_media_is_json(http_fields_get(&head->fields, HTTP_CONTENT_TYPE));
}

/* No coding, or the one that says so (RFC 9110 8.4.1 has it for Accept-Encoding alone; some send it). */
static bool is_plain(const struct http_fields *f)
{
    struct slice coding = slice_trim(http_fields_get(f, HTTP_CONTENT_ENCODING));

    return http_fields_count(f, HTTP_CONTENT_ENCODING) <= 1 &&
           (coding.len == 0 || slice_eq_nocase(coding, SLICE("identity")));
}

struct body_check *body_check_open(const struct http_response *head)
{
    struct inflater   *coding = NULL;
    struct body_check *b;

    if (!is_judged(head))
        return NULL;
    if (!is_plain(&head->fields) && (coding = inflater_open(&head->fields)) == NULL)
        return NULL;
    b = mem_alloc(sizeof *b);
    b->coding = coding;
    return b;
}

void body_check_close(struct body_check *b)
{
    if (b != NULL)
        inflater_close(b->coding);
    free(b);
}

/* Two megabytes may hold two thousand of nothing. */
static bool is_bomb(const struct body_check *b)
{
    return b->plain_bytes > FREE_BYTES && b->plain_bytes / TIMES_MOST > b->coded_bytes;
}

bool body_check_feed(struct body_check *b, const char *bytes, size_t count)
{
    char   plain[PLAIN_BYTES];
    size_t got;
    bool   sound = true;

    if (b->coding == NULL)
        return json_check_feed(&b->json, bytes, count);
    if (b->broken || !json_check_feed(&b->json, "", 0))
        return false;
    inflater_feed(b->coding, bytes, count);
    b->coded_bytes += count;
    while (!is_bomb(b) && (got = inflater_take(b->coding, plain, sizeof plain, &sound)) > 0) {
        b->plain_bytes += got;
        if (!json_check_feed(&b->json, plain, got))
            return false;
    }
    b->broken = !sound || is_bomb(b);
    return !b->broken;
}

bool body_check_end(const struct body_check *b)
{
    return !b->broken && json_check_end(&b->json) && (b->coding == NULL || inflater_is_whole(b->coding));
}
