/*
 * long: one set of helpers for all that is done with a folder.
 *
 * A snapshot's folder: what is recorded is found, by what it is asked with and nothing else; what may not be written is
 * not; what a kill or another writer leaves is read.
 */
#include "snapshot/snapshot.h"
#include "tempdir.h"

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
#include <sys/wait.h>
#include <unistd.h>

struct here {
    char        *path;
    int          fd;
    struct arena arena;
    struct fault why;
};

static int set_up(void **state)
{
    struct here *h = mem_alloc(sizeof *h);

    h->path = tempdir_make();
    h->fd = open(h->path, O_RDONLY | O_DIRECTORY);
    *state = h;
    return 0;
}

static int tear_down(void **state)
{
    struct here *h = *state;

    close(h->fd);
    tempdir_remove(h->path);
    arena_free(&h->arena);
    free(h);
    return 0;
}

/* "Name: value" each, to NULL. */
static struct http_fields fields(struct arena *a, const char *const *lines)
{
    struct http_fields f = { 0 };

    for (; lines != NULL && *lines != NULL; lines++) {
        struct slice line = slice_of(*lines);
        size_t       colon = slice_find(line, ':', 0);

        http_fields_add(&f, a, slice_sub(line, 0, colon), slice_trim(slice_sub(line, colon + 1, line.len)));
    }
    return f;
}

#define FIELDS(h, ...) fields(&(h)->arena, (const char *const[]){ __VA_ARGS__, NULL })

struct simple { /* an exchange in few words */
    const char *method, *url, *sent, *answer;
    int64_t     time_ms;
};

static enum snapshot_kept record(struct here *h, struct snapshot_writer *w, const struct simple *s,
                                 struct http_fields request, struct http_fields response)
{
    struct snapshot_recording *r = snapshot_record(w, slice_of(s->method), slice_of(s->url), &request,
                                                   s->time_ms > 0 ? s->time_ms : 1000);

    if (s->sent != NULL)
        snapshot_record_sent(r, s->sent, strlen(s->sent));
    snapshot_record_head(r, 200, &response);
    if (s->answer != NULL)
        snapshot_record_came(r, s->answer, strlen(s->answer), -1);
    return snapshot_record_end(r, SNAPSHOT_WHOLE, SLICE(""), 5, &h->why);
}

static struct snapshot_writer *writer(struct here *h, const struct snapshot_options *o)
{
    struct snapshot_writer *w = snapshot_writer_open(h->fd, o, &h->why);

    if (w == NULL)
        fail_msg("%s", h->why.text);
    return w;
}

static struct snapshot_reader *reader(struct here *h, const struct snapshot_options *o)
{
    struct snapshot_reader *s = snapshot_open(h->fd, o, &h->why);

    if (s == NULL)
        fail_msg("%s", h->why.text);
    return s;
}

static void end_writer(struct here *h, struct snapshot_writer *w)
{
    enum snapshot_kept kept = snapshot_writer_close(w, NULL, &h->why);

    if (kept != SNAPSHOT_KEPT)
        fail_msg("%s", h->why.text);
}

static void record_simple(struct here *h, struct snapshot_writer *w, const struct simple *s)
{
    struct http_fields none = { 0 };

    assert_int_equal(record(h, w, s, none, FIELDS(h, "Content-Type: application/json")), SNAPSHOT_KEPT);
}

/* The body that answers; "missed: DIFFERENCE" else. */
static const char *ask_with(struct here *h, struct snapshot_reader *s, const char *method, const char *url,
                            const char *body, struct http_fields f)
{
    struct snapshot_request  q = { slice_of(method), slice_of(url), &f, slice_of(body) };
    struct snapshot_exchange x;
    struct snapshot_nearest  near;
    struct slice             text;

    switch (snapshot_find(s, &q, &x, &near, &h->arena, &h->why)) {
    case SNAPSHOT_FOUND:
        if (!snapshot_body_all(s, &x.body, 1 << 20, &h->arena, &text, &h->why))
            fail_msg("%s", h->why.text);
        return text.ptr;
    case SNAPSHOT_MISSED:
        return arena_printf(&h->arena, "missed: " SLICE_FMT, SLICE_ARG(near.difference)).ptr;
    default:
        return arena_printf(&h->arena, "broken: %s", h->why.text).ptr;
    }
}

static const char *ask(struct here *h, struct snapshot_reader *s, const char *method, const char *url, const char *body)
{
    return ask_with(h, s, method, url, body, (struct http_fields){ 0 });
}

static char *whole_file(struct here *h, const char *name)
{
    char   path[4096];
    FILE  *f;
    char  *text = arena_alloc(&h->arena, 1 << 16);
    size_t n;

    snprintf(path, sizeof path, "%s/%s", h->path, name);
    f = fopen(path, "r");
    assert_non_null(f);
    n = fread(text, 1, (1 << 16) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

static unsigned files_in(struct here *h, const char *name)
{
    char           path[4096];
    DIR           *d;
    struct dirent *e;
    unsigned       n = 0;

    snprintf(path, sizeof path, "%s/%s", h->path, name);
    d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

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

/* ---- secrets ---- */

#define SECRET "s3cr3t/with+odd&signs"

static const struct {
    const char *name, *url, *field, *answer_field, *answer;
    bool        kept;
} secrets[] = {
    { "in_its_own_places", "http://a/x?token=" SECRET, "Authorization: Bearer " SECRET, "X: 1", "fine", true },
    { "said_again_in_a_field", "http://a/x", "Authorization: Bearer " SECRET, "Link: <http://a/?t=" SECRET ">", "",
      true },
    { "percent_encoded_in_a_field", "http://a/x", "X-Api-Key: " SECRET,
      "Location: http://a/s3cr3t%2Fwith%2bodd%26signs", "", true },
    { "in_another_request_field", "http://a/x", "Authorization: Bearer " SECRET, "X: 1", "", true },
    { "a_cookie", "http://a/x", "Cookie: a=1; sid=" SECRET, "Set-Cookie: sid=" SECRET "; Path=/", "", true },
    { "in_a_body", "http://a/x", "Authorization: Bearer " SECRET, "X: 1", "you sent " SECRET, false },
    { "in_a_body_percent_encoded", "http://a/x", "Authorization: Bearer " SECRET, "X: 1", "s3cr3t%2fwith%2Bodd%26signs",
      false },
    { "in_a_body_encoded_twice", "http://a/x", "Authorization: Bearer " SECRET, "X: 1",
      "s3cr3t%252Fwith%252Bodd%2526signs", false },
    { "in_a_body_as_json", "http://a/x", "Authorization: Bearer " SECRET, "X: 1", "\"s3cr3t\\/with+odd\\u0026signs\"",
      false },
    { "in_a_body_in_base64", "http://a/x", "Authorization: Bearer " SECRET, "X: 1",
      "YTpzM2NyM3Qvd2l0aCtvZGQmc2lnbnM=", false },
    { "the_password_of_basic", "http://a/x", "Authorization: Basic dXNlcjpzM2NyM3Qvd2l0aCtvZGQmc2lnbnM=", "X: 1",
      SECRET, false },
    { "too_short_to_mean_anything", "http://a/x?key=short", "X-Api-Key: abc", "X: abc", "abc short", true },
};

static void grep(struct here *h, const char *name, const char *text)
{
    static const char *const forms[] = { SECRET,          "s3cr3t%2Fwith", "s3cr3t%2fwith",  "s3cr3t",
                                         "M2NyM3Qvd2l0a", "zY3IzdC93aXRo", "czNjcjN0L3dpdGg" };

    (void)h;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strstr(text, forms[i]) != NULL)
            fail_msg("%s: %s stands in %s", name, forms[i], text);
}

static void test_no_credential_is_written(void **state)
{
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        struct here            *h;
        struct snapshot_writer *w;
        enum snapshot_kept      kept;

        tear_down(state);
        set_up(state);
        h = *state;
        w = writer(h, NULL);
        kept = record(h, w, &(struct simple){ "GET", secrets[i].url, NULL, secrets[i].answer, 0 },
                      FIELDS(h, secrets[i].field, "X-Again: " SECRET), FIELDS(h, secrets[i].answer_field));
        if (kept != (secrets[i].kept ? SNAPSHOT_KEPT : SNAPSHOT_SECRET))
            fail_msg("%s: %d, %s", secrets[i].name, (int)kept, h->why.text);
        grep(h, secrets[i].name, h->why.text);
        end_writer(h, w);
        if (strstr(secrets[i].name, "short") == NULL)
            grep(h, secrets[i].name, whole_file(h, "snapshot.jsonl"));
        if (!secrets[i].kept)
            assert_int_equal(files_in(h, "bodies"), 0);
        assert_int_equal(files_in(h, "."), 2);
    }
}

static void test_what_is_learned_later_is_taken_out_at_the_close(void **state)
{
    struct here            *h = *state;
    struct snapshot_writer *w = writer(h, NULL);
    struct http_fields      none = { 0 }, json = FIELDS(h, "Content-Type: application/json");
    size_t                  written;

    record(h, w, &(struct simple){ "POST", "http://a/login", NULL, "{\"access_token\":\"" SECRET "\"}", 0 }, none,
           json);
    record(h, w, &(struct simple){ "POST", "http://a/early", NULL, "{}", 0 }, none, FIELDS(h, "X-Token: " SECRET));
    record(h, w, &(struct simple){ "GET", "http://a/x", NULL, "fine", 0 }, FIELDS(h, "Authorization: Bearer " SECRET),
           none);
    assert_int_equal(snapshot_writer_close(w, &written, &h->why), SNAPSHOT_SECRET);
    assert_int_equal(written, 2);
    assert_non_null(strstr(h->why.text, "POST http://a/login"));
    grep(h, "later", whole_file(h, "snapshot.jsonl"));
    assert_non_null(strstr(whole_file(h, "snapshot.jsonl"), "[\"X-Token\",\"***\"]"));
    assert_int_equal(files_in(h, "bodies"), 2);
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

static void test_a_kill_loses_nothing_that_was_kept(void **state)
{
    struct here            *h = *state;
    struct snapshot_writer *w;
    struct snapshot_reader *s;
    pid_t                   child = fork();
    int                     status;

    if (child == 0) {
        w = snapshot_writer_open(h->fd, NULL, &h->why);
        record_simple(h, w, &(struct simple){ "GET", "http://a/x", NULL, "kept", 1000 });
        /* The next one is cut in the middle of its line. */
        DIR           *d = fdopendir(openat(h->fd, ".", O_RDONLY | O_DIRECTORY));
        struct dirent *e;

        while ((e = readdir(d)) != NULL)
            if (strncmp(e->d_name, "recording-", 10) == 0) {
                int fd = openat(h->fd, e->d_name, O_WRONLY | O_APPEND);

                if (write(fd, "{\"method\":\"GET\",\"ur", 19) != 19)
                    abort();
            }
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    s = reader(h, NULL);
    assert_string_equal(ask(h, s, "GET", "http://a/x", NULL), "kept");
    snapshot_close(s);
    w = writer(h, NULL);
    end_writer(h, w);
    assert_int_equal(files_in(h, "."), 2);
    s = reader(h, NULL);
    assert_int_equal(snapshot_count(s), 1);
    snapshot_close(s);
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

    assert_null(snapshot_open(h->fd, NULL, &h->why));
    assert_non_null(strstr(h->why.text, "there is no snapshot.jsonl"));
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
        TEST(test_no_credential_is_written),
        TEST(test_what_is_learned_later_is_taken_out_at_the_close),
        TEST(test_two_writers_share_a_folder),
        TEST(test_a_kill_loses_nothing_that_was_kept),
        TEST(test_two_recordings_differ_in_time_alone),
        TEST(test_what_is_damaged_is_named),
        TEST(test_a_folder_of_something_else_is_left_alone),
        TEST(test_a_body_that_was_changed_is_found_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
