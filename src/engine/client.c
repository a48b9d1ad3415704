/*
 * A name is nobody's proof: who gives himself another stands in another
 * place of the queue among all that the same user runs, and that is all there is to win.
 */
#include "engine/client.h"

#include "base/decimal.h"
#include "http/basic.h"

#include <xxhash.h>

/* What it calls itself; ptr NULL: nothing. */
static struct slice own_name(const struct exchange_input *in, const struct request_wish *wish, struct arena *a)
{
    if (wish->client.ptr != NULL)
        return wish->client;
    if (in->proxy_user.ptr != NULL)
        return in->proxy_user;
    return http_basic_user(http_fields_get(&in->request.fields, HTTP_PROXY_AUTHORIZATION), a);
}

static struct slice name_of_peer(const struct exchange_input *in, const struct peer *who, struct arena *a)
{
    char uid[DECIMAL_BYTES], pid[DECIMAL_BYTES];

    if (who->has_uid && who->pid > 0)
        return ARENA_JOIN(a, SLICE("uid="), decimal(who->uid, uid), SLICE(" pid="), decimal((uint64_t)who->pid, pid));
    return slice_of(in->peer);
}

/* Two spaces of numbers, so that no name can be made to be an executable. */
static uint64_t program_of(struct slice name, const struct peer *who)
{
    return name.ptr != NULL ? XXH3_64bits_withSeed(name.ptr, name.len, 2) | 1 : peer_program_id(who);
}

static bool is_of_class(const struct config_client *class, struct slice name, const struct exchange_input *in)
{
    const struct peer *who;

    if (!class->has_uid)
        return slice_matches(slice_of(class->match), name);
    who = in->who(in->owner);
    return who->has_uid && who->uid == class->uid;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Where *at stands after `word`, or in it because the pattern's text ends there. */
static bool skip_word(struct slice text, size_t *at, const char *word)
{
    for (; *word != '\0' && *at < text.len; word++, ++*at)
        if (text.ptr[*at] != *word)
            return false;
    return true;
}

static bool skip_number(struct slice text, size_t *at)
{
    size_t from = *at;

    while (*at < text.len && is_digit(text.ptr[*at]))
        ++*at;
    return *at > from || *at == text.len;
}

/* Could "uid=1000 pid=77" be a match, with any numbers?  By the text before the first star and the last character. */
static bool may_be_process(struct slice pattern)
{
    size_t       star = slice_find(pattern, '*', 0), at = 0;
    struct slice begin = slice_sub(pattern, 0, star);
    bool         may = skip_word(begin, &at, "uid=") && skip_number(begin, &at) && skip_word(begin, &at, " pid=") &&
               skip_number(begin, &at) && at == begin.len;
    char last = pattern.len > 0 ? pattern.ptr[pattern.len - 1] : '\0';

    return may && (last == '*' || (is_digit(last) && (star < pattern.len || slice_find(pattern, ' ', 0) < star)));
}

static bool is_anybody(struct slice pattern)
{
    if (pattern.len == 0)
        return false;
    for (size_t i = 0; i < pattern.len; i++)
        if (pattern.ptr[i] != '*')
            return false;
    return true;
}

bool client_asks_process(const struct config *config, const struct exchange_input *in, const struct request_wish *wish,
                         struct arena *a)
{
    if (config->client_count == 0 || own_name(in, wish, a).ptr != NULL)
        return false;
    for (unsigned i = 0; i < config->client_count; i++) {
        const struct config_client *class = &config->clients[i];
        struct slice match = slice_of(class->match);

        if (class->has_uid ? is_of_class(class, SLICE_NONE, in) : is_anybody(match))
            return false; /* the first that fits counts, whatever process it is */
        if (!class->has_uid && (may_be_process(match) || slice_matches(match, slice_of(in->peer))))
            return true; /* who has no process that is known has the name of the connection */
    }
    return false;
}

struct client client_of(const struct config *config, const struct exchange_input *in, const struct request_wish *wish,
                        struct arena *a)
{
    const struct peer *who = in->known(in->owner);
    struct slice       name = own_name(in, wish, a);

    struct client c = {
        .name = name.ptr != NULL ? name : name_of_peer(in, who, a),
        .is_named = name.ptr != NULL,
        .batch = wish->batch,
    };

    for (unsigned i = 0; i < config->client_count; i++) {
        const struct config_client *class = &config->clients[i];

        if (!is_of_class(class, c.name, in))
            continue;
        if (!wish->interactive && !wish->batch)
            c.batch = class->batch;
        c.keep_permille = (unsigned)((1.0 - class->share) * 1000.0 + 0.5);
        break;
    }
    who = in->known(in->owner); /* a class may have asked for the user */
    c.who = (struct queue_who){ { peer_user_id(who), program_of(name, who), peer_process_id(who), who->connection } };
    return c;
}
