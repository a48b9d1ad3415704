/*
 * A program is known by the path of its executable, which only its own user and root may
 * read: for a service in a sandbox all processes of a user are one.
 */
#include "peer/process.h"

#include "base/arena.h"
#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* -- texts -- */

uint64_t process_parse_start(const char *stat)
{
    enum { STATE = 3, START = 22 };
    const char *at = strrchr(stat, ')'); /* the end of field 2, which may hold spaces and brackets */

    if (at == NULL)
        return 0;
    at++;
    for (int field = STATE; field < START; field++) {
        at = strchr(at + (*at == ' '), ' ');
        if (at == NULL)
            return 0;
    }
    return strtoull(at, NULL, 10);
}

unsigned process_parse_link(const char *link)
{
    static const char begin[] = "socket:[";
    char             *end;
    unsigned long     inode;

    if (strncmp(link, begin, sizeof begin - 1) != 0)
        return 0;
    inode = strtoul(link + sizeof begin - 1, &end, 10);
    return end[0] == ']' && end[1] == '\0' && inode <= UINT32_MAX ? (unsigned)inode : 0;
}

/* -- one process -- */

static ssize_t read_at(int folder, const char *name, char *out, size_t bytes)
{
    int     fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, bytes - 1) : -1;

    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n;
}

bool process_open(struct process *p, pid_t pid, uid_t uid)
{
    char        path[32];
    struct stat st;

    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    *p = (struct process){ .pid = pid, .folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) };
    if (p->folder >= 0 && fstat(p->folder, &st) == 0 && st.st_uid == uid)
        return true;
    process_close(p);
    return false;
}

void process_close(struct process *p)
{
    if (p->folder >= 0)
        close(p->folder);
    p->folder = -1;
}

bool process_read(struct process *p)
{
    char    text[1024];
    ssize_t n;

    if (read_at(p->folder, "stat", text, sizeof text) <= 0)
        return false;
    p->started = process_parse_start(text);
    n = readlinkat(p->folder, "exe", text, sizeof text);
    p->program = n > 0 ? XXH3_64bits(text, (size_t)n) : 0;
    if (n > 0 && p->program == 0)
        p->program = 1;
    return p->started != 0;
}

unsigned process_socket(const struct process *p, int fd)
{
    char    path[24], link[48];
    ssize_t n;

    if (fd < 0)
        return 0;
    snprintf(path, sizeof path, "fd/%d", fd);
    n = readlinkat(p->folder, path, link, sizeof link - 1);
    link[n > 0 ? n : 0] = '\0';
    return process_parse_link(link);
}

void *process_descriptors(const struct process *p)
{
    int  fd = openat(p->folder, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;

    if (folder == NULL && fd >= 0)
        close(fd);
    return folder;
}

/* -- all of them -- */

struct process_listed {
    pid_t    pid;
    unsigned age; /* how many pids were given out since, or about that */
};

static int compare_ages(const void *a, const void *b)
{
    const struct process_listed *x = a, *y = b;

    return (x->age > y->age) - (x->age < y->age);
}

/* The number in a file's last word; 0 where it cannot be read. */
static unsigned read_number(const char *path)
{
    char        text[128];
    const char *last;

    file_read_line(path, text, sizeof text);
    last = strrchr(text, ' ');
    return (unsigned)strtoul(last != NULL ? last + 1 : text, NULL, 10);
}

static bool is_of(int proc, const char *name, uid_t uid)
{
    struct stat st;

    return fstatat(proc, name, &st, 0) == 0 && st.st_uid == uid;
}

static size_t list(DIR *proc, uid_t uid, struct process_listed **out)
{
    unsigned             last = read_number("/proc/loadavg"), turn = read_number("/proc/sys/kernel/pid_max");
    const struct dirent *entry;
    size_t               count = 0, capacity = 0;

    while ((entry = readdir(proc)) != NULL) {
        unsigned pid = (unsigned)strtoul(entry->d_name, NULL, 10);

        if (pid == 0 || (pid_t)pid == getpid() || !is_of(dirfd(proc), entry->d_name, uid))
            continue;
        if (count == capacity) {
            capacity = capacity > 0 ? capacity * 2 : 256;
            *out = mem_resize(*out, capacity * sizeof **out);
        }
        (*out)[count++] = (struct process_listed){ (pid_t)pid, pid <= last ? last - pid : last + turn - pid };
    }
    return count;
}

pid_t *process_list(uid_t uid, size_t *count)
{
    DIR                   *proc = opendir("/proc");
    struct process_listed *found = NULL;
    pid_t                 *pids = NULL;

    *count = proc != NULL ? list(proc, uid, &found) : 0;
    if (proc != NULL)
        closedir(proc);
    if (*count > 0) {
        qsort(found, *count, sizeof *found, compare_ages);
        pids = mem_alloc(*count * sizeof *pids);
    }
    for (size_t i = 0; i < *count; i++)
        pids[i] = found[i].pid;
    free(found);
    return pids;
}
