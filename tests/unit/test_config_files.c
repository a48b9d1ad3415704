/*
 * The embedded default, the shipped file and the manual agree with the table
 * of settings and with one another.
 *
 * With WEIR_UPDATE_MANUAL=1 the manual's tables are written instead of compared.
 */
#include "conf.h"
#include "config/settings.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* -- the embedded default -- */

static void test_default_uses_the_users_directories(void **state)
{
    struct config *c;

    (void)state;
    setenv("HOME", "/home/ann", 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_RUNTIME_DIR");
    setenv("XDG_CACHE_HOME", "/caches", 1);
    c = config_load_default(NULL);
    assert_non_null(c);
    assert_null(c->file);
    assert_string_equal(c->cache.path, "/caches/weir");
    assert_string_equal(c->state.path, "/home/ann/.local/state/weir");
    assert_string_equal(c->admin_socket.address, "unix:/home/ann/.local/state/weir/run/admin.sock");
    assert_string_equal(c->listeners[0].address, "127.0.0.1:8080");
    assert_string_equal(c->proxy.listen, "127.0.0.1:3128");
    assert_false(c->proxy.required);
    config_release(c);
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    unsetenv("XDG_CACHE_HOME");
    c = config_load_default(NULL);
    assert_string_equal(c->admin_socket.address, "unix:/run/user/7/weir/admin.sock");
    assert_string_equal(c->cache.path, "/home/ann/.cache/weir");
    config_release(c);
}

/* As root the test takes another user's part for a moment: who is root looks into /etc. */
static void test_a_user_has_a_file_and_defaults_of_their_own(void **state)
{
    char           found[4096], config[4096];
    struct config *c;
    bool           root = geteuid() == 0;

    (void)state;
    chmod(conf_directory(), 0777);
    if (root && seteuid(65534) != 0)
        skip();
    setenv("XDG_CONFIG_HOME", conf_directory(), 1);
    setenv("XDG_CACHE_HOME", "/caches", 1);
    assert_null(config_find(found, sizeof found));
    assert_int_equal(mkdir(conf_path("weir"), 0700), 0);
    snprintf(config, sizeof config, "%s", conf_path("weir/weir.conf"));
    conf_write(config, API API_END);
    assert_non_null(config_find(found, sizeof found));
    assert_string_equal(found, config);
    c = config_load(found, NULL);
    assert_string_equal(c->cache.path, "/caches/weir");
    assert_true(c->proxy.required);
    config_release(c);
    unlink(config);
    rmdir(conf_path("weir"));
    if (root)
        assert_int_equal(seteuid(0), 0);
    chmod(conf_directory(), 0700);
}

/* -- the table, the shipped file and the manual agree -- */

struct mention {
    const char *where, *text;
    unsigned    rows;
};

/* The name stands there as a word, before "=" or, in a remark that it is not set, ":". */
static bool is_mentioned(const char *text, const char *name)
{
    for (const char *at = text; (at = strstr(at, name)) != NULL; at++) {
        const char *behind = at + strlen(name);

        behind += strspn(behind, " ");
        if ((at == text || strchr("\n #{(;", at[-1]) != NULL) && (*behind == '=' || *behind == ':'))
            return true;
    }
    return false;
}

static void check_mentioned(void *context, const struct section *section, const struct option *o)
{
    struct mention *m = context;

    m->rows++;
    if (!is_mentioned(m->text, o->name))
        fail_msg("%s does not have %s of %s", m->where, o->name, section->title);
}

static void test_dump_has_every_setting(void **state)
{
    struct config *c = conf_load_good(
        "clients = ( { match = \"x\"; } );" API
        "limits = ( \"1/s\" ); learn = ( { remaining = \"X-Left\"; } ); rules = ( { match = \"/\"; } );"
        "identities = ( { name = \"x\"; value_files = ( \"env:X\" ); } );" API_END);
    char          *text = conf_dump(c);
    struct mention m = { "the dump", text, 0 };

    (void)state;
    options_visit(check_mentioned, &m);
    assert_true(m.rows > 100);
    free(text);
    config_release(c);
}

static void test_shipped_file_shows_every_setting(void **state)
{
    char          *text = conf_read(conf_source("etc/weir.conf"));
    struct mention m = { "etc/weir.conf", text, 0 };

    (void)state;
    options_visit(check_mentioned, &m);
    free(text);
}

static void copy_mocks(void)
{
    static const char *const files[] = { "crossref", "gbif", "github", "inat", "nominatim", "wikipedia" };
    char                     from[64], to[64];

    assert_true(mkdir(conf_path("mocks"), 0700) == 0 || errno == EEXIST);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *mocks;

        snprintf(from, sizeof from, "etc/mocks/%s.conf", files[i]);
        snprintf(to, sizeof to, "mocks/%s.conf", files[i]);
        mocks = conf_read(conf_source(from));
        conf_write(conf_path(to), mocks);
        free(mocks);
    }
}

/* What the shipped file names by "/etc/weir/" stands beside it. */
static void move_here(char *text)
{
    static const char folder[] = "/etc/weir/";
    const size_t      length = sizeof folder - 1;

    for (char *at; (at = strstr(text, folder)) != NULL;)
        memmove(at, at + length, strlen(at + length) + 1);
    conf_write(conf_path("example-ca.pem"), "-----BEGIN CERTIFICATE-----\n");
    conf_write(conf_path("proxy-ca.pem"), "-----BEGIN CERTIFICATE-----\n");
    conf_write(conf_path("example.pem"), "-----BEGIN CERTIFICATE-----\n");
    conf_write(conf_path("example.key"), "-----BEGIN PRIVATE KEY-----\n");
}

/* A "#" and one blank begin a remark; after any other "#" stands a setting, or more of one. */
static void test_shipped_file_is_right_uncommented_too(void **state)
{
    char          *text = conf_read(conf_source("etc/weir.conf")), *said;
    struct config *c;

    (void)state;
    for (char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n'), line += line != NULL)
        if (line[0] == '#' && line[1] != '\n' && (line[1] != ' ' || line[2] == ' '))
            line[0] = ' ';
    move_here(text);
    copy_mocks();
    c = conf_load(text, &said);
    if (c == NULL)
        fail_msg("%s", said);
    for (char *line = said; *line != '\0'; line += strcspn(line, "\n") + 1) {
        const char *yet = strstr(line, ": is not in effect yet");

        if (yet == NULL || memchr(line, '\n', (size_t)(yet - line)) != NULL)
            fail_msg("%s", line);
    }
    assert_int_equal(c->upstream_count, 8);
    assert_int_equal(c->client_count, 1);
    config_release(c);
    free(text);
    free(said);
}

/* From "upstreams = (" on. */
static char *upstreams_dumped(struct config *c)
{
    char *all, *from;

    assert_non_null(c);
    all = conf_dump(c);
    from = mem_copy(slice_of(strstr(all, "\nupstreams = (")));
    free(all);
    config_release(c);
    return from;
}

static void test_shipped_and_embedded_upstreams_are_the_same(void **state)
{
    char *text = conf_read(conf_source("etc/weir.conf")), *said, *shipped,
         *embedded = upstreams_dumped(config_load_default(NULL));

    (void)state;
    /* The mocks stand uncommented in the embedded one, which needs no files beside it. */
    for (char *line = strstr(text, "\nupstreams = (") + 1; strstr(line, "--- Everything an upstream") != NULL;
         line = strchr(line, '\n') + 1)
        if (line[0] == '#' && line[1] == ' ' && line[2] == ' ')
            line[0] = ' ';
    copy_mocks();
    shipped = upstreams_dumped(conf_load(text, &said));
    free(text);
    free(said);
    assert_string_equal(shipped, embedded);
    free(shipped);
    free(embedded);
}

static void test_manual_has_the_table(void **state)
{
    static const char begin[] = ".\\\" BEGIN settings\n", end[] = ".\\\" END settings\n";
    char             *page = conf_read(conf_source("doc/weir.conf.5")), *tables = NULL;
    size_t            bytes = 0;
    FILE             *out = open_memstream(&tables, &bytes);
    char             *from = strstr(page, begin), *to = strstr(page, end);

    (void)state;
    options_print_manual(out);
    fclose(out);
    assert_true(from != NULL && to != NULL && from < to);
    from += strlen(begin);
    if (getenv("WEIR_UPDATE_MANUAL") != NULL) {
        FILE *fresh = fopen(conf_source("doc/weir.conf.5"), "w");

        assert_non_null(fresh);
        fprintf(fresh, "%.*s%s%s", (int)(from - page), page, tables, to);
        fclose(fresh);
    } else if ((size_t)(to - from) != bytes || strncmp(from, tables, bytes) != 0) {
        fail_msg("the tables of doc/weir.conf.5 are not those of src/config/options.c: "
                 "make manual writes them");
    }
    free(page);
    free(tables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_uses_the_users_directories),
        cmocka_unit_test(test_a_user_has_a_file_and_defaults_of_their_own),
        cmocka_unit_test(test_dump_has_every_setting),
        cmocka_unit_test(test_shipped_file_shows_every_setting),
        cmocka_unit_test(test_shipped_file_is_right_uncommented_too),
        cmocka_unit_test(test_shipped_and_embedded_upstreams_are_the_same),
        cmocka_unit_test(test_manual_has_the_table),
    };

    return cmocka_run_group_tests(tests, conf_set_up, conf_tear_down);
}
