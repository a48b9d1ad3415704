#!/usr/bin/python3
"""A command in a network namespace of its own, whose congestion control is not this machine's.

    apart.py CONTROL COMMAND...        what runs within the namespace: loopback up, CONTROL the default, then COMMAND

Root makes the namespace as it is; anybody else as the root of a user namespace, where that is allowed.
"""

import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import sys

SETTING = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def controls(wanted=("bbr", "cubic")):
    """Those of them that this kernel has."""
    known = SETTING.with_name("tcp_available_congestion_control").read_text().split()
    return [control for control in wanted if control in known]


def command(control, arguments):
    unshare = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
    return [*unshare, sys.executable, __file__, control, *arguments]


def why_not():
    """None, or why there can be no such namespace."""
    try:
        tried = subprocess.run(command(SETTING.read_text().strip(), ["true"]), capture_output=True, text=True)
    except OSError as reason:
        return str(reason)
    return None if tried.returncode == 0 else tried.stderr.strip().rpartition("\n")[2]


def main():
    with socket.socket() as s:
        name = b"lo".ljust(16, b"\0")
        flags = struct.unpack("16xh", fcntl.ioctl(s, SIOCGIFFLAGS, name + bytes(2))[:18])[0]
        fcntl.ioctl(s, SIOCSIFFLAGS, name + struct.pack("h", flags | IFF_UP))
    SETTING.write_text(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
