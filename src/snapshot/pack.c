/*
 * A folder with a snapshot as a zip of it, which is read wherever the folder is (place.c).
 *
 * The files stand in it in order and without their times, so that the same snapshot makes the same zip.
 */
#include "snapshot/internal.h"

#include <zip.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { THE_SAME_TIME_S = 10 * 365 * 86400 + 3 * 86400 }; /* in 1980, where a zip's times begin */

struct packing {
    zip_t       *zip;
    struct arena arena; /* of names, which libzip reads when it closes */
    struct slice folder;
};

/* Opened and read when the zip is closed, one file at a time. */
static int add_file(struct packing *p, struct slice name)
{
    const char   *path = ARENA_JOIN(&p->arena, p->folder, SLICE("/"), name, SLICE("\0")).ptr;
    zip_source_t *source = zip_source_file(p->zip, path, 0, -1);
    zip_int64_t index = source != NULL ? zip_file_add(p->zip, arena_copy(&p->arena, name).ptr, source, ZIP_FL_ENC_UTF_8)
                                       : -1;

    if (index < 0) {
        zip_source_free(source);
        return -1;
    }
    return zip_file_set_mtime(p->zip, (zip_uint64_t)index, THE_SAME_TIME_S, 0);
}

static int is_body(const struct dirent *entry)
{
    return line_body_name_is_valid(slice_of(entry->d_name));
}

static int add_bodies(struct packing *p, struct fault *why)
{
    const char     *path = ARENA_JOIN(&p->arena, p->folder, SLICE("/" BODIES_NAME "\0")).ptr;
    struct dirent **names = NULL;
    int             count = scandir(path, &names, is_body, alphasort), result = 0;

    if (count < 0)
        return fault_set_errno(why, errno, "%s", path);
    for (int i = 0; i < count; i++) {
        if (result == 0 && add_file(p, ARENA_JOIN(&p->arena, SLICE(BODIES_NAME "/"), slice_of(names[i]->d_name))) != 0)
            result = fault_set(why, "%s: %s", names[i]->d_name, zip_strerror(p->zip));
        free(names[i]);
    }
    free(names);
    return result;
}

int snapshot_pack(const char *folder, const char *path, struct fault *why)
{
    int            error = 0, result = -1;
    struct packing p = { .zip = zip_open(path, ZIP_CREATE | ZIP_EXCL, &error), .folder = slice_of(folder) };
    zip_error_t    text;

    if (p.zip == NULL) {
        zip_error_init_with_code(&text, error);
        fault_set(why, "%s", zip_error_strerror(&text));
        zip_error_fini(&text);
        return -1;
    }
    if (add_file(&p, SLICE(INDEX_NAME)) != 0)
        fault_set(why, INDEX_NAME ": %s", zip_strerror(p.zip));
    else
        result = add_bodies(&p, why);
    if (result == 0 && zip_close(p.zip) != 0)
        result = fault_set(why, "%s", zip_strerror(p.zip));
    else if (result == 0)
        p.zip = NULL;
    if (p.zip != NULL)
        zip_discard(p.zip);
    arena_free(&p.arena);
    return result;
}
