/*
 * setsockopt() as the kernel has it, but for the two options of TCP that libmicrohttpd would set.
 */
#include "front/mhd/sockopt.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Thread_local bool (*is_kept_here)(int fd);

void sockopt_keep(bool (*is_kept)(int fd))
{
    is_kept_here = is_kept;
}

#ifdef WEIR_MHD_TRICKS
int setsockopt(int fd, int level, int name, const void *value, socklen_t bytes)
{
    if (level == IPPROTO_TCP && (name == TCP_CORK || name == TCP_NODELAY) && is_kept_here != NULL && is_kept_here(fd)) {
        errno = ENOPROTOOPT;
        return -1;
    }
    return (int)syscall(SYS_setsockopt, fd, level, name, value, bytes);
}
#endif
