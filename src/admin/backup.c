/*
 * See backup.h.  A folder has `cache`, `state` and, once both are whole, `weir-backup.json`, which says what they are.
 */
#include "admin/backup.h"

#include "base/clock.h"
#include "base/files.h"
#include "http/date.h"
#include "store/backup.h"

#include <jansson.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKUP_FORMAT = 1, PATH_BYTES = 4096 };
static const char manifest[] = "weir-backup.json";

static int say(const struct fault *why)
{
    fprintf(stderr, "weir: %s\n", why->text);
    return 1;
}

static int print(json_t *said, FILE *out)
{
    int rc = json_dumpf(said, out, JSON_INDENT(2)) != 0 || fputc('\n', out) == EOF || fflush(out) != 0;

    json_decref(said);
    return rc;
}

static bool is_empty(int fd)
{
    DIR           *dir = fdopendir(dup(fd));
    struct dirent *e;
    bool           empty = dir != NULL;

    while (dir != NULL && (e = readdir(dir)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            empty = false;
    if (dir != NULL)
        closedir(dir);
    return empty;
}

static int open_new(const char *folder, struct fault *why)
{
    int fd;

    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return fault_set_errno(why, errno, "cannot make the folder %s", folder);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fault_set_errno(why, errno, "cannot open the folder %s", folder);
    if (is_empty(fd))
        return fd;
    close(fd);
    return fault_set(why, "%s is not empty: name a folder that is not there yet", folder);
}

/* One of the two, as a part of the manifest; NULL and *why. */
static json_t *save_one(const char *directory, int folder, const char *name, struct fault *why)
{
    struct backup_size size;
    int                into = -1, rc;

    if (mkdirat(folder, name, 0700) != 0 || (into = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        fault_set_errno(why, errno, "cannot make the folder %s", name);
        return NULL;
    }
    rc = backup_take(directory, into, &size, why);
    close(into);
    if (rc != 0)
        return NULL;
    return json_pack("{s:s, s:I, s:I}", "directory", directory, "files", (json_int_t)size.files, "bytes",
                     (json_int_t)size.bytes);
}

/* The last thing: what has none was broken off. */
static int write_manifest(int folder, const json_t *said, struct fault *why)
{
    int  fd = file_open(folder, manifest, O_WRONLY | O_CREAT | O_EXCL, 0600);
    bool ok = fd >= 0 && json_dumpfd(said, fd, JSON_INDENT(2)) == 0 && fsync(fd) == 0 && fsync(folder) == 0;

    if (!ok)
        fault_set_errno(why, errno, "cannot write %s", manifest);
    if (fd >= 0)
        close(fd);
    return ok ? 0 : -1;
}

int backup_save(const struct config *c, const char *folder, FILE *out)
{
    struct fault why = { "" };
    char         now[HTTP_DATE_BYTES];
    const struct {
        const char *name, *directory;
    } parts[] = { { "state", c->state.path }, { "cache", c->cache.path } };
    json_t *said;
    int     fd = open_new(folder, &why), rc = 0;

    if (fd < 0)
        return say(&why);
    http_date_format(clock_wall_ns() / NS_PER_SEC, now);
    said = json_pack("{s:i, s:s, s:s}", "weir_backup", BACKUP_FORMAT, "version", PACKAGE_VERSION, "created", now);
    for (unsigned i = 0; rc == 0 && i < 2; i++) {
        json_t *part = save_one(parts[i].directory, fd, parts[i].name, &why);

        rc = part != NULL ? json_object_set_new(said, parts[i].name, part) : -1;
    }
    if (rc == 0)
        rc = write_manifest(fd, said, &why);
    close(fd);
    if (rc == 0)
        return print(said, out);
    json_decref(said);
    return say(&why);
}

/* False: it is no backup that this version can read. */
static bool read_manifest(int folder, const char *name, struct fault *why)
{
    int        fd = file_open(folder, manifest, O_RDONLY, 0);
    json_t    *said = fd >= 0 ? json_loadfd(fd, 0, NULL) : NULL;
    json_int_t version = json_integer_value(json_object_get(said, "weir_backup"));

    if (fd >= 0)
        close(fd);
    if (version == 0)
        fault_set(why, "%s has no %s: it is no backup of weir's, or one that was broken off", name, manifest);
    else if (version > BACKUP_FORMAT)
        fault_set(why, "%s was made by weir %s, in a newer form than this version reads: use that version", name,
                  json_string_value(json_object_get(said, "version")));
    json_decref(said);
    return version == BACKUP_FORMAT;
}

static json_t *restored(const struct backup_target *t)
{
    json_t *o = json_pack("{s:s, s:I, s:I}", "directory", t->directory, "files", (json_int_t)t->size.files, "bytes",
                          (json_int_t)t->size.bytes);

    if (t->aside[0] != '\0')
        json_object_set_new(o, "aside", json_string(t->aside));
    return o;
}

static int put_back(const struct config *c, int folder, FILE *out, struct fault *why)
{
    struct backup_target t[] = {
        { .from_fd = openat(folder, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC), .directory = c->state.path },
        { .from_fd = openat(folder, "cache", O_RDONLY | O_DIRECTORY | O_CLOEXEC), .directory = c->cache.path },
    };
    int rc = backup_put_back(t, 2, why);

    close(t[0].from_fd);
    close(t[1].from_fd);
    return rc == 0 ? print(json_pack("{s:o, s:o}", "state", restored(&t[0]), "cache", restored(&t[1])), out) : -1;
}

int backup_restore(const struct config *c, const struct state_owner *const owners[], const char *folder, FILE *out)
{
    struct fault why = { "" };
    char         state[PATH_BYTES], cache[PATH_BYTES];
    int          fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = -1;

    if (fd < 0) {
        fault_set_errno(&why, errno, "cannot open %s", folder);
        return say(&why);
    }
    snprintf(state, sizeof state, "%s/state", folder);
    snprintf(cache, sizeof cache, "%s/cache", folder);
    if (read_manifest(fd, folder, &why) && backup_check_state(state, owners, &why) == 0 &&
        backup_check_cache(cache, &why) == 0)
        rc = put_back(c, fd, out, &why);
    close(fd);
    return rc < 0 ? say(&why) : rc;
}
