/*
 * The clocks, and the offsets that tests put on them.
 *
 * An offset is read with one relaxed load at every reading: the process that
 * writes the file moves the time of this one at once.
 */
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Between two readings something else may run; corrections that are slewed in add up to a step. */
#define SMALLEST_STEP_NS (200 * NS_PER_MS)

static _Atomic int64_t  no_offset;
static _Atomic int64_t *mono_offset_ns = &no_offset, *wall_offset_ns = &no_offset; /* set before any thread starts */

/* One number for both clocks, or a second one for the wall clock. */
static _Atomic int64_t *map_offsets(const char *path, bool *are_two)
{
    struct stat st;
    void       *mapped = MAP_FAILED;
    int         fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0)
        goto out;
    if (st.st_size < (off_t)sizeof(int64_t)) { /* reading past the end is a SIGBUS */
        errno = EINVAL;
        goto out;
    }
    *are_two = st.st_size >= (off_t)(2 * sizeof(int64_t));
    mapped = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
out:
    close(fd);
    return mapped != MAP_FAILED ? mapped : NULL;
}

bool clock_start(void)
{
    const char      *path = secure_getenv("WEIR_CLOCK_FILE");
    _Atomic int64_t *mapped;
    bool             are_two = false;

    if (path == NULL || mono_offset_ns != &no_offset)
        return true;
    mapped = map_offsets(path, &are_two);
    if (mapped == NULL)
        return false;
    mono_offset_ns = mapped;
    wall_offset_ns = mapped + are_two;
    return true;
}

static int64_t read_clock(clockid_t which, const _Atomic int64_t *offset_ns)
{
    struct timespec t;

    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec + atomic_load_explicit(offset_ns, memory_order_relaxed);
}

int64_t clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME, wall_offset_ns);
}

int64_t clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC, mono_offset_ns);
}

int64_t clock_real_ns(void)
{
    return read_clock(CLOCK_MONOTONIC, &no_offset);
}

int64_t clock_mono_of(int64_t real_ns)
{
    return real_ns + atomic_load_explicit(mono_offset_ns, memory_order_relaxed);
}

int64_t clock_wall_step_ns(void)
{
    static int64_t last_ns;
    static bool    has_last;
    const int64_t  between_ns = clock_wall_ns() - clock_mono_ns();
    const int64_t  step_ns = has_last ? between_ns - last_ns : 0;

    if (has_last && step_ns > -SMALLEST_STEP_NS && step_ns < SMALLEST_STEP_NS)
        return 0;
    last_ns = between_ns;
    has_last = true;
    return step_ns;
}
