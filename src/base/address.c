/*
 * The blocks of the IANA special-purpose registries (RFC 6890) from which
 * nothing on the public Internet answers.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

struct block { /* an address has these first bits */
    unsigned char bytes[16];
    unsigned      bits;
};

static const struct block not_public_v4[] = {
    { { 0 }, 8 },          /* "this network": 0.0.0.0 reaches the machine itself */
    { { 10 }, 8 },         /* private (RFC 1918) */
    { { 100, 64 }, 10 },   /* shared (RFC 6598) */
    { { 127 }, 8 },        /* loopback */
    { { 169, 254 }, 16 },  /* link-local; the metadata services of clouds */
    { { 172, 16 }, 12 },   /* private */
    { { 192, 0, 0 }, 24 }, /* protocol assignments */
    { { 192, 168 }, 16 },  /* private */
    { { 198, 18 }, 15 },   /* benchmarks */
    { { 224 }, 3 },        /* multicast, reserved, broadcast */
};

static const struct block not_public_v6[] = {
    { { 0 }, 96 },                                  /* unspecified, loopback, "compatible" */
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48 }, /* local translation (RFC 8215) */
    { { 0x01, 0x00 }, 64 },                         /* discard */
    { { 0x20, 0x01, 0x00, 0x00 }, 32 },             /* Teredo: carries an address that is not checked */
    { { 0xfc }, 7 },                                /* unique local */
    { { 0xfe, 0x80 }, 10 },                         /* link-local */
    { { 0xfe, 0xc0 }, 10 },                         /* site-local */
    { { 0xff }, 8 },                                /* multicast */
};

/* IPv6 that carries IPv4: where, and after which bits. */
static const struct {
    struct block block;
    unsigned     at;
} carriers[] = {
    { { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 96 }, 12 }, /* mapped */
    { { { 0x00, 0x64, 0xff, 0x9b }, 96 }, 12 },                   /* translated (RFC 6052) */
    { { { 0x20, 0x02 }, 16 }, 2 },                                /* 6to4 */
};

static bool is_in(const unsigned char *address, const struct block *b)
{
    unsigned whole = b->bits / 8, rest = b->bits % 8;

    return memcmp(address, b->bytes, whole) == 0 &&
           (rest == 0 || ((address[whole] ^ b->bytes[whole]) >> (8 - rest)) == 0);
}

static bool is_public_v4(const unsigned char *address)
{
    for (size_t i = 0; i < sizeof not_public_v4 / sizeof *not_public_v4; i++)
        if (is_in(address, &not_public_v4[i]))
            return false;
    return true;
}

static bool is_public_v6(const unsigned char *address)
{
    for (size_t i = 0; i < sizeof carriers / sizeof *carriers; i++)
        if (is_in(address, &carriers[i].block))
            return is_public_v4(address + carriers[i].at);
    for (size_t i = 0; i < sizeof not_public_v6 / sizeof *not_public_v6; i++)
        if (is_in(address, &not_public_v6[i]))
            return false;
    return true;
}

/* Its bytes in network order; 0 bytes where it is of another family. */
static unsigned bytes_of(const struct sockaddr *sa, unsigned char out[16])
{
    if (sa->sa_family == AF_INET) {
        memcpy(out, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
        return 4;
    }
    if (sa->sa_family != AF_INET6)
        return 0;
    memcpy(out, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    return 16;
}

bool address_is_public(const struct sockaddr *sa)
{
    unsigned char address[16];

    switch (bytes_of(sa, address)) {
    case 4:
        return is_public_v4(address);
    case 16:
        return is_public_v6(address);
    default:
        return false;
    }
}

/* "10.0.0.0/8", "127.0.0.1", "fd00::/8" */
static bool is_in_network(const unsigned char *address, unsigned bytes, struct slice text)
{
    struct block b = { { 0 }, 0 };
    char         host[INET6_ADDRSTRLEN];
    size_t       slash = slice_find(text, '/', 0);
    int64_t      bits = bytes * 8;

    if (slash >= sizeof host || (slash < text.len && !slice_to_int64(slice_sub(text, slash + 1, text.len), &bits)) ||
        bits > bytes * 8)
        return false;
    memcpy(host, text.ptr, slash);
    host[slash] = '\0';
    b.bits = (unsigned)bits;
    return inet_pton(bytes == 4 ? AF_INET : AF_INET6, host, b.bytes) == 1 && is_in(address, &b);
}

bool address_is_loopback_name(struct slice host)
{
    char           text[INET_ADDRSTRLEN];
    struct in_addr v4;

    if (slice_eq_nocase(host, SLICE("localhost")) || slice_eq(host, SLICE("[::1]")))
        return true;
    if (host.len > 10 && slice_eq_nocase(slice_sub(host, host.len - 10, host.len), SLICE(".localhost")))
        return true;
    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET, text, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

bool address_is_listed(const struct sockaddr *sa, struct slice host, const char *const *list)
{
    unsigned char address[16];
    unsigned      bytes = bytes_of(sa, address);

    for (; bytes > 0 && list != NULL && *list != NULL; list++)
        if (slice_eq_nocase(slice_of(*list), host) || is_in_network(address, bytes, slice_of(*list)))
            return true;
    return false;
}
