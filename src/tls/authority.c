/*
 * Reading, making and replacing the CA.
 *
 * The lock covers the making too, file and all: it happens once, and whoever
 * asks at the same time must get the same CA.
 */
#include "tls/issuer.h"

#include "base/arena.h"
#include "base/files.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 16 * 1024, SERIAL_BYTES = 16, DAY_S = 86400, LIFE_DAYS = 3650, WARN_DAYS = 30 };

static const char file_name[] = "ca.pem", new_name[] = "ca.pem.new";

struct authority {
    int                      directory;
    const char              *path;
    pthread_mutex_t          lock;
    struct issuer           *current; /* under the lock; NULL: not read yet */
    _Atomic(struct issuer *) known;   /* the same, to be compared with and never followed */
};

/* -- certificates -- */

int issuer_make_key(gnutls_x509_privkey_t *key)
{
    int rc = gnutls_x509_privkey_init(key);

    return rc < 0 ? rc
                  : gnutls_x509_privkey_generate(*key, GNUTLS_PK_ECDSA,
                                                 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
}

int issuer_begin_certificate(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, int64_t from_s, int64_t to_s)
{
    unsigned char serial[SERIAL_BYTES];
    int           rc = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial);

    serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40); /* positive, and of one length (RFC 5280 4.1.2.2) */
    if (rc >= 0)
        rc = gnutls_x509_crt_set_version(crt, 3);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_serial(crt, serial, sizeof serial);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_activation_time(crt, (time_t)from_s);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_expiration_time(crt, (time_t)to_s);
    return rc >= 0 ? gnutls_x509_crt_set_key(crt, key) : rc;
}

static int set_key_id(gnutls_x509_crt_t crt)
{
    unsigned char id[32];
    size_t        bytes = sizeof id;
    int           rc = gnutls_x509_crt_get_key_id(crt, 0, id, &bytes);

    return rc >= 0 ? gnutls_x509_crt_set_subject_key_id(crt, id, bytes) : rc;
}

/* Each CA has a name of its own: a trust store may hold an old one beside it. */
static int set_name(gnutls_x509_crt_t crt)
{
    unsigned char mark[4];
    char          host[64] = "", name[128];
    int           rc = gnutls_rnd(GNUTLS_RND_NONCE, mark, sizeof mark);

    if (gethostname(host, sizeof host - 1) != 0)
        snprintf(host, sizeof host, "localhost");
    snprintf(name, sizeof name, "Weir CA %02x%02x%02x%02x of %.40s", mark[0], mark[1], mark[2], mark[3], host);
    return rc >= 0 ? gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name))
                   : rc;
}

static int make_certificate(struct issuer *i, int64_t now_s)
{
    int rc = gnutls_x509_crt_init(&i->certificate);

    if (rc >= 0)
        rc = issuer_begin_certificate(i->certificate, i->key, now_s - DAY_S, now_s + (int64_t)LIFE_DAYS * DAY_S);
    if (rc >= 0)
        rc = set_name(i->certificate);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_basic_constraints(i->certificate, 1, 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(i->certificate, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    if (rc >= 0)
        rc = set_key_id(i->certificate);
    return rc >= 0 ? gnutls_x509_crt_sign2(i->certificate, i->certificate, i->key, GNUTLS_DIG_SHA256, 0) : rc;
}

/* -- an issuer -- */

static void destroy_issuer(struct ref *ref)
{
    struct issuer *i = CONTAINER_OF(ref, struct issuer, ref);

    if (i->certificate != NULL)
        gnutls_x509_crt_deinit(i->certificate);
    if (i->key != NULL)
        gnutls_x509_privkey_deinit(i->key);
    if (i->leaf_key != NULL)
        gnutls_x509_privkey_deinit(i->leaf_key);
    free(i);
}

void issuer_release(struct issuer *i)
{
    if (i != NULL)
        ref_release(&i->ref);
}

static struct issuer *new_issuer(void)
{
    struct issuer *i = mem_alloc(sizeof *i);

    ref_init(&i->ref, destroy_issuer);
    return i;
}

static int describe(struct issuer *i)
{
    struct authority_facts *f = &i->facts;
    unsigned char           digest[32];
    size_t                  digest_bytes = sizeof digest, name_bytes = sizeof f->subject;
    size_t                  pem_bytes = sizeof f->certificate - 1;
    int rc = gnutls_x509_crt_export(i->certificate, GNUTLS_X509_FMT_PEM, f->certificate, &pem_bytes);

    if (rc >= 0) {
        f->certificate[pem_bytes] = '\0';
        rc = gnutls_x509_crt_get_fingerprint(i->certificate, GNUTLS_DIG_SHA256, digest, &digest_bytes);
    }
    if (rc >= 0)
        rc = gnutls_x509_crt_get_dn_by_oid(i->certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, f->subject, &name_bytes);
    if (rc < 0)
        return rc;
    for (size_t k = 0; k < digest_bytes; k++)
        snprintf(f->fingerprint + 3 * k, 4, k + 1 < digest_bytes ? "%02X:" : "%02X", digest[k]);
    f->made_s = gnutls_x509_crt_get_activation_time(i->certificate) + DAY_S;
    f->expires_s = gnutls_x509_crt_get_expiration_time(i->certificate);
    return 0;
}

static int finish_issuer(struct issuer *i)
{
    int rc = issuer_make_key(&i->leaf_key);

    return rc >= 0 ? describe(i) : rc;
}

/* -- the file -- */

static int write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t n = write(fd, bytes, count);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        bytes += n;
        count -= (size_t)n;
    }
    return 0;
}

static int write_file(struct authority *a, const char *key, size_t key_bytes, const char *certificate,
                      struct fault *why)
{
    int fd, ok;

    unlinkat(a->directory, new_name, 0);
    fd = openat(a->directory, new_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fault_set_errno(why, errno, "cannot write %s/%s", a->path, new_name);
    ok = write_all(fd, key, key_bytes) == 0 && write_all(fd, certificate, strlen(certificate)) == 0 && fsync(fd) == 0;
    if (close(fd) != 0 || !ok || renameat(a->directory, new_name, a->directory, file_name) != 0 ||
        fsync(a->directory) != 0)
        return fault_set_errno(why, errno, "cannot write %s/%s", a->path, file_name);
    return 0;
}

static struct issuer *make(struct authority *a, int64_t now_s, struct fault *why)
{
    struct issuer *i = new_issuer();
    char           key[1024];
    size_t         key_bytes = sizeof key;
    int            rc = issuer_make_key(&i->key);

    if (rc >= 0)
        rc = make_certificate(i, now_s);
    if (rc >= 0)
        rc = finish_issuer(i);
    if (rc >= 0)
        rc = gnutls_x509_privkey_export_pkcs8(i->key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, key, &key_bytes);
    if (rc < 0)
        fault_set(why, "cannot make a CA: %s", gnutls_strerror(rc));
    else
        rc = write_file(a, key, key_bytes, i->facts.certificate, why);
    gnutls_memset(key, 0, sizeof key);
    if (rc >= 0)
        return i;
    issuer_release(i);
    return NULL;
}

/* Somebody else may have read a key with a wider mode: it is closed again, and said. */
static void narrow_mode(const struct authority *a, int fd)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && (st.st_mode & 077) != 0) {
        log_warning("ca_key_was_open", "file=%s/%s mode=%o advice=%s", a->path, file_name,
                    (unsigned)(st.st_mode & 0777),
                    log_quote("mode 0600 is restored; weirctl ca rotate makes a new key"));
        if (fchmod(fd, 0600) != 0)
            log_error("ca_key_is_open", "reason=%s", log_quote(strerror(errno)));
    }
}

/* 1: there is no file. */
static int read_file(const struct authority *a, char *out, size_t bytes, unsigned *count, struct fault *why)
{
    ssize_t n;
    int     fd = file_open(a->directory, file_name, O_RDONLY, 0);

    if (fd < 0 && errno == ENOENT)
        return 1;
    if (fd < 0 && file_is_something_else(errno))
        return fault_set(why, "%s/%s is no regular file; weirctl ca rotate makes a new one", a->path, file_name);
    if (fd < 0)
        return fault_set_errno(why, errno, "cannot read %s/%s", a->path, file_name);
    narrow_mode(a, fd);
    n = file_read(fd, out, bytes);
    close(fd);
    if (n < 0)
        return fault_set_errno(why, errno, "cannot read %s/%s", a->path, file_name);
    *count = (unsigned)n;
    return 0;
}

static int parse(struct issuer *i, char *text, unsigned bytes)
{
    const gnutls_datum_t pem = { (unsigned char *)text, bytes };
    unsigned char        of_key[32], of_certificate[32];
    size_t               key_bytes = sizeof of_key, certificate_bytes = sizeof of_certificate;
    int                  rc = gnutls_x509_privkey_init(&i->key);

    if (rc >= 0)
        rc = gnutls_x509_privkey_import(i->key, &pem, GNUTLS_X509_FMT_PEM);
    if (rc >= 0)
        rc = gnutls_x509_crt_init(&i->certificate);
    if (rc >= 0)
        rc = gnutls_x509_crt_import(i->certificate, &pem, GNUTLS_X509_FMT_PEM);
    if (rc >= 0)
        rc = gnutls_x509_privkey_get_key_id(i->key, 0, of_key, &key_bytes);
    if (rc >= 0)
        rc = gnutls_x509_crt_get_key_id(i->certificate, 0, of_certificate, &certificate_bytes);
    if (rc >= 0 && (key_bytes != certificate_bytes || memcmp(of_key, of_certificate, key_bytes) != 0))
        rc = GNUTLS_E_CERTIFICATE_KEY_MISMATCH;
    return rc >= 0 ? finish_issuer(i) : rc;
}

/* NULL with an empty *why: there is none. */
static struct issuer *load(const struct authority *a, int64_t now_s, struct fault *why)
{
    char           text[FILE_BYTES];
    unsigned       bytes = 0;
    struct issuer *i;
    int            rc;

    why->text[0] = '\0';
    if (read_file(a, text, sizeof text, &bytes, why) != 0)
        return NULL;
    i = new_issuer();
    rc = parse(i, text, bytes);
    gnutls_memset(text, 0, sizeof text);
    if (rc < 0)
        fault_set(why, "%s/%s is no usable CA (%s); weirctl ca rotate makes a new one", a->path, file_name,
                  gnutls_strerror(rc));
    else if (i->facts.expires_s <= now_s)
        fault_set(why, "the CA in %s/%s has expired; weirctl ca rotate makes a new one", a->path, file_name);
    else if (i->facts.expires_s <= now_s + WARN_DAYS * DAY_S)
        log_warning("ca_expires_soon", "file=%s/%s advice=%s", a->path, file_name,
                    log_quote("weirctl ca rotate makes a new one, which clients must trust anew"));
    if (why->text[0] == '\0')
        return i;
    issuer_release(i);
    return NULL;
}

/* -- the authority -- */

struct authority *authority_open(int directory, const char *path)
{
    struct authority *a = mem_alloc(sizeof *a);

    a->directory = directory;
    a->path = path;
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void authority_close(struct authority *a)
{
    if (a == NULL)
        return;
    issuer_release(a->current);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static void put_current(struct authority *a, struct issuer *i)
{
    issuer_release(a->current);
    a->current = i;
    atomic_store_explicit(&a->known, i, memory_order_release);
    log_info("ca_in_effect", "subject=%s sha256=%s", log_quote(i->facts.subject), i->facts.fingerprint);
}

struct issuer *authority_issuer(struct authority *a, int64_t now_s, struct fault *why)
{
    struct issuer *i;

    pthread_mutex_lock(&a->lock);
    if (a->current == NULL) {
        i = load(a, now_s, why);
        if (i == NULL && why->text[0] == '\0')
            i = make(a, now_s, why);
        if (i != NULL)
            put_current(a, i);
    }
    i = a->current;
    if (i != NULL)
        ref_acquire(&i->ref);
    pthread_mutex_unlock(&a->lock);
    return i;
}

bool authority_is_current(const struct authority *a, const struct issuer *i)
{
    return atomic_load_explicit(&a->known, memory_order_acquire) == i;
}

int authority_rotate(struct authority *a, int64_t now_s, struct fault *why)
{
    struct issuer *i;

    pthread_mutex_lock(&a->lock);
    i = make(a, now_s, why);
    if (i != NULL)
        put_current(a, i);
    pthread_mutex_unlock(&a->lock);
    return i != NULL ? 0 : -1;
}

int authority_describe(struct authority *a, int64_t now_s, struct authority_facts *out, struct fault *why)
{
    struct issuer *i = authority_issuer(a, now_s, why);

    if (i == NULL)
        return -1;
    *out = i->facts;
    issuer_release(i);
    return 0;
}
