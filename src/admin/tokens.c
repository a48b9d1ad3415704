/*
 * Two small tables of hashes under one lock.  All of a table is compared each time, and each hash in constant time: how
 * long an answer takes tells nothing of what stands there.
 */
#include "admin/tokens.h"

#include "base/arena.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { SECRET_BYTES = 32, HASH_BYTES = 32 };

struct pass { /* ends_ns 0: a free place */
    uint8_t hash[HASH_BYTES];
    int64_t ends_ns;
    int64_t uid; /* of a code */
    bool used;   /* a code that was exchanged is known until it would have ended, so that its second use can be named */
};

struct tokens {
    pthread_mutex_t lock; /* of all that follows */
    struct pass     codes[TOKENS_CODES_MOST];
    struct pass     sessions[TOKENS_SESSIONS_MOST];
};

struct tokens *tokens_open(void)
{
    struct tokens *t = mem_alloc(sizeof *t);

    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void tokens_close(struct tokens *t)
{
    if (t == NULL)
        return;
    pthread_mutex_destroy(&t->lock);
    sodium_memzero(t, sizeof *t);
    free(t);
}

static void hash_text(uint8_t out[HASH_BYTES], struct slice text)
{
    crypto_generichash(out, HASH_BYTES, (const unsigned char *)text.ptr, text.len, NULL, 0);
}

/* getrandom(2), by way of libsodium. */
static void make_text(char out[TOKEN_TEXT_BYTES])
{
    uint8_t secret[SECRET_BYTES];

    randombytes_buf(secret, sizeof secret);
    sodium_bin2base64(out, TOKEN_TEXT_BYTES, secret, sizeof secret, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(secret, sizeof secret);
}

/* The place of what ends first, which is free or the oldest. */
static struct pass *place_in(struct pass *table, unsigned count)
{
    struct pass *first = table;

    for (unsigned i = 1; i < count; i++)
        if (table[i].ends_ns < first->ends_ns)
            first = &table[i];
    return first;
}

static struct pass *find(struct pass *table, unsigned count, struct slice text, int64_t now_ns)
{
    uint8_t      hash[HASH_BYTES];
    struct pass *found = NULL;

    hash_text(hash, text);
    for (unsigned i = 0; i < count; i++)
        if (sodium_memcmp(table[i].hash, hash, HASH_BYTES) == 0 && table[i].ends_ns > now_ns)
            found = &table[i];
    return found;
}

static void put(struct pass *table, unsigned count, struct pass value, char out[TOKEN_TEXT_BYTES])
{
    make_text(out);
    hash_text(value.hash, slice_of(out));
    *place_in(table, count) = value;
}

void tokens_make_code(struct tokens *t, int64_t uid, int64_t now_ns, char out[TOKEN_TEXT_BYTES])
{
    pthread_mutex_lock(&t->lock);
    put(t->codes, TOKENS_CODES_MOST, (struct pass){ .ends_ns = time_add(now_ns, TOKENS_CODE_NS), .uid = uid }, out);
    pthread_mutex_unlock(&t->lock);
}

enum token_exchange tokens_exchange(struct tokens *t, struct slice code, int64_t uid, int64_t now_ns,
                                    char out[TOKEN_TEXT_BYTES])
{
    enum token_exchange result = TOKEN_MADE;
    struct pass        *c;

    pthread_mutex_lock(&t->lock);
    c = find(t->codes, TOKENS_CODES_MOST, code, now_ns);
    if (c == NULL)
        result = TOKEN_CODE_UNKNOWN;
    else if (c->used)
        result = TOKEN_CODE_USED;
    else if (c->uid != TOKENS_ANY_UID && c->uid != uid)
        result = TOKEN_CODE_ANOTHERS;
    if (result == TOKEN_MADE) {
        c->used = true;
        put(t->sessions, TOKENS_SESSIONS_MOST, (struct pass){ .ends_ns = time_add(now_ns, TOKENS_SESSION_NS) }, out);
    }
    pthread_mutex_unlock(&t->lock);
    return result;
}

bool tokens_know(struct tokens *t, struct slice token, int64_t now_ns)
{
    bool known;

    pthread_mutex_lock(&t->lock);
    known = find(t->sessions, TOKENS_SESSIONS_MOST, token, now_ns) != NULL;
    pthread_mutex_unlock(&t->lock);
    return known;
}

void tokens_forget(struct tokens *t, struct slice token)
{
    struct pass *s;

    pthread_mutex_lock(&t->lock);
    s = find(t->sessions, TOKENS_SESSIONS_MOST, token, INT64_MIN);
    if (s != NULL)
        *s = (struct pass){ 0 };
    pthread_mutex_unlock(&t->lock);
}
