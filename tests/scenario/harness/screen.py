"""A program on a terminal of a given size: what it draws, and what it leaves behind."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

from harness.wait import seconds, until

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    def __init__(self, arguments, environment, columns=80, rows=24):
        self.master, self.slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        self._text, self._lock = b"", threading.Lock()
        self.process = subprocess.Popen([str(a) for a in arguments], stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                        env={"TERM": "xterm-256color", **environment}, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            with self._lock:
                self._text += data

    def resize(self, columns, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    @property
    def text(self):
        """All that was written so far."""
        with self._lock:
            return self._text.decode(errors="replace")

    @property
    def picture(self):
        """The lines of the last whole picture, each drawn from the upper left corner on."""
        pictures = self.text.split("\x1b[H")
        whole = pictures[-1] if "\x1b[J" in pictures[-1] else pictures[-2] if len(pictures) > 1 else ""
        return [SEQUENCE.sub("", line).rstrip() for line in whole.replace("\r", "").split("\n")]

    def wait(self, condition, what):
        return until(lambda: condition(self.picture), what)

    def wait_exit(self, timeout=15.0):
        """Its status (negative: the signal); everything it wrote has been read."""
        status = self.process.wait(seconds(timeout))
        self.settings = termios.tcgetattr(self.slave)
        os.close(self.slave)
        self._reader.join(seconds(5))
        os.close(self.master)
        return status

    @property
    def is_as_it_was(self):
        return self.settings == self.before

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.wait_exit()
