/*
 * Configurations for tests: texts that are loaded from a directory of the
 * test's own.  One thread.
 */
#ifndef WEIR_TEST_CONF_H
#define WEIR_TEST_CONF_H

#include "config/config.h"

/* An upstream whose further settings stand between the two. */
#define API     "upstreams = ( { name = \"a\"; url = \"https://a.example.org\"; "
#define API_END " } );\n"

const char *conf_directory(void);
/* A path in that directory, and one in the source tree (WEIR_SOURCE, else the working directory):
 * static memory. */
const char *conf_path(const char *name);
const char *conf_source(const char *name);
void        conf_write(const char *path, const char *text);
/* A whole file, NUL-terminated, to be freed. */
char *conf_read(const char *path);

/* Loads a text as weir.conf; *said is what was printed, to be freed. */
struct config *conf_load(const char *text, char **said);
struct config *conf_load_bytes(const char *text, size_t bytes, char **said);
/* Fails the test where it is refused. */
struct config *conf_load_good(const char *text);
/* To be freed. */
char *conf_dump(const struct config *);

int conf_set_up(void **state);
int conf_tear_down(void **state);

#endif
