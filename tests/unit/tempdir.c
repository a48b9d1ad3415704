/*
 * Temporary directories for tests.
 */
#include "tempdir.h"

#include "base/arena.h"
#include "base/check.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

char *tempdir_make(void)
{
    const char *parent = getenv("TMPDIR");
    char        path[4096];

    CHECK(snprintf(path, sizeof path, "%s/weir-test-XXXXXX", parent != NULL ? parent : "/tmp") < (int)sizeof path);
    CHECK(mkdtemp(path) != NULL);
    return mem_copy(slice_of(path));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

void tempdir_remove(char *path)
{
    if (path != NULL)
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}
