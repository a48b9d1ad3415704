/*
 * A snapshot's folder: what is recorded is found, by what it is asked with and nothing else; what may not be written is
 * not; what a kill or another writer leaves is read.
 */
#include "snapshot_support.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zip.h>

/* ---- finding ---- */

static const struct simple recorded[] = {
    { "GET", "https://api.example/v1/a?page=2&q=x", NULL, "page two", 0 },
    { "GET", "https://api.example/v1/a?page=3", NULL, "page three", 0 },
    { "GET", "https://api.example/v1/keys?api_key=abc&z=1", NULL, "with a key", 0 },
    { "POST", "https://api.example/v1/a", "{\"limit\":2,\"in\":{\"name\":\"x\"}}", "posted", 0 },
    { "POST", "https://api.example/v1/empty", NULL, "", 0 },
    { "DELETE", "https://api.example/v1/a/7", NULL, "gone", 0 },
};

static const struct {
    const char *name, *method, *url, *body, *answer;
} asked[] = {
    { "the_same", "GET", "https://api.example/v1/a?page=2&q=x", NULL, "page two" },
    { "another_credential", "GET", "https://api.example/v1/keys?api_key=OTHER&z=1", NULL, "with a key" },
    { "the_same_body", "POST", "https://api.example/v1/a", "{\"limit\":2,\"in\":{\"name\":\"x\"}}", "posted" },
    { "an_empty_answer", "POST", "https://api.example/v1/empty", NULL, "" },
    { "a_parameter_differs", "GET", "https://api.example/v1/a?page=4&q=x", NULL,
      "missed: the parameter page is 4 and was 2" },
    { "a_parameter_more", "GET", "https://api.example/v1/a?page=3&w=1", NULL, "missed: the parameter w was not there" },
    { "a_parameter_less", "GET", "https://api.example/v1/a?page=2", NULL,
      "missed: the parameter q is missing, which was x" },
    { "a_member_differs", "POST", "https://api.example/v1/a", "{\"limit\":3,\"in\":{\"name\":\"x\"}}",
      "missed: the body's /limit is 3 and was 2" },
    { "a_member_below_differs", "POST", "https://api.example/v1/a", "{\"limit\":2,\"in\":{\"name\":\"y\"}}",
      "missed: the body's /in/name is \"y\" and was \"x\"" },
    { "no_body", "POST", "https://api.example/v1/a", NULL, "missed: there is no body, and there was one" },
    { "another_method", "PUT", "https://api.example/v1/a/7", NULL, "missed: the method is PUT and was DELETE" },
    { "another_path", "GET", "https://api.example/v1/keyx?api_key=abc&z=1", NULL,
      "missed: the path is /v1/keyx and was /v1/keys" },
    { "another_host", "DELETE", "https://other.example/v1/a/7", NULL,
      "missed: the host is https://other.example and was https://api.example" },
};

static void test_what_is_recorded_is_found(void **state)
{
    struct here            *h = *state;
    struct snapshot_writer *w = writer(h, NULL);
    struct snapshot_reader *s;

    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++)
        record_simple(h, w, &recorded[i]);
    end_writer(h, w);
    s = reader(h, NULL);
    assert_int_equal(snapshot_count(s), sizeof recorded / sizeof *recorded);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        const char *answer = ask(h, s, asked[i].method, asked[i].url, asked[i].body);

        if (strcmp(answer, asked[i].answer) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", asked[i].name, answer, asked[i].answer);
    }
    snapshot_close(s);
}

static void test_equal_ones_are_a_sequence(void **state)
{
    struct here                  *h = *state;
    struct snapshot_writer       *w = writer(h, NULL);
    const struct snapshot_options in_turn = { .order = SNAPSHOT_SEQUENCE };
    struct snapshot_reader       *s;

    for (int i = 3; i >= 1; i--)
        record_simple(h, w,
                      &(struct simple){ "GET", "http://a/x", NULL, (const char *[]){ "", "one", "two", "three" }[i],
                                        1000 * i });
    end_writer(h, w);
    s = reader(h, NULL);
    assert_string_equal(ask(h, s, "GET", "http://a/x", NULL), "three");
    assert_string_equal(ask(h, s, "GET", "http://a/x", NULL), "three");
    snapshot_close(s);
    s = reader(h, &in_turn);
    assert_string_equal(ask(h, s, "GET", "http://a/x", NULL), "one");
    assert_string_equal(ask(h, s, "GET", "http://a/x", NULL), "two");
    assert_string_equal(ask(h, s, "GET", "http://a/x", NULL), "three");
    assert_string_equal(ask(h, s, "GET", "http://a/x", NULL), "three");
    snapshot_close(s);
}

static void test_a_part_answers_who_asks_for_it(void **state)
{
    struct here            *h = *state;
    struct snapshot_writer *w = writer(h, NULL);
    struct snapshot_reader *s;
    struct simple           x = { "GET", "http://a/x", NULL, "whole", 1000 };
    struct http_fields      none = { 0 };

    record(h, w, &x, none, none);
    x.answer = "part";
    x.time_ms = 2000;
    record(h, w, &x, FIELDS(h, "Range: bytes=0-3"), none);
    x.url = "http://a/y";
    record(h, w, &x, FIELDS(h, "Range: bytes=0-3"), none);
    end_writer(h, w);
    s = reader(h, NULL);
    assert_string_equal(ask_with(h, s, "GET", "http://a/x", NULL, none), "whole");
    assert_string_equal(ask_with(h, s, "GET", "http://a/x", NULL, FIELDS(h, "Range: bytes=0-3")), "part");
    assert_string_equal(ask_with(h, s, "GET", "http://a/x", NULL, FIELDS(h, "Range: bytes=4-")), "whole");
    assert_int_equal(strncmp(ask_with(h, s, "GET", "http://a/y", NULL, none), "missed", 6), 0);
    snapshot_close(s);
}

static void test_boundaries_of_multipart_do_not_count(void **state)
{
    struct here            *h = *state;
    struct snapshot_writer *w = writer(h, NULL);
    struct snapshot_reader *s;
    struct simple           x = { "POST", "http://a/x", "--r4nd0m\r\n\r\nfile\r\n--r4nd0m--\r\n", "done", 0 };

    record(h, w, &x, FIELDS(h, "Content-Type: multipart/form-data; boundary=r4nd0m", "Content-Length: 30"),
           (struct http_fields){ 0 });
    end_writer(h, w);
    s = reader(h, NULL);
    assert_string_equal(ask_with(h, s, "POST", "http://a/x", "--an0ther\r\n\r\nfile\r\n--an0ther--\r\n",
                                 FIELDS(h, "Content-Type: multipart/form-data; boundary=\"an0ther\"")),
                        "done");
    snapshot_close(s);
}

/* ---- what a line says ---- */

static void test_all_of_an_exchange_comes_back(void **state)
{
    struct here            *h = *state;
    struct snapshot_writer *w = writer(h, NULL);
    struct http_fields      asks = FIELDS(h, "Accept: a/b", "X-Odd: \xff\x80"), early = FIELDS(h, "Link: </a>"),
                       head = FIELDS(h, "Content-Type: text/event-stream", "X-A: 1", "X-A: 2");
    struct snapshot_recording *r;
    struct snapshot_reader    *s;
    struct snapshot_exchange   x;
    char                      *large = mem_alloc(3 << 20);
    struct snapshot_bytes      bytes;
    struct fault               why;

    memset(large, 'x', 3 << 20);
    r = snapshot_record(w, SLICE("GET"), SLICE("http://a/x"), &asks, 1764350000123);
    snapshot_record_interim(r, 103, &early);
    snapshot_record_head(r, 200, &head);
    for (int i = 0; i < 3; i++)
        snapshot_record_came(r, large, 1 << 20, i * 10);
    snapshot_record_trailer(r, SLICE("X-Sum"), SLICE("7"));
    assert_int_equal(snapshot_record_end(r, SNAPSHOT_CUT, SLICE("it ended early"), 77, &why), SNAPSHOT_KEPT);
    r = snapshot_record(w, SLICE("GET"), SLICE("http://a/none"), &asks, 1764350000123);
    assert_int_equal(snapshot_record_end(r, SNAPSHOT_REFUSED, SLICE("nobody listens"), 1, &why), SNAPSHOT_KEPT);
    end_writer(h, w);

    s = reader(h, NULL);
    assert_true(snapshot_get(s, 1, &x, &h->arena, &why));
    assert_int_equal(x.time_ms, 1764350000123);
    assert_int_equal(x.took_ms, 77);
    assert_int_equal(x.end, SNAPSHOT_CUT);
    assert_true(slice_eq(x.error, SLICE("it ended early")));
    assert_true(slice_eq(x.request.items[1].value, SLICE("\xff\x80")));
    assert_int_equal(x.response.count, 3);
    assert_true(slice_eq(x.response.items[2].value, SLICE("2")));
    assert_true(slice_eq(x.trailers.items[0].name, SLICE("X-Sum")));
    assert_int_equal(x.interim_count, 1);
    assert_int_equal(x.interims[0].status, 103);
    assert_int_equal(x.timing_count, 3);
    assert_int_equal(x.timing[2].at_ms, 20);
    assert_int_equal(x.timing[2].bytes, 3 << 20);
    assert_int_equal(snapshot_body_open(s, &x.body, &bytes, &why), 0);
    assert_int_equal(bytes.bytes, 3 << 20);
    memset(large, 0, 16);
    assert_int_equal(snapshot_body_read(&bytes, (3 << 20) - 4, large, 16), 4);
    assert_memory_equal(large, "xxxx", 4);
    snapshot_body_close(&bytes);
    assert_true(snapshot_get(s, 0, &x, &h->arena, &why));
    assert_int_equal(x.status, 0);
    assert_int_equal(x.end, SNAPSHOT_REFUSED);
    snapshot_close(s);
    free(large);
}

/* ---- several, and kills ---- */

static void test_two_writers_share_a_folder(void **state)
{
    struct here            *h = *state;
    struct snapshot_writer *one = writer(h, NULL), *other = writer(h, NULL);
    struct snapshot_reader *s;

    record_simple(h, one, &(struct simple){ "GET", "http://a/x", NULL, "first", 1000 });
    record_simple(h, other, &(struct simple){ "GET", "http://a/x", NULL, "second", 2000 });
    record_simple(h, one, &(struct simple){ "GET", "http://a/x", NULL, "third", 3000 });
    s = reader(h, NULL); /* while both are at work */
    assert_int_equal(snapshot_count(s), 3);
    snapshot_close(s);
    end_writer(h, other);
    s = reader(h, NULL);
    assert_int_equal(snapshot_count(s), 3);
    assert_string_equal(ask(h, s, "GET", "http://a/x", NULL), "third");
    snapshot_close(s);
    end_writer(h, one);
    assert_int_equal(files_in(h, "."), 2);
    s = reader(h, NULL);
    assert_int_equal(snapshot_count(s), 3);
    snapshot_close(s);
}

/* The journal of a writer that is at work, which begins with "recording-". */
static const char *journal_name(struct here *h)
{
    DIR           *d = fdopendir(openat(h->fd, ".", O_RDONLY | O_DIRECTORY));
    struct dirent *e;
    const char    *name = NULL;

    while (name == NULL && (e = readdir(d)) != NULL)
        if (strncmp(e->d_name, "recording-", 10) == 0)
            name = arena_copy(&h->arena, slice_of(e->d_name)).ptr;
    closedir(d);
    assert_non_null(name);
    return name;
}

static off_t journal_bytes(struct here *h)
{
    struct stat st;

    assert_int_equal(fstatat(h->fd, journal_name(h), &st, 0), 0);
    return st.st_size;
}

/* A child records two and dies: where each of them ends. */
static void record_and_die(struct here *h, off_t *first, off_t *second)
{
    int   ends[2], status;
    pid_t child;
    off_t both[2];

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        struct snapshot_writer *w = snapshot_writer_open(h->fd, NULL, &h->why);

        record_simple(h, w, &(struct simple){ "POST", "http://a/x", "sent", "kept", 1000 });
        both[0] = journal_bytes(h);
        record_simple(h, w, &(struct simple){ "GET", "http://a/y", NULL, "in hand", 2000 });
        both[1] = journal_bytes(h);
        if (write(ends[1], both, sizeof both) != sizeof both)
            abort();
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(read(ends[0], both, sizeof both), sizeof both);
    close(ends[0]);
    close(ends[1]);
    *first = both[0];
    *second = both[1];
}

static void test_a_kill_loses_the_exchange_in_hand_alone(void **state)
{
    struct here            *h = *state;
    struct snapshot_reader *s;
    off_t                   first, second;

    record_and_die(h, &first, &second);
    for (off_t at = second; at >= first; at--) {
        int fd = openat(h->fd, journal_name(h), O_RDWR);

        assert_int_equal(ftruncate(fd, at), 0);
        close(fd);
        s = reader(h, NULL);
        assert_int_equal(snapshot_count(s), at == second ? 2 : 1);
        assert_string_equal(ask(h, s, "POST", "http://a/x", "sent"), "kept");
        snapshot_close(s);
    }
    end_writer(h, writer(h, NULL)); /* takes over what is left */
    assert_int_equal(files_in(h, "."), 2);
    s = reader(h, NULL);
    assert_int_equal(snapshot_count(s), 1);
    assert_string_equal(ask(h, s, "POST", "http://a/x", "sent"), "kept");
    snapshot_close(s);
}

/* A journal may be a client's file: whatever stands in it is read, or said to be damaged. */
static void test_no_byte_of_a_journal_is_believed(void **state)
{
    static const unsigned char wrong[] = { 0x00, 0x01, 0x7f, 0xff };
    struct here               *h = *state;
    off_t                      first, second;
    int                        fd;

    record_and_die(h, &first, &second);
    fd = openat(h->fd, journal_name(h), O_RDWR);
    for (off_t at = 0; at < second; at++) {
        unsigned char was;

        assert_int_equal(pread(fd, &was, 1, at), 1);
        for (size_t i = 0; i < sizeof wrong; i++) {
            struct snapshot_reader *s;

            assert_int_equal(pwrite(fd, &wrong[i], 1, at), 1);
            s = snapshot_open(h->fd, NULL, &h->why);
            if (s == NULL)
                assert_int_not_equal(h->why.text[0], '\0');
            else
                assert_in_range(snapshot_count(s), 0, 2);
            snapshot_close(s);
        }
        assert_int_equal(pwrite(fd, &was, 1, at), 1);
    }
    close(fd);
}

static void test_two_recordings_differ_in_time_alone(void **state)
{
    char *texts[2];

    for (int i = 0; i < 2; i++) {
        struct here            *h = *state;
        struct snapshot_writer *w = writer(h, NULL);
        size_t                  count = sizeof recorded / sizeof *recorded;
        char                   *at;

        for (size_t k = 0; k < count; k++)
            record_simple(h, w, &recorded[i == 0 ? k : count - 1 - k]);
        end_writer(h, w);
        texts[i] = mem_copy(slice_of(strchr(whole_file(h, "snapshot.jsonl"), '\n')));
        while ((at = strstr(texts[i], "\"time\":")) != NULL)
            memset(at, '.', 7);
        tear_down(state);
        set_up(state);
    }
    assert_string_equal(texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
}

/* ---- a zip ---- */

static void zip_up(struct here *h, const char *prefix, bool stored)
{
    static const char *const names[] = { "snapshot.jsonl", NULL };
    char                     path[4096], name[4096];
    int                      error;
    zip_t                   *z;
    DIR                     *d = fdopendir(openat(h->fd, "bodies", O_RDONLY | O_DIRECTORY));
    struct dirent           *e;

    snprintf(path, sizeof path, "%s/it.zip", h->path);
    z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &error);
    assert_non_null(z);
    for (const char *file = names[0]; file != NULL;) {
        snprintf(path, sizeof path, "%s/%s", h->path, file);
        snprintf(name, sizeof name, "%s%s", prefix, file);
        zip_int64_t at = zip_file_add(z, name, zip_source_file(z, path, 0, -1), 0);

        assert_true(at >= 0);
        zip_set_file_compression(z, (zip_uint64_t)at, stored ? ZIP_CM_STORE : ZIP_CM_DEFLATE, 0);
        do
            e = readdir(d);
        while (e != NULL && e->d_name[0] == '.');
        file = e != NULL ? arena_printf(&h->arena, "bodies/%s", e->d_name).ptr : NULL;
    }
    closedir(d);
    assert_int_equal(zip_close(z), 0);
}

static void test_a_zip_does_what_its_folder_does(void **state)
{
    struct here            *h = *state;
    struct snapshot_writer *w = writer(h, NULL);
    char                   *large = mem_alloc(300001);

    memset(large, 'y', 300000);
    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++)
        record_simple(h, w, &recorded[i]);
    record_simple(h, w, &(struct simple){ "GET", "http://a/large", NULL, large, 0 });
    end_writer(h, w);
    for (int i = 0; i < 2; i++) {
        struct snapshot_reader *s;
        int                     fd;

        zip_up(h, i == 0 ? "" : "paper.weir/", i == 0);
        fd = openat(h->fd, "it.zip", O_RDONLY);
        s = snapshot_open(fd, NULL, &h->why);
        if (s == NULL)
            fail_msg("%s", h->why.text);
        assert_null(snapshot_writer_open(fd, NULL, &h->why));
        assert_non_null(strstr(h->why.text, "name a folder"));
        close(fd);
        assert_string_equal(ask(h, s, "GET", "https://api.example/v1/a?page=3", NULL), "page three");
        assert_string_equal(ask(h, s, "GET", "http://a/large", NULL), large);
        assert_int_equal(strncmp(ask(h, s, "GET", "http://a/larger", NULL), "missed: the path", 16), 0);
        snapshot_close(s);
    }
    free(large);
}

/* ---- what is refused ---- */

static void put_file(struct here *h, const char *name, const char *text)
{
    int fd = openat(h->fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static const struct {
    const char *name, *text, *error;
} damaged[] = {
    { "an_empty_file", "", "snapshot.jsonl is empty" },
    { "another_file", "hello\n", "it is no snapshot" },
    { "of_tomorrow", "{\"weir\":2}\n", "of format 2" },
    { "half_a_line", "{\"weir\":1}\n{\"method\":\"GET\",\"ur", "line 2 is no exchange" },
    { "a_body_that_leads_away",
      "{\"weir\":1}\n{\"method\":\"GET\",\"url\":\"http://a/\",\"time\":\"x\",\"request\":"
      "{\"body\":\"../../etc/passwd\"}}\n",
      "line 2 is no exchange" },
    { "a_rule_of_another_kind", "{\"weir\":1,\"redacted\":[\"cookie:x\"]}\n", "redact \"cookie:x\"" },
};

static void test_what_is_damaged_is_named(void **state)
{
    struct here *h = *state;

    int fd;

    assert_null(snapshot_open(h->fd, NULL, &h->why));
    assert_non_null(strstr(h->why.text, "there is no snapshot.jsonl"));
    put_file(h, "it.zip", "hello");
    fd = openat(h->fd, "it.zip", O_RDONLY);
    assert_null(snapshot_open(fd, NULL, &h->why));
    assert_non_null(strstr(h->why.text, "neither a folder nor a zip"));
    close(fd);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        put_file(h, "snapshot.jsonl", damaged[i].text);
        if (snapshot_open(h->fd, NULL, &h->why) != NULL || strstr(h->why.text, damaged[i].error) == NULL)
            fail_msg("%s: %s", damaged[i].name, h->why.text);
    }
}

static void test_a_folder_of_something_else_is_left_alone(void **state)
{
    struct here *h = *state;

    put_file(h, "thesis.tex", "");
    assert_null(snapshot_writer_open(h->fd, NULL, &h->why));
    assert_non_null(strstr(h->why.text, "thesis.tex"));
    assert_int_equal(files_in(h, "."), 1);
}

static void test_a_body_that_was_changed_is_found_out(void **state)
{
    struct here             *h = *state;
    struct snapshot_writer  *w = writer(h, NULL);
    struct snapshot_reader  *s;
    struct snapshot_exchange x;
    struct snapshot_bytes    bytes;
    char                     path[128];

    record_simple(h, w, &recorded[0]);
    end_writer(h, w);
    s = reader(h, NULL);
    assert_true(snapshot_get(s, 0, &x, &h->arena, &h->why));
    snprintf(path, sizeof path, "bodies/" SLICE_FMT, SLICE_ARG(x.body.name));
    put_file(h, path, "page 2!!");
    assert_int_equal(snapshot_body_open(s, &x.body, &bytes, &h->why), -1);
    assert_non_null(strstr(h->why.text, "is not what was recorded"));
    assert_int_equal(unlinkat(h->fd, path, 0), 0);
    assert_int_equal(symlinkat("/etc/passwd", h->fd, path), 0);
    assert_int_equal(snapshot_body_open(s, &x.body, &bytes, &h->why), -1);
    snapshot_close(s);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_recorded_is_found),
        TEST(test_equal_ones_are_a_sequence),
        TEST(test_a_part_answers_who_asks_for_it),
        TEST(test_boundaries_of_multipart_do_not_count),
        TEST(test_all_of_an_exchange_comes_back),
        TEST(test_two_writers_share_a_folder),
        TEST(test_a_kill_loses_the_exchange_in_hand_alone),
        TEST(test_no_byte_of_a_journal_is_believed),
        TEST(test_two_recordings_differ_in_time_alone),
        TEST(test_a_zip_does_what_its_folder_does),
        TEST(test_what_is_damaged_is_named),
        TEST(test_a_folder_of_something_else_is_left_alone),
        TEST(test_a_body_that_was_changed_is_found_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
