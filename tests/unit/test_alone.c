/*
 * The admin room over the store alone: what it takes for a request, and a list of many records whose reader
 * stops in the middle.
 */
#include "admin/alone.h"

#include "base/arena.h"
#include "conf.h"
#include "store_support.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { RECORDS = 100000, AT_ONCE = 5000, MIB = 1024 * 1024 };

struct desk {
    struct config *config;
    int            fd; /* the desk's end */
    int            status;
    pthread_t      thread;
};

static void *serve(void *argument)
{
    struct desk *d = argument;

    d->status = alone_serve(d->config, d->fd);
    close(d->fd);
    return NULL;
}

/* The asker's end. */
static int begin(struct desk *d, struct fixture *f, const char *request)
{
    char settings[1024];
    int  ends[2];

    snprintf(settings, sizeof settings, "cache = { path = \"%s\"; };\n" API API_END, f->directory);
    d->config = conf_load_good(settings);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    d->fd = ends[0];
    assert_int_equal(pthread_create(&d->thread, NULL, serve, d), 0);
    if (send(ends[1], request, strlen(request), MSG_NOSIGNAL) < 0)
        assert_int_equal(errno, EPIPE);
    return ends[1];
}

static int end(struct desk *d, int fd)
{
    close(fd);
    pthread_join(d->thread, NULL);
    config_release(d->config);
    return d->status;
}

static void test_requests(void **state)
{
    static const char too_long[] = "GET /entries?url=";
    static const struct {
        const char *name, *request, *answer; /* begins so; "": none */
        int         status;
    } rows[] = {
        { "as_weirctl_asks", "GET /entries HTTP/1.0\r\nHost: localhost\r\n\r\n", "HTTP/1.0 200 OK\r\n", 0 },
        { "with_a_body", "POST /purge HTTP/1.0\r\nContent-Length: 14\r\n\r\n{\"url\": \"/a/\"}", "HTTP/1.0 200 OK\r\n",
          0 },
        { "no_endpoint", "GET /nothing HTTP/1.0\r\n\r\n", "HTTP/1.0 404 Not Found\r\n", 0 },
        { "another_method", "POST /entries HTTP/1.0\r\n\r\n", "HTTP/1.0 405 Method Not Allowed\r\n", 0 },
        { "what_wants_a_daemon", "GET /limits HTTP/1.0\r\n\r\n", "HTTP/1.0 503 Service Unavailable\r\n", 0 },
        { "nothing", "", "", 2 },
        { "half_a_head", "GET /entries HTTP/1.0\r\nHost:", "", 2 },
        { "half_a_body", "POST /purge HTTP/1.0\r\nContent-Length: 14\r\n\r\n{\"url\"", "", 2 },
        { "a_length_that_is_none", "POST /purge HTTP/1.0\r\nContent-Length: x\r\n\r\n", "", 2 },
        { "a_length_beyond_all_sense", "POST /purge HTTP/1.0\r\nContent-Length: 99999999999999\r\n\r\n", "", 2 },
        { "a_head_without_end", too_long, "", 2 },
    };
    struct fixture *f = *state;

    fixture_close(f); /* the daemon has ended */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct desk d;
        char        answer[200] = "", blanks[4096];
        int         fd = begin(&d, f, rows[i].request);
        ssize_t     n;

        memset(blanks, 'a', sizeof blanks);
        for (int k = 0; rows[i].request == too_long && k < 64; k++)
            if (send(fd, blanks, sizeof blanks, MSG_NOSIGNAL) < 0)
                break;
        shutdown(fd, SHUT_WR);
        n = recv(fd, answer, sizeof answer - 1, 0);
        answer[n > 0 ? n : 0] = '\0';
        if (strncmp(answer, rows[i].answer, strlen(rows[i].answer)) != 0 || (rows[i].answer[0] == '\0' && n > 0))
            fail_msg("%s: %s", rows[i].name, answer);
        while (recv(fd, blanks, sizeof blanks, 0) > 0)
            ;
        if (end(&d, fd) != rows[i].status)
            fail_msg("%s: status %d", rows[i].name, d.status);
    }
    fixture_open(f);
}

/* Counts the lines that tell of a record, each of them once. */
static unsigned count_lines(FILE *in, unsigned most, uint8_t *met)
{
    char    *line = NULL;
    size_t   room = 0;
    unsigned n = 0;

    while (n < most && getline(&line, &room, in) > 0) {
        const char *at = strstr(line, "things?id=");
        unsigned    number = at != NULL ? (unsigned)strtoul(at + strlen("things?id="), NULL, 10) : RECORDS;

        if (number >= RECORDS)
            continue;
        assert_int_equal(met[number]++, 0);
        n++;
    }
    free(line);
    return n;
}

static void test_a_hundred_thousand_records_take_no_memory(void **state)
{
    struct fixture *f = *state;
    uint8_t        *met = mem_alloc(RECORDS);
    struct desk     d;
    FILE           *in;
    size_t          before;

    for (unsigned i = 0; i < RECORDS; i += AT_ONCE)
        assert_true(put_records(f->store, i, i + AT_ONCE, 10));
    fixture_close(f);
    before = mallinfo2().uordblks;
    in = fdopen(begin(&d, f, "GET /entries HTTP/1.0\r\n\r\n"), "r");
    assert_int_equal(count_lines(in, RECORDS / 2, met), RECORDS / 2);
    assert_true(mallinfo2().uordblks < before + 4 * MIB);
    assert_int_equal(count_lines(in, RECORDS, met), RECORDS - RECORDS / 2);
    fclose(in);
    assert_int_equal(end(&d, -1), 0);
    fixture_open(f);
    free(met);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_hundred_thousand_records_take_no_memory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, conf_set_up, conf_tear_down);
}
