/*
 * A check of JSON after an inflater, where there is a coding.
 */
#include "upstream/body_check.h"

#include "base/arena.h"
#include "http/json_check.h"
#include "http/media.h"
#include "http/plain_body.h"

#include <stdlib.h>

struct body_check {
    struct plain_body plain;
    struct json_check json;
};

static bool is_judged(const struct http_response *head)
{
    return head->status >= 200 && head->status < 300 && head->status != 204 && head->status != 205 &&
           head->status != 206 && http_media_is_json(http_fields_get(&head->fields, HTTP_CONTENT_TYPE));
}

struct body_check *body_check_open(const struct http_response *head)
{
    struct plain_body  plain;
    struct body_check *b;

    if (!is_judged(head) || !plain_body_open(&plain, &head->fields))
        return NULL;
    b = mem_alloc(sizeof *b);
    b->plain = plain;
    return b;
}

void body_check_close(struct body_check *b)
{
    if (b != NULL)
        plain_body_close(&b->plain);
    free(b);
}

static bool take(void *context, const char *bytes, size_t count)
{
    return json_check_feed(context, bytes, count);
}

bool body_check_feed(struct body_check *b, const char *bytes, size_t count)
{
    if (!json_check_feed(&b->json, "", 0))
        return false;
    return plain_body_feed(&b->plain, bytes, count, take, &b->json);
}

bool body_check_end(const struct body_check *b)
{
    return plain_body_is_whole(&b->plain) && json_check_end(&b->json);
}
