"""The daemon's clock, moved from here: WEIR_CLOCK_FILE (src/base/clock.h).

advance() moves both its wall and its monotonic time at once; set_wall() steps the wall clock alone.  The timers of the libraries
it uses do not, and a thread that already sleeps is not woken: scenarios move the
clock between requests, not below a waiting one.
"""
import mmap
import struct

SECOND, MINUTE, HOUR, DAY = 1, 60, 3600, 86400


class Clock:
    def __init__(self, path):
        self.path = str(path)
        self.offset_ns = self.wall_ns = 0
        with open(self.path, "wb") as file:
            file.write(struct.pack("<qq", 0, 0))
        with open(self.path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)

    def _write(self):
        struct.pack_into("<qq", self._map, 0, self.offset_ns, self.offset_ns + self.wall_ns)

    def advance(self, seconds):
        """Lets `seconds` pass for the daemon."""
        self.offset_ns += int(seconds * 1_000_000_000)
        self._write()

    def set_wall(self, seconds):
        """Sets the wall clock ahead by `seconds` (or back, below 0), as an administrator or NTP would."""
        self.wall_ns += int(seconds * 1_000_000_000)
        self._write()

    @property
    def offset(self):
        return self.offset_ns / 1e9

    def close(self):
        self._map.close()
