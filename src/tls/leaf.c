/*
 * Making leaves, and keeping them.
 *
 * One signature takes about 0.1 ms, the look-up of a kept leaf a few hundred
 * comparisons at most: a list is enough.  What was not used for longest goes first.
 */
#include "tls/present.h"

#include "base/arena.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DAY_S = 86400, COMMON_NAME_BYTES = 64 };

struct leaf_cache {
    struct authority *authority;
    struct leaf      *leaves[LEAF_CACHE_MAX];
    unsigned          count;
    uint64_t          uses;
};

static void destroy(struct ref *ref)
{
    struct leaf *l = CONTAINER_OF(ref, struct leaf, ref);

    if (l->has_certificate)
        gnutls_pcert_deinit(&l->certificate);
    if (l->key != NULL)
        gnutls_privkey_deinit(l->key);
    issuer_release(l->issuer);
    free(l);
}

void leaf_release(struct leaf *l)
{
    if (l != NULL)
        ref_release(&l->ref);
}

/* -- making -- */

/* "192.0.2.1", "2001:db8::1" and "[2001:db8::1]": bytes of the address; 0 for a name. */
static unsigned parse_address(const char *name, unsigned char out[16])
{
    char   text[INET6_ADDRSTRLEN];
    size_t length = strlen(name);

    if (inet_pton(AF_INET, name, out) == 1)
        return 4;
    if (length > 2 && name[0] == '[' && name[length - 1] == ']' && length - 2 < sizeof text) {
        memcpy(text, name + 1, length - 2);
        text[length - 2] = '\0';
        return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
    }
    return inet_pton(AF_INET6, name, out) == 1 ? 16 : 0;
}

static int set_names(gnutls_x509_crt_t crt, const char *name)
{
    unsigned char address[16];
    unsigned      bytes = parse_address(name, address);
    size_t        length = strlen(name);
    int           rc;

    if (bytes > 0)
        rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, address, bytes, GNUTLS_FSAN_SET);
    else
        rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name, (unsigned)length, GNUTLS_FSAN_SET);
    if (rc < 0)
        return rc;
    /* Nobody compares it any more, but an empty subject confuses some. */
    return gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                         (unsigned)(length < COMMON_NAME_BYTES ? length : COMMON_NAME_BYTES));
}

static int set_authority_id(gnutls_x509_crt_t crt, const struct issuer *i)
{
    unsigned char id[32];
    size_t        bytes = sizeof id;
    int           rc = gnutls_x509_crt_get_subject_key_id(i->certificate, id, &bytes, NULL);

    return rc >= 0 ? gnutls_x509_crt_set_authority_key_id(crt, id, bytes) : rc;
}

static int sign(gnutls_x509_crt_t crt, struct leaf *l, int64_t now_s)
{
    struct issuer *i = l->issuer;
    int64_t        ends = now_s + (int64_t)LEAF_LIFE_DAYS * DAY_S;
    int            rc;

    if (ends > i->facts.expires_s)
        ends = i->facts.expires_s;
    rc = issuer_begin_certificate(crt, i->leaf_key, now_s - DAY_S, ends);
    if (rc >= 0)
        rc = set_names(crt, l->name);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
    if (rc >= 0)
        rc = set_authority_id(crt, i);
    if (rc >= 0)
        rc = gnutls_x509_crt_sign2(crt, i->certificate, i->key, GNUTLS_DIG_SHA256, 0);
    l->renew_at_s = ends - (int64_t)LEAF_RENEW_DAYS * DAY_S;
    l->ends_s = ends;
    return rc;
}

static int make(struct leaf *l, int64_t now_s)
{
    gnutls_x509_crt_t crt = NULL;
    int               rc = gnutls_x509_crt_init(&crt);

    if (rc >= 0)
        rc = sign(crt, l, now_s);
    if (rc >= 0)
        rc = gnutls_pcert_import_x509(&l->certificate, crt, 0);
    l->has_certificate = rc >= 0;
    if (rc >= 0)
        rc = gnutls_privkey_init(&l->key);
    if (rc >= 0)
        rc = gnutls_privkey_import_x509(l->key, l->issuer->leaf_key, GNUTLS_PRIVKEY_IMPORT_COPY);
    if (crt != NULL)
        gnutls_x509_crt_deinit(crt);
    return rc;
}

static struct leaf *new_leaf(struct leaf_cache *c, const char *name, int64_t now_s, struct fault *why)
{
    struct leaf *l = mem_alloc(sizeof *l);
    int          rc;

    ref_init(&l->ref, destroy);
    strcpy(l->name, name);
    l->issuer = authority_issuer(c->authority, now_s, why);
    if (l->issuer == NULL)
        goto fail;
    rc = make(l, now_s);
    if (rc < 0) {
        fault_set(why, "cannot make a certificate for %s: %s", name, gnutls_strerror(rc));
        goto fail;
    }
    return l;
fail:
    leaf_release(l);
    return NULL;
}

/* -- keeping -- */

struct leaf_cache *leaf_cache_open(struct authority *a)
{
    struct leaf_cache *c = mem_alloc(sizeof *c);

    c->authority = a;
    return c;
}

void leaf_cache_close(struct leaf_cache *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < c->count; i++)
        leaf_release(c->leaves[i]);
    free(c);
}

/* Near the end of the CA itself leaves are short: they serve to their end. */
static bool serves(const struct leaf_cache *c, const struct leaf *l, int64_t now_s)
{
    bool shortened = l->ends_s >= l->issuer->facts.expires_s;

    return authority_is_current(c->authority, l->issuer) && now_s < (shortened ? l->ends_s : l->renew_at_s);
}

static struct leaf **find(struct leaf_cache *c, const char *name)
{
    for (unsigned i = 0; i < c->count; i++)
        if (strcasecmp(c->leaves[i]->name, name) == 0)
            return &c->leaves[i];
    return NULL;
}

/* A free place, or that of the leaf that was not used for longest. */
static struct leaf **place(struct leaf_cache *c)
{
    struct leaf **oldest = &c->leaves[0];

    if (c->count < LEAF_CACHE_MAX)
        return &c->leaves[c->count++];
    for (unsigned i = 1; i < c->count; i++)
        if (c->leaves[i]->used < (*oldest)->used)
            oldest = &c->leaves[i];
    return oldest;
}

struct leaf *leaf_acquire(struct leaf_cache *c, const char *name, int64_t now_s, struct fault *why)
{
    struct leaf **at = find(c, name);
    struct leaf  *fresh;

    if (strlen(name) >= LEAF_NAME_BYTES) {
        fault_set(why, "a host name of %zu bytes", strlen(name));
        return NULL;
    }
    if (at == NULL || !serves(c, *at, now_s)) {
        fresh = new_leaf(c, name, now_s, why);
        if (fresh == NULL)
            return NULL;
        if (at == NULL)
            at = place(c);
        leaf_release(*at);
        *at = fresh;
    }
    (*at)->used = ++c->uses;
    ref_acquire(&(*at)->ref);
    return *at;
}
