"""weirctl on a terminal of a test's own."""
import fcntl
import os
import pty
import struct
import subprocess
import termios

from harness.daemon import environment
from harness.wait import WEIRCTL, seconds


def on_terminal(d, columns, *arguments):
    """What weirctl writes to a terminal of so many columns."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    attributes = termios.tcgetattr(child)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(child, termios.TCSANOW, attributes)
    process = subprocess.Popen([WEIRCTL, "--socket", d.admin_path, *arguments], stdin=subprocess.DEVNULL, stdout=child,
                               stderr=subprocess.PIPE, env=environment(d.directory))
    os.close(child)
    out = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(parent)
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(seconds(10)) in (0, 1)
    return process.returncode, out, errors
