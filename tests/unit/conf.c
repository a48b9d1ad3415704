/*
 * Loads texts as configurations, for the tests of config/ and of what needs one.
 */
#include "conf.h"

#include "tempdir.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static char *directory;

const char *conf_directory(void)
{
    return directory;
}

const char *conf_path(const char *name)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void write_bytes(const char *path, const char *text, size_t bytes)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, bytes, out), bytes);
    fclose(out);
}

void conf_write(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

char *conf_read(const char *path)
{
    char  *text = NULL;
    size_t bytes = 0;
    FILE  *in = fopen(path, "r"), *out = open_memstream(&text, &bytes);
    int    c;

    if (in == NULL)
        fail_msg("%s cannot be read", path);
    while ((c = getc(in)) != EOF)
        putc(c, out);
    fclose(in);
    fclose(out);
    return text;
}

const char *conf_source(const char *name)
{
    static char path[4096];
    const char *root = getenv("WEIR_SOURCE");

    snprintf(path, sizeof path, "%s/%s", root != NULL ? root : ".", name);
    return path;
}

struct config *conf_load_bytes(const char *text, size_t bytes, char **said)
{
    size_t         length;
    FILE          *problems = open_memstream(said, &length);
    struct config *c;

    write_bytes(conf_path("weir.conf"), text, bytes);
    c = config_load(conf_path("weir.conf"), problems);
    fclose(problems);
    return c;
}

struct config *conf_load(const char *text, char **said)
{
    return conf_load_bytes(text, strlen(text), said);
}

struct config *conf_load_good(const char *text)
{
    char          *said;
    struct config *c = conf_load(text, &said);

    if (c == NULL)
        fail_msg("refused: %s", said);
    free(said);
    return c;
}

char *conf_dump(const struct config *c)
{
    char  *text;
    size_t bytes;
    FILE  *out = open_memstream(&text, &bytes);

    config_dump(c, out);
    fclose(out);
    return text;
}

int conf_set_up(void **state)
{
    (void)state;
    directory = tempdir_make();
    return 0;
}

int conf_tear_down(void **state)
{
    (void)state;
    tempdir_remove(directory);
    return 0;
}
