/*
 * The clocks, and the offset that tests put on them.
 *
 * The offset is read with one relaxed load at every reading: the process that
 * writes the file moves the time of this one at once.
 */
#include "base/clock.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t  no_offset;
static _Atomic int64_t *offset_ns = &no_offset;    /* set before any thread starts */

static _Atomic int64_t *map_offset(const char *path)
{
    struct stat st;
    void       *mapped = MAP_FAILED;
    int         fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0)
        goto out;
    if (st.st_size < (off_t)sizeof *offset_ns) {   /* reading behind the end is a SIGBUS */
        errno = EINVAL;
        goto out;
    }
    mapped = mmap(NULL, sizeof *offset_ns, PROT_READ, MAP_SHARED, fd, 0);
out:
    close(fd);
    return mapped != MAP_FAILED ? mapped : NULL;
}

void clock_start(void)
{
    const char      *path = secure_getenv("WEIR_CLOCK_FILE");
    _Atomic int64_t *mapped;

    if (path == NULL || offset_ns != &no_offset)
        return;
    mapped = map_offset(path);
    if (mapped != NULL)
        offset_ns = mapped;
    else
        log_error("clock_file_unusable", "path=%s reason=%s", log_quote(path),
                  log_quote(strerror(errno)));
}

static int64_t read_clock(clockid_t which)
{
    struct timespec t;

    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec +
           atomic_load_explicit(offset_ns, memory_order_relaxed);
}

int64_t clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}
