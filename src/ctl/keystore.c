/*
 * A Java keystore (JKS) of trusted certificates: the one format that every Java
 * reads without a password.
 *
 * Magic, version and count; for each entry its kind (2: a trusted certificate), alias, time,
 * type and DER; at last a digest, which Java looks at only where it was given a password.
 */
#include "ctl/trust.h"

#include "base/arena.h"

#include <sodium.h>
#include <stdio.h>

enum { DIGEST_BYTES = 20, ENTRY_OVERHEAD = 64, KIND_TRUSTED = 2 };

static const char begin_mark[] = "-----BEGIN CERTIFICATE-----", end_mark[] = "-----END CERTIFICATE-----";

struct output {
    unsigned char *bytes;
    size_t         used;
};

static void put_number(struct output *o, uint64_t n, unsigned bytes)
{
    while (bytes-- > 0)
        o->bytes[o->used++] = (unsigned char)(n >> (8 * bytes));
}

static void put_text(struct output *o, const char *text)
{
    size_t length = strlen(text);

    put_number(o, length, 2);
    memcpy(o->bytes + o->used, text, length);
    o->used += length;
}

static void put_entry(struct output *o, unsigned index, const char *from, const char *end)
{
    char   alias[32];
    size_t bytes = 0;

    snprintf(alias, sizeof alias, "root%u", index);
    put_number(o, KIND_TRUSTED, 4);
    put_text(o, alias);
    put_number(o, 0, 8);
    put_text(o, "X.509");
    sodium_base642bin(o->bytes + o->used + 4, (size_t)(end - from), from, (size_t)(end - from), "\r\n", &bytes, NULL,
                      sodium_base64_VARIANT_ORIGINAL);
    put_number(o, bytes, 4);
    o->used += bytes;
}

unsigned char *keystore_make(const char *pem, size_t *bytes)
{
    struct output o = { NULL, 0 };
    unsigned      count = 0;
    const char   *end;

    for (const char *at = pem; (at = strstr(at, begin_mark)) != NULL; at++)
        count++;
    if (count == 0)
        return NULL;
    o.bytes = mem_alloc(strlen(pem) + (size_t)count * ENTRY_OVERHEAD + ENTRY_OVERHEAD + DIGEST_BYTES);
    put_number(&o, 0xfeedfeed, 4);
    put_number(&o, 2, 4);
    put_number(&o, count, 4);
    for (unsigned i = 0; i < count; i++, pem = end) {
        const char *from = strstr(pem, begin_mark) + sizeof begin_mark - 1;

        end = strstr(from, end_mark);
        if (end == NULL)
            end = from + strlen(from);
        put_entry(&o, i, from, end);
    }
    put_number(&o, 0, 8);
    put_number(&o, 0, 8);
    put_number(&o, 0, 4);
    *bytes = o.used;
    return o.bytes;
}
