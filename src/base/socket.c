/*
 * TCP_QUICKACK is no state that lasts: it sends what acknowledgement is due, and the kernel goes on as it likes.
 */
#include "base/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

void socket_acknowledge(int fd)
{
    const int one = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}
