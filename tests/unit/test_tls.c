/*
 * The local CA and its leaves: made once, kept, rotated; and what a client
 * that checks everything thinks of them, in handshakes over a socket pair.
 */
#include "tls/handshake.h"

#include "tempdir.h"

#include <fcntl.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { DAY_S = 86400 };

#define LONG_NAME "a23456789012345678901234567890123456789012345678901234567890.b23456789.example"

struct fixture {
    char             *path;
    int               directory;
    struct authority *authority;
    int64_t           now_s;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->path = tempdir_make();
    f->directory = open(f->path, O_RDONLY | O_DIRECTORY);
    f->authority = authority_open(f->directory, f->path);
    f->now_s = time(NULL);
    *state = f;
    return 0;
}

static int finish(void **state)
{
    struct fixture *f = *state;

    authority_close(f->authority);
    close(f->directory);
    tempdir_remove(f->path);
    free(f);
    return 0;
}

static struct authority_facts facts(struct fixture *f)
{
    struct authority_facts out;
    struct fault           why = { "" };

    if (authority_describe(f->authority, f->now_s, &out, &why) != 0)
        fail_msg("%s", why.text);
    return out;
}

static void reopen(struct fixture *f)
{
    authority_close(f->authority);
    f->authority = authority_open(f->directory, f->path);
}

static mode_t mode_of_file(const struct fixture *f)
{
    struct stat st;

    assert_int_equal(fstatat(f->directory, "ca.pem", &st, 0), 0);
    return st.st_mode & 0777;
}

static void write_file(const struct fixture *f, const char *text)
{
    int fd = openat(f->directory, "ca.pem", O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* -- the CA -- */

static void made_at_first_use_and_kept(void **state)
{
    struct fixture        *f = *state;
    struct authority_facts first, second;

    assert_int_equal(faccessat(f->directory, "ca.pem", F_OK, 0), -1);
    first = facts(f);
    assert_int_equal(mode_of_file(f), 0600);
    assert_int_equal(first.made_s, f->now_s);
    assert_true(first.expires_s > f->now_s + 9 * 365 * (int64_t)DAY_S);
    assert_int_equal(strlen(first.fingerprint), 32 * 3 - 1);
    assert_memory_equal(first.certificate, "-----BEGIN CERTIFICATE-----", 27);
    assert_null(strstr(first.certificate, "PRIVATE KEY"));
    reopen(f);
    second = facts(f);
    assert_string_equal(second.certificate, first.certificate);
    assert_string_equal(second.fingerprint, first.fingerprint);
}

static void rotation_replaces_it(void **state)
{
    struct fixture        *f = *state;
    struct authority_facts first = facts(f), second;

    assert_int_equal(authority_rotate(f->authority, f->now_s, NULL), 0);
    second = facts(f);
    assert_string_not_equal(second.fingerprint, first.fingerprint);
    assert_string_not_equal(second.subject, first.subject);
    assert_int_equal(mode_of_file(f), 0600);
    reopen(f);
    assert_string_equal(facts(f).fingerprint, second.fingerprint);
}

static void damage_is_said_and_mended_by_rotation(void **state)
{
    struct fixture        *f = *state;
    struct authority_facts whole = facts(f), out;
    struct fault           why = { "" };
    char                   mixed[8192];
    char                   key[4096] = "";
    int                    fd;

    authority_rotate(f->authority, f->now_s, NULL);
    fd = openat(f->directory, "ca.pem", O_RDONLY);
    assert_true(read(fd, key, sizeof key - 1) > 0);
    close(fd);
    *strstr(key, "-----BEGIN CERTIFICATE") = '\0';
    snprintf(mixed, sizeof mixed, "%s%s", key, whole.certificate); /* another key's certificate */
    for (const char *const *bad = (const char *const[]){ "", "nonsense\n", key, whole.certificate, mixed, NULL };
         *bad != NULL; bad++) {
        write_file(f, *bad);
        reopen(f);
        assert_int_equal(authority_describe(f->authority, f->now_s, &out, &why), -1);
        assert_non_null(strstr(why.text, "weirctl ca rotate"));
        assert_non_null(strstr(why.text, f->path));
    }
    assert_int_equal(authority_rotate(f->authority, f->now_s, NULL), 0);
    assert_int_equal(authority_describe(f->authority, f->now_s, &out, &why), 0);
}

static void an_expired_one_is_not_used(void **state)
{
    struct fixture        *f = *state;
    struct authority_facts out = facts(f);
    struct fault           why = { "" };

    reopen(f);
    assert_int_equal(authority_describe(f->authority, out.expires_s, &out, &why), -1);
    assert_non_null(strstr(why.text, "expired"));
}

static void an_open_mode_is_narrowed(void **state)
{
    struct fixture *f = *state;

    facts(f);
    assert_int_equal(fchmodat(f->directory, "ca.pem", 0644, 0), 0);
    reopen(f);
    facts(f);
    assert_int_equal(mode_of_file(f), 0600);
}

static void an_unwritable_place_is_said(void **state)
{
    struct fixture        *f = *state;
    struct authority_facts out;
    struct fault           why = { "" };
    int                    nowhere = open("/dev/null", O_RDONLY);
    struct authority      *a = authority_open(nowhere, "/nowhere");

    (void)f;
    assert_int_equal(authority_describe(a, 0, &out, &why), -1);
    assert_non_null(strstr(why.text, "/nowhere/ca.pem"));
    authority_close(a);
    close(nowhere);
}

/* -- leaves, as a strict client sees them -- */

struct meeting {
    struct fixture    *f;
    struct leaf_cache *cache;
    const char        *without_name; /* leaf for a client that sends none */
    const char        *refused;      /* this one is */
    char               asked[LEAF_NAME_BYTES];
};

static struct leaf *choose(void *owner, const char *name)
{
    struct meeting *m = owner;
    struct fault    why = { "" };

    snprintf(m->asked, sizeof m->asked, "%s", name != NULL ? name : "-");
    if (name != NULL && m->refused != NULL && strcmp(name, m->refused) == 0)
        return NULL;
    return leaf_acquire(m->cache, name != NULL ? name : m->without_name, m->f->now_s, &why);
}

static int shake(gnutls_session_t client, gnutls_session_t server)
{
    int at_client = GNUTLS_E_AGAIN, at_server = GNUTLS_E_AGAIN;

    for (int i = 0; i < 100 && (at_client == GNUTLS_E_AGAIN || at_server == GNUTLS_E_AGAIN); i++) {
        if (at_client == GNUTLS_E_AGAIN)
            at_client = gnutls_handshake(client);
        if (at_server == GNUTLS_E_AGAIN)
            at_server = gnutls_handshake(server);
    }
    return at_client;
}

/* What the client's handshake came to (GNUTLS_E_AGAIN: nothing was said), its certificate checked against the CA
 * and against `expects`. */
static int meet(struct meeting *m, const char *sni, const char *expects, const char *priorities)
{
    struct authority_facts           ca = facts(m->f);
    const gnutls_datum_t             pem = { (unsigned char *)ca.certificate, (unsigned)strlen(ca.certificate) };
    gnutls_certificate_credentials_t trust, shown;
    gnutls_session_t                 client, server;
    unsigned                         under_way = 0;
    struct handshake                 h = { .choose = choose, .owner = m, .under_way = &under_way };
    int                              fds[2], rc;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    gnutls_certificate_allocate_credentials(&trust);
    gnutls_certificate_allocate_credentials(&shown);
    assert_int_equal(gnutls_certificate_set_x509_trust_mem(trust, &pem, GNUTLS_X509_FMT_PEM), 1);
    gnutls_certificate_set_retrieve_function2(shown, handshake_retrieve);
    gnutls_init(&client, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
    gnutls_init(&server, GNUTLS_SERVER | GNUTLS_NONBLOCK);
    gnutls_priority_set_direct(client, priorities != NULL ? priorities : "NORMAL", NULL);
    assert_int_equal(gnutls_priority_set_direct(server, HANDSHAKE_PRIORITIES, NULL), 0);
    gnutls_credentials_set(client, GNUTLS_CRD_CERTIFICATE, trust);
    gnutls_credentials_set(server, GNUTLS_CRD_CERTIFICATE, shown);
    gnutls_transport_set_int(client, fds[0]);
    gnutls_transport_set_int(server, fds[1]);
    if (sni != NULL)
        gnutls_server_name_set(client, GNUTLS_NAME_DNS, sni, strlen(sni));
    gnutls_session_set_verify_cert(client, expects, 0);
    handshake_begin(&h, server);
    assert_int_equal(under_way, 1);
    rc = shake(client, server);
    assert_int_equal(under_way, rc == 0 ? 0 : 1);
    gnutls_deinit(client);
    gnutls_deinit(server);
    handshake_end(&h);
    assert_int_equal(under_way, 0);
    gnutls_certificate_free_credentials(trust);
    gnutls_certificate_free_credentials(shown);
    close(fds[0]);
    close(fds[1]);
    return rc;
}

static void a_strict_client_accepts_the_leaf(void **state)
{
    static const char *const tls12 = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
    static const char *const tls13 = "NORMAL:-VERS-ALL:+VERS-TLS1.3";
    static const char *const tls11 = "NORMAL:-VERS-ALL:+VERS-TLS1.1";
    static const struct {
        const char *name, *sni, *expects, *priorities;
        int         result;
    } cases[] = {
        { "by_sni", "api.example.org", "api.example.org", NULL, 0 },
        { "by_sni_of_any_case", "API.example.org", "api.example.org", NULL, 0 },
        { "without_sni", NULL, "fallback.example", NULL, 0 },
        { "tls_1_2", "api.example.org", "api.example.org", tls12, 0 },
        { "tls_1_3", "api.example.org", "api.example.org", tls13, 0 },
        { "tls_1_2_without_sni", NULL, "fallback.example", tls12, 0 },
        { "a_long_name", LONG_NAME, LONG_NAME, NULL, 0 },
        { "another_name_is_noticed", "api.example.org", "other.example.org", NULL,
          GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR },
        { "a_refused_name", "evil.example", "evil.example", NULL, GNUTLS_E_FATAL_ALERT_RECEIVED },
        { "a_refused_name_tls_1_2", "evil.example", "evil.example", tls12, GNUTLS_E_FATAL_ALERT_RECEIVED },
        { "tls_1_1_is_too_old", "api.example.org", "api.example.org", tls11, GNUTLS_E_AGAIN },
    };
    struct meeting m = { .f = *state, .without_name = "fallback.example", .refused = "evil.example" };

    m.cache = leaf_cache_open(m.f->authority);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = meet(&m, cases[i].sni, cases[i].expects, cases[i].priorities);

        if (rc != cases[i].result)
            fail_msg("%s: %s, expected %s", cases[i].name, gnutls_strerror(rc), gnutls_strerror(cases[i].result));
    }
    leaf_cache_close(m.cache);
}

static void addresses_stand_in_the_leaf_as_such(void **state)
{
    static const char *const names[][2] = {
        { "127.0.0.1", "127.0.0.1" },
        { "::1", "::1" },
        { "[2001:db8::7]", "2001:db8::7" },
    };
    struct meeting m = { .f = *state };

    m.cache = leaf_cache_open(m.f->authority);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        m.without_name = names[i][0];
        if (meet(&m, NULL, names[i][1], NULL) != 0)
            fail_msg("no leaf for %s", names[i][0]);
    }
    leaf_cache_close(m.cache);
}

static void after_a_rotation_leaves_are_new(void **state)
{
    struct meeting m = { .f = *state, .without_name = "a.example" };

    m.cache = leaf_cache_open(m.f->authority);
    assert_int_equal(meet(&m, NULL, "a.example", NULL), 0);
    assert_int_equal(authority_rotate(m.f->authority, m.f->now_s, NULL), 0);
    assert_int_equal(meet(&m, NULL, "a.example", NULL), 0); /* the client trusts the new one alone */
    leaf_cache_close(m.cache);
}

/* -- the cache -- */

static struct leaf *get(struct leaf_cache *c, const char *name, int64_t now_s)
{
    struct fault why = { "" };
    struct leaf *l = leaf_acquire(c, name, now_s, &why);

    if (l == NULL)
        fail_msg("%s: %s", name, why.text);
    leaf_release(l);
    return l; /* the cache's own reference is left */
}

static void a_leaf_is_kept_and_renewed_before_its_end(void **state)
{
    struct fixture    *f = *state;
    struct leaf_cache *c = leaf_cache_open(f->authority);
    struct fault       why;
    int64_t            renewed = f->now_s + (LEAF_LIFE_DAYS - LEAF_RENEW_DAYS) * (int64_t)DAY_S;
    struct leaf       *first = leaf_acquire(c, "a.example", f->now_s, &why);

    assert_ptr_equal(get(c, "a.example", f->now_s + DAY_S), first);
    assert_ptr_equal(get(c, "A.Example", renewed - 1), first);
    assert_ptr_not_equal(get(c, "b.example", f->now_s), first);
    assert_ptr_not_equal(get(c, "a.example", renewed), first);
    leaf_release(first);
    leaf_cache_close(c);
}

static void the_cache_is_bounded(void **state)
{
    struct fixture    *f = *state;
    struct leaf_cache *c = leaf_cache_open(f->authority);
    struct fault       why;
    struct leaf       *often = leaf_acquire(c, "often.example", f->now_s, &why);
    struct leaf       *once = leaf_acquire(c, "once.example", f->now_s, &why);
    char               name[LEAF_NAME_BYTES + 1];

    for (unsigned i = 0; i < LEAF_CACHE_MAX; i++) {
        snprintf(name, sizeof name, "h%u.example", i);
        get(c, name, f->now_s);
        assert_ptr_equal(get(c, "often.example", f->now_s), often);
    }
    assert_ptr_not_equal(get(c, "once.example", f->now_s), once);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_null(leaf_acquire(c, name, f->now_s, &why));
    leaf_release(often);
    leaf_release(once);
    leaf_cache_close(c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(made_at_first_use_and_kept),
        CASE(rotation_replaces_it),
        CASE(damage_is_said_and_mended_by_rotation),
        CASE(an_expired_one_is_not_used),
        CASE(an_open_mode_is_narrowed),
        CASE(an_unwritable_place_is_said),
        CASE(a_strict_client_accepts_the_leaf),
        CASE(addresses_stand_in_the_leaf_as_such),
        CASE(after_a_rotation_leaves_are_new),
        CASE(a_leaf_is_kept_and_renewed_before_its_end),
        CASE(the_cache_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
