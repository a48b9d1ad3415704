"""What the kernel says of the daemon's own sockets: a duplicate is taken (pidfd_getfd), asked, and closed again.

Linux lets a parent do so with its child, as a debugger might; where a container forbids that, the test is skipped.
"""
import contextlib
import ctypes
import errno
import os
import socket

import pytest

from harness.wait import until

PIDFD_GETFD = 438                               # the same on every architecture
LIBC = ctypes.CDLL(None, use_errno=True)


def _duplicate(pidfd, fd):
    """None: it was closed meanwhile."""
    copy = LIBC.syscall(PIDFD_GETFD, pidfd, fd, 0)
    if copy >= 0:
        return copy
    error = ctypes.get_errno()
    if error in (errno.EPERM, errno.ENOSYS):
        pytest.skip("the sockets of another process may not be looked at here")
    assert error == errno.EBADF, os.strerror(error)
    return None


def _leads_to(sock, address):
    try:
        return sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getpeername()[:2] == address
    except OSError:                             # one that listens has no peer
        return False


def _find(pid, address):
    folder, pidfd = f"/proc/{pid}/fd", os.pidfd_open(pid)
    try:
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                if not os.readlink(f"{folder}/{name}").startswith("socket:") or (copy := _duplicate(pidfd, int(name))) is None:
                    continue
                sock = socket.socket(fileno=copy)
                if _leads_to(sock, address):
                    return sock
                sock.close()
    finally:
        os.close(pidfd)
    return None


def daemons_end(d, peer):
    """A duplicate of the daemon's socket that is connected to `peer`, an address (host, port) or one of our own sockets.

    To be closed soon: while it is open the connection is.
    """
    address = peer if isinstance(peer, tuple) else peer.getsockname()[:2]
    return until(lambda: _find(d.pid, address), f"a connection of the daemon's with {address}")


def option(d, peer, name):
    """A TCP option of the daemon's end, a number."""
    with daemons_end(d, peer) as sock:
        return sock.getsockopt(socket.IPPROTO_TCP, name)


def congestion_control(d, peer):
    with daemons_end(d, peer) as sock:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
