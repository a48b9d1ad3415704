#!/usr/bin/python3
"""A command in a network namespace of its own, whose congestion control is not this machine's.

    apart.py CONTROL COMMAND...        in a new namespace: loopback up, CONTROL the default, then COMMAND

Root makes it as it is; anybody else within a user namespace, where that is allowed, and stays who it is.
"""

import ctypes
import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import sys

SETTING = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def controls(wanted=("bbr", "cubic")):
    """Those of them that this kernel lets a namespace of its own have, root's included."""
    known = SETTING.with_name("tcp_allowed_congestion_control").read_text().split()
    return [control for control in wanted if control in known]


def command(control, arguments):
    return [sys.executable, __file__, control, *arguments]


def why_not():
    """None, or why there can be no such namespace."""
    tried = subprocess.run(command(SETTING.read_text().strip(), ["true"]), capture_output=True, text=True)
    return None if tried.returncode == 0 else tried.stderr.strip().rpartition("\n")[2]


def leave():
    """Into the namespace. The rights in it last until the next program."""
    uid, gid = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET | (CLONE_NEWUSER if uid != 0 else 0)) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    if uid != 0:
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def main():
    leave()
    with socket.socket() as s:
        name = b"lo".ljust(16, b"\0")
        flags = struct.unpack("16xh", fcntl.ioctl(s, SIOCGIFFLAGS, name + bytes(2))[:18])[0]
        fcntl.ioctl(s, SIOCSIFFLAGS, name + struct.pack("h", flags | IFF_UP))
    SETTING.write_text(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
