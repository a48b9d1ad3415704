/*
 * A name is nobody's proof: who gives himself another stands in another
 * place of the queue, and that is all there is to win.
 */
#include "engine/client.h"

#include <sodium.h>

enum { USER_BYTES = 128 };

/* The user of "Basic dXNlcjpwYXNz"; ptr NULL where there is none. The password is forgotten at once. */
static struct slice proxy_user(const struct http_fields *f, struct arena *a)
{
    struct slice value = http_fields_get(f, HTTP_PROXY_AUTHORIZATION), user = SLICE_NONE;
    char         text[3 * USER_BYTES];
    size_t       bytes = 0, at;

    if (!slice_eq_nocase(slice_sub(value, 0, 6), SLICE("Basic ")))
        return SLICE_NONE;
    value = slice_trim(slice_sub(value, 6, value.len));
    if (sodium_base642bin((unsigned char *)text, sizeof text, value.ptr, value.len, NULL, &bytes, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return SLICE_NONE;
    at = slice_find((struct slice){ text, bytes }, ':', 0);
    if (at > 0 && at < bytes && at <= USER_BYTES)
        user = arena_copy(a, (struct slice){ text, at });
    sodium_memzero(text, sizeof text);
    for (size_t i = 0; i < user.len; i++)
        if ((unsigned char)user.ptr[i] < 0x20 || user.ptr[i] == 0x7f)
            return SLICE_NONE;
    return user;
}

static struct slice name_of(const struct exchange_input *in, const struct request_wish *wish, struct arena *a)
{
    struct slice       user;
    const struct peer *who;

    if (wish->client.ptr != NULL)
        return wish->client;
    user = proxy_user(&in->request.fields, a);
    if (user.ptr != NULL)
        return user;
    who = in->who(in->owner);
    if (who->has_uid && who->pid != 0)
        return arena_printf(a, "uid=%u pid=%d", (unsigned)who->uid, (int)who->pid);
    return slice_of(in->peer);
}

/* "*" stands for any characters. No case takes longer than name times pattern. */
static bool name_matches(struct slice pattern, struct slice name)
{
    size_t p = 0, n = 0, star = SIZE_MAX, from = 0;

    while (n < name.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            from = n;
        } else if (p < pattern.len && pattern.ptr[p] == name.ptr[n]) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

static bool is_of_class(const struct config_client *class, struct slice name, const struct exchange_input *in)
{
    const struct peer *who;

    if (!class->has_uid)
        return name_matches(slice_of(class->match), name);
    who = in->who(in->owner);
    return who->has_uid && who->uid == class->uid;
}

struct client client_of(const struct config *config, const struct exchange_input *in, const struct request_wish *wish,
                        struct arena *a)
{
    struct client c = { .name = name_of(in, wish, a), .batch = wish->batch };

    for (unsigned i = 0; i < config->client_count; i++) {
        const struct config_client *class = &config->clients[i];

        if (!is_of_class(class, c.name, in))
            continue;
        if (!wish->interactive && !wish->batch)
            c.batch = class->batch;
        c.keep_permille = (unsigned)((1.0 - class->share) * 1000.0 + 0.5);
        break;
    }
    return c;
}
