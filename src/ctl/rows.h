/* Lists of stored responses: what ls shows, and purge --dry-run. */
#ifndef WEIR_CTL_ROWS_H
#define WEIR_CTL_ROWS_H

#include "ctl/ctl.h"

/* A path of the daemon's with parameters: made by a stream of memory, NULL values left out. */
struct rows_path {
    FILE  *out;
    char  *text;
    size_t bytes;
    bool   has_any;
};
void rows_path_begin(struct rows_path *, const char *path);
void rows_path_add(struct rows_path *, const char *name, const char *value);
/* To be freed. */
char *rows_path_end(struct rows_path *);

struct rows_list {
    bool     is_long;
    uint64_t listed;
    bool     has_more; /* than the limit let be told */
};
/* Asks for /entries by that path, and prints them as they come, with --json as one object whose members `count` names
 * how many there were.  False: said why. */
bool rows_print(const struct ctl *, const char *path, const char *count, struct rows_list *);

#endif
