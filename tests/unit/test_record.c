/*
 * Records as they go out: a head with the beginning of its body, many in a row, and none twice or lost when the socket
 * takes no more.
 */
#include "tls/record.h"

#include "tls/handshake.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORD = 16384, RUN = 256 * 1024, MOST = 4 * 1024 * 1024, SMALL = 1024 };

struct pair {
    int                              fds[2];
    gnutls_anon_client_credentials_t at_client;
    gnutls_anon_server_credentials_t at_server;
    gnutls_session_t                 client, server;
    struct handshake                 handshake;
    unsigned                         under_way;
};

static gnutls_session_t start(unsigned flags, int fd, void *credentials)
{
    gnutls_session_t s;

    gnutls_init(&s, flags | GNUTLS_NONBLOCK);
    gnutls_priority_set_direct(s, "NORMAL:-VERS-ALL:+VERS-TLS1.2:+ANON-ECDH", NULL);
    gnutls_credentials_set(s, GNUTLS_CRD_ANON, credentials);
    gnutls_transport_set_int(s, fd);
    return s;
}

static void meet(struct pair *p, size_t record_bytes)
{
    int at_client = GNUTLS_E_AGAIN, at_server = GNUTLS_E_AGAIN;

    *p = (struct pair){ .handshake = { .under_way = &p->under_way } };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fds), 0);
    gnutls_anon_allocate_client_credentials(&p->at_client);
    gnutls_anon_allocate_server_credentials(&p->at_server);
    p->client = start(GNUTLS_CLIENT, p->fds[0], p->at_client);
    p->server = start(GNUTLS_SERVER, p->fds[1], p->at_server);
    handshake_begin(&p->handshake, p->server);
    if (record_bytes > 0)
        assert_true(gnutls_record_set_max_size(p->client, record_bytes) >= 0);
    for (unsigned i = 0; i < 100 && (at_client != 0 || at_server != 0); i++) {
        if (at_client != 0)
            at_client = gnutls_handshake(p->client);
        if (at_server != 0)
            at_server = gnutls_handshake(p->server);
    }
    assert_int_equal(at_client, 0);
    assert_int_equal(at_server, 0);
}

static void part(struct pair *p)
{
    gnutls_deinit(p->client);
    gnutls_deinit(p->server);
    handshake_end(&p->handshake);
    gnutls_anon_free_client_credentials(p->at_client);
    gnutls_anon_free_server_credentials(p->at_server);
    close(p->fds[0]);
    close(p->fds[1]);
}

/* All that is there; how many records it was. */
static unsigned hear(struct pair *p, char *into, size_t *count)
{
    unsigned records = 0;
    ssize_t  n;

    while ((n = gnutls_record_recv(p->client, into + *count, MOST - *count)) > 0) {
        *count += (size_t)n;
        records++;
    }
    assert_int_equal(n, GNUTLS_E_AGAIN);
    return records;
}

/* As libmicrohttpd does: the head, then what is left of the body until all is taken. */
static unsigned say(struct pair *p, bool holds, const char *all, size_t head, size_t body, char *heard, size_t *count)
{
    unsigned records = 0;
    size_t   sent = 0;

    if (holds)
        handshake_hold_head(&p->handshake);
    assert_int_equal(gnutls_record_send(p->server, all, head), head);
    while (sent < body) {
        ssize_t n = gnutls_record_send(p->server, all + head + sent, body - sent);

        assert_true((n > 0 && n <= RUN) || n == GNUTLS_E_AGAIN);
        sent += n > 0 ? (size_t)n : 0;
        records += hear(p, heard, count);
    }
    return records + hear(p, heard, count);
}

static void test_answers(void **state)
{
    static const struct {
        const char *name;
        bool        holds;
        size_t      limit, head, body;
        unsigned    records;
    } rows[] = {
        { "a_head_and_its_body_are_one", true, 0, 200, 1024, 1 },
        { "what_is_not_announced_goes_alone", false, 0, 200, 1024, 2 },
        { "a_record_is_filled", true, 0, 200, RECORD - 200, 1 },
        { "and_the_next_one_has_the_rest", true, 0, 200, RECORD - 199, 2 },
        { "a_long_head_goes_alone", true, 0, RECORD / 2 + 1, 10, 2 },
        { "a_client_that_wants_small_records", true, 512, 200, 1024, 3 },
        { "whose_head_is_longer_than_one", true, 512, 1000, 30, 3 },
        { "whose_head_fills_two", true, 512, 1024, 30, 3 },
        { "more_than_the_socket_takes", true, 0, 200, 3 * 1024 * 1024, 193 },
    };
    char *all = malloc(MOST), *heard = malloc(MOST);

    (void)state;
    for (size_t i = 0; i < MOST; i++)
        all[i] = (char)(i * 7 + i / 251);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pair p;
        size_t      count = 0;
        unsigned    records;

        meet(&p, rows[i].limit);
        records = say(&p, rows[i].holds, all, rows[i].head, rows[i].body, heard, &count);
        if (count != rows[i].head + rows[i].body || memcmp(heard, all, count) != 0)
            fail_msg("%s: %zu bytes, not as they were", rows[i].name, count);
        if (rows[i].limit == 0 ? records != rows[i].records : records < rows[i].records)
            fail_msg("%s: %u records", rows[i].name, records);
        part(&p);
    }
    free(all);
    free(heard);
}

/* A run of records in one call, and no longer one. */
static void test_a_run(void **state)
{
    char       *all = calloc(1, MOST), *heard = malloc(MOST);
    const int   room = MOST;
    size_t      count = 0;
    struct pair p;

    (void)state;
    meet(&p, 0);
    setsockopt(p.fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    assert_true(gnutls_record_send(p.server, all, MOST) > RECORD);
    assert_true(hear(&p, heard, &count) > 1 && count <= RUN);
    part(&p);
    free(all);
    free(heard);
}

/* What the daemon writes itself in between is no head, and is not kept back. */
static void test_an_own_word(void **state)
{
    char        heard[SMALL];
    struct pair p;

    (void)state;
    meet(&p, 0);
    handshake_hold_head(&p.handshake);
    assert_true(handshake_send(p.server, "HTTP/1.1 502 Bad\r\n\r\n", 20));
    assert_int_equal(gnutls_record_recv(p.client, heard, sizeof heard), 20);
    part(&p);
}

static void test_a_head_that_never_went(void **state)
{
    struct pair p;

    (void)state;
    meet(&p, 0);
    handshake_hold_head(&p.handshake);
    assert_int_equal(gnutls_record_send(p.server, "HTTP/1.1 200 OK\r\n\r\n", 19), 19);
    part(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_a_run),
        cmocka_unit_test(test_an_own_word),
        cmocka_unit_test(test_a_head_that_never_went),
    };

#ifndef WEIR_MHD_TRICKS
    (void)tests;
    return 77; /* the library's own */
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
