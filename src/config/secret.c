/*
 * One reader for the three places.
 */
#include "config/secret.h"

#include "base/files.h"
#include "http/fields.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct slice secret_value(struct slice text, struct fault *why)
{
    struct slice value = text;

    while (value.len > 0 && strchr(" \t\r\n", value.ptr[0]) != NULL)
        value = slice_sub(value, 1, value.len);
    while (value.len > 0 && strchr(" \t\r\n", value.ptr[value.len - 1]) != NULL)
        value.len--;
    if (value.len > 0 && value.len <= SECRET_BYTES && http_is_field_value(value))
        return value;
    fault_set(why, value.len == 0             ? "is empty"
                   : value.len > SECRET_BYTES ? "is longer than 16 KiB"
                                              : "is more than one line of text");
    return SLICE_NONE;
}

static struct slice read_file(const char *path, struct arena *a, struct fault *why)
{
    char   *text = arena_alloc_raw(a, SECRET_BYTES + 16);
    int     fd = file_open_named(path);
    ssize_t n = fd >= 0 ? file_read(fd, text, SECRET_BYTES + 16) : -1;

    if (fd < 0 && errno == EINVAL)
        fault_set(why, "cannot be read from %s: that is no regular file", path);
    else if (n < 0)
        fault_set_errno(why, errno, "cannot be read from %s", path);
    if (fd >= 0)
        close(fd);
    return n < 0 ? SLICE_NONE : (struct slice){ text, (size_t)n };
}

struct slice secret_read(const char *source, struct arena *a, struct fault *why)
{
    const char  *directory = getenv("CREDENTIALS_DIRECTORY");
    struct slice text;

    if (strncmp(source, "env:", 4) == 0) {
        text = arena_copy(a, slice_of(getenv(source + 4)));
        if (getenv(source + 4) == NULL) {
            fault_set(why, "is not in the environment: %s is not set", source + 4);
            return SLICE_NONE;
        }
    } else if (strncmp(source, "credential:", 11) != 0) {
        text = read_file(source, a, why);
    } else if (directory == NULL) {
        fault_set(why, "is not there: systemd gave no credentials; the unit needs LoadCredential=%s:FILE", source + 11);
        return SLICE_NONE;
    } else {
        text = read_file(arena_printf(a, "%s/%s", directory, source + 11).ptr, a, why);
    }
    return text.ptr != NULL ? secret_value(text, why) : text;
}
