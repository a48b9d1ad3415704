/*
 * What Weir knows of libmicrohttpd's insides, held against the library itself: one connection, served by it as
 * front/mhd/daemon.c has it set up.  A library that does otherwise fails here.
 */
#include "front/mhd/tricks.h"

#include "base/clock.h"
#include "front/mhd/heads.h"
#include "front/mhd/pool.h"
#include "front/mhd/rawhead.h"
#include "front/mhd/recv.h"
#include "front/mhd/sendfile.h"
#include "front/mhd/slots.h"
#include "front/mhd/sockopt.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILE_BYTES = 1024 * 1024, MHD_PIECE = 128 * 1024 };

#define SIMPLE "GET /a?b HTTP/1.1\r\nHost: h\r\nX-Y:  z\r\n\r\n"

static struct {
    struct MHD_Daemon     *daemon;
    struct MHD_Connection *mhd;
    int                    client, server;
    struct pool            pool;
    const char            *target;
    size_t                 target_bytes, head_bytes;
    struct rawhead         raw;
    bool                   is_plain, waits;
    struct MHD_Response   *response;
    unsigned               status;
    enum head_kind         kind;
    const char            *read_to[8];
    unsigned               reads, options;
    size_t                 largest;     /* that came in one round */
    char                   heard[4096]; /* the beginning of it */
    size_t                 heard_bytes;
} t;

static void *on_target(void *context, const char *uri, struct MHD_Connection *mhd)
{
    (void)context;
    t.mhd = mhd;
    t.target = uri;
    t.target_bytes = strlen(uri);
    pool_enter(&t.pool, uri);
    return NULL;
}

static enum MHD_Result on_field(void *context, enum MHD_ValueKind kind, const char *name, size_t name_bytes,
                                const char *value, size_t value_bytes)
{
    (void)context;
    (void)kind;
    rawhead_field(&t.raw, name, name_bytes, value != NULL ? value : name + name_bytes + 1, value_bytes);
    return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_bytes, void **request)
{
    (void)context;
    (void)url;
    (void)upload;
    (void)upload_bytes;
    pool_enter(&t.pool, t.target);
    if (*request == NULL) {
        *request = &t;
        t.head_bytes = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
        rawhead_begin(&t.raw, t.target, t.target_bytes, version);
        MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, on_field, NULL);
        t.is_plain = rawhead_is_plain(&t.raw, method, t.head_bytes);
        return MHD_YES;
    }
    if (t.waits) {
        t.waits = false;
        MHD_suspend_connection(mhd);
        return MHD_YES;
    }
    heads_announce(t.server, t.kind);
    return MHD_queue_response(mhd, t.status, t.response);
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **request, enum MHD_RequestTerminationCode why)
{
    (void)context;
    (void)mhd;
    (void)request;
    pool_end(&t.pool, why == MHD_REQUEST_TERMINATED_COMPLETED_OK, t.head_bytes, 0, 60 * NS_PER_SEC);
}

static ssize_t on_received(int fd, char *at, ssize_t count, size_t room)
{
    (void)room;
    if (fd == t.server) {
        pool_read(&t.pool, at);
        if (count > 0 && t.reads < sizeof t.read_to / sizeof t.read_to[0])
            t.read_to[t.reads++] = at;
    }
    return count;
}

static bool is_ours(int fd)
{
    t.options += fd == t.server;
    return fd == t.server;
}

static void connect_tcp(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t          bytes = sizeof at;
    int                listener = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&at, bytes), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &bytes), 0);
    t.client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(t.client, (struct sockaddr *)&at, bytes), 0);
    t.server = accept(listener, NULL, NULL);
    close(listener);
}

static void begin(bool is_tcp)
{
    struct sockaddr_in peer = { .sin_family = AF_INET };
    int                pair[2], room = 212992;

    memset(&t, 0, sizeof t);
    t.status = 200;
    t.response = MHD_create_response_from_buffer(2, (void *)(uintptr_t) "ok", MHD_RESPMEM_PERSISTENT);
    if (is_tcp) {
        connect_tcp();
    } else {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        t.client = pair[0];
        t.server = pair[1];
        setsockopt(t.server, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    }
    fcntl(t.client, F_SETFL, O_NONBLOCK);
    fcntl(t.server, F_SETFL, O_NONBLOCK);
    heads_forget(t.server);
    recv_watch(on_received);
    sockopt_keep(is_ours);
    t.daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                                on_request, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_target, NULL,
                                MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                (size_t)POOL_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, 60u, MHD_OPTION_STRICT_FOR_CLIENT, 0,
                                MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    assert_non_null(t.daemon);
    assert_int_equal(MHD_add_connection(t.daemon, t.server, (struct sockaddr *)&peer, sizeof peer), MHD_YES);
}

static void end(void)
{
    pool_leave();
    close(t.client);
    MHD_stop_daemon(t.daemon);
    MHD_destroy_response(t.response);
    pool_close(&t.pool);
    recv_watch(NULL);
    sockopt_keep(NULL);
}

static void respond_with(struct MHD_Response *response)
{
    MHD_destroy_response(t.response);
    t.response = response;
}

/* Rounds of the library, until `wanted` bytes have come, or for a while. */
static void run(size_t wanted)
{
    static char piece[FILE_BYTES + 4096];
    size_t      all = 0;

    t.heard_bytes = 0;
    memset(t.heard, 0, sizeof t.heard);
    for (unsigned rounds = 0; rounds < 2000 && all < wanted; rounds++) {
        size_t  now = 0;
        ssize_t n;

        MHD_run(t.daemon);
        pool_leave();
        while ((n = read(t.client, piece, sizeof piece)) > 0) {
            size_t some = (size_t)n < sizeof t.heard - 1 - t.heard_bytes ? (size_t)n
                                                                         : sizeof t.heard - 1 - t.heard_bytes;

            memcpy(t.heard + t.heard_bytes, piece, some);
            t.heard_bytes += some;
            now += (size_t)n;
        }
        all += now;
        t.largest = now > t.largest ? now : t.largest;
        if (now == 0)
            usleep(1000);
    }
}

static void ask(const char *request, size_t wanted)
{
    assert_int_equal(write(t.client, request, strlen(request)), (ssize_t)strlen(request));
    run(wanted);
}

static void test_it_reads_to_where_its_pool_begins(void **state)
{
    (void)state;
    begin(false);
    ask(SIMPLE, 50);
    ask(SIMPLE, 50);
    assert_int_equal(t.reads, 2);
    assert_int_equal((uintptr_t)t.read_to[0] % 4096, 0);
    assert_ptr_equal(t.read_to[0], t.read_to[1]);
    assert_true(t.target > t.read_to[0] && t.target < t.read_to[0] + 8);
    end();
}

static void test_it_zeroes_its_pool_by_memset_after_a_request(void **state)
{
    (void)state;
#ifndef WEIR_OWN_MEMSET
    skip(); /* the sanitizer's own comes first */
#endif
    begin(false);
    t.pool.is_looked_for = true; /* so that the reset alone tells where it is */
    ask(SIMPLE, 50);
    assert_ptr_equal(t.pool.memory, t.read_to[0]);
    assert_true(t.pool.is_resting);
    end();
}

static void test_it_maps_its_pool_by_mmap(void **state)
{
    char *slot;

    (void)state;
#ifndef SLOTS_ARE_OWN
    skip();
#endif
    slots_open();
    slot = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(slot, POOL_BYTES);
    begin(false);
    ask(SIMPLE, 50);
    assert_ptr_equal(t.read_to[0], slot); /* the first that is free */
    end();
    assert_ptr_equal(mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), slot);
    slots_close();
}

static void test_nothing_of_its_pool_is_needed_while_it_waits(void **state)
{
    (void)state;
    begin(false);
    t.waits = true;
    assert_int_equal(write(t.client, SIMPLE, strlen(SIMPLE)), (ssize_t)strlen(SIMPLE));
    for (unsigned i = 0; i < 100 && t.waits; i++)
        MHD_run(t.daemon);
    assert_false(t.waits);
    assert_true(pool_park(&t.pool));
    pool_unpark(&t.pool);
    MHD_resume_connection(t.mhd);
    run(50);
    assert_non_null(strstr(t.heard, "200 OK\r\n"));
    end();
}

static void test_it_sends_a_head_by_send_with_the_length_last(void **state)
{
    static const struct {
        const char    *name;
        enum head_kind kind;
        bool           has_length;
    } rows[] = {
        { "as_it_is", HEAD_AS_IT_IS, true },
        { "bare", HEAD_BARE, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print_message("# %s\n", rows[i].name);
        begin(false);
        t.status = 304;
        t.kind = rows[i].kind;
        respond_with(MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT));
        MHD_add_response_header(t.response, "ETag", "\"v\"");
        ask(SIMPLE, 30);
        assert_int_equal(strstr(t.heard, "Content-Length: 0\r\n") != NULL, rows[i].has_length);
        assert_string_equal(t.heard + t.heard_bytes - 4, "\r\n\r\n");
        end();
    }
}

static struct MHD_Response *a_file(void)
{
    FILE *file = tmpfile();
    int   fd = dup(fileno(file));

    fclose(file);
    assert_int_equal(ftruncate(fd, FILE_BYTES), 0);
    sendfile_until(fd, FILE_BYTES);
    return MHD_create_response_from_fd_at_offset64(FILE_BYTES, fd, 0);
}

static void test_it_sends_a_file_by_sendfile64(void **state)
{
    (void)state;
    begin(false);
    respond_with(a_file());
    ask(SIMPLE, FILE_BYTES);
    assert_true(t.largest > MHD_PIECE + 1024);
    end();
}

static void test_it_steers_sockets_by_setsockopt(void **state)
{
    int       is_corked = -1;
    socklen_t bytes = sizeof is_corked;

    (void)state;
    begin(true);
    respond_with(a_file());
    ask(SIMPLE, FILE_BYTES);
    assert_true(t.options > 0);
    assert_int_equal(getsockopt(t.server, IPPROTO_TCP, 3 /* TCP_CORK */, &is_corked, &bytes), 0);
    assert_int_equal(is_corked, 0);
    end();
}

static void test_it_leaves_a_head_as_it_was(void **state)
{
    static const struct {
        const char *name, *request;
        bool        is_plain;
    } rows[] = {
        { "plain", SIMPLE, true },
        { "spaces_around_a_value", "GET / HTTP/1.1\r\nHost: h\r\nA: \t b\r\n\r\n", true },
        { "an_empty_value", "GET / HTTP/1.1\r\nHost: h\r\nA:\r\n\r\n", true },
        { "lines_that_end_with_lf", "GET / HTTP/1.1\nHost: h\nA: b\n\n", false },
        { "a_folded_line", "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", false },
        { "a_blank_line_of_lf_alone", "GET / HTTP/1.1\r\nHost: h\r\n\n", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print_message("# %s\n", rows[i].name);
        begin(false);
        ask(rows[i].request, 50);
        assert_int_equal(t.is_plain, rows[i].is_plain);
        end();
    }
}

static void test_a_response_says_what_stands_in_its_own_copy(void **state)
{
    char *age;

    (void)state;
    begin(false);
    MHD_add_response_header(t.response, "Age", "10");
    ask(SIMPLE, 50);
    assert_non_null(strstr(t.heard, "Age: 10\r\n"));
    age = (char *)(uintptr_t)MHD_get_response_header(t.response, "Age");
    age[1] = '7';
    ask(SIMPLE, 50);
    assert_non_null(strstr(t.heard, "Age: 17\r\n"));
    end();
}

static void test_for_which_version(void **state)
{
    static const struct {
        const char *version;
        bool        are_on;
    } rows[] = {
        { TRICKS_MEASURED_WITH, true }, { "0.9.76", false }, { "0.9.7", false },
        { "0.9.75.1", false },          { "1.0.0", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print_message("# %s\n", rows[i].version);
        assert_int_equal(tricks_start(rows[i].version), rows[i].are_on);
        assert_int_equal(trick(TRICK_MEMSET), rows[i].are_on);
        assert_int_equal(trick(TRICK_KEPT), rows[i].are_on);
    }
    assert_true(tricks_start(tricks_library())); /* the one that this machine has */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_for_which_version),
        cmocka_unit_test(test_it_reads_to_where_its_pool_begins),
        cmocka_unit_test(test_it_zeroes_its_pool_by_memset_after_a_request),
        cmocka_unit_test(test_it_maps_its_pool_by_mmap),
        cmocka_unit_test(test_nothing_of_its_pool_is_needed_while_it_waits),
        cmocka_unit_test(test_it_sends_a_head_by_send_with_the_length_last),
        cmocka_unit_test(test_it_sends_a_file_by_sendfile64),
        cmocka_unit_test(test_it_steers_sockets_by_setsockopt),
        cmocka_unit_test(test_it_leaves_a_head_as_it_was),
        cmocka_unit_test(test_a_response_says_what_stands_in_its_own_copy),
    };

    if (!tricks_are_for(TRICKS_MEASURED_WITH))
        return 77; /* built without */
    if (!tricks_are_for(tricks_library()))
        return 77; /* another library: none of them is used with it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
