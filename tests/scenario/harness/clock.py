"""The daemon's clock, moved from here: WEIR_CLOCK_FILE (src/base/clock.h).

Both its wall and its monotonic time move at once.  The timers of the libraries
it uses do not, and a thread that already sleeps is not woken: scenarios move the
clock between requests, not below a waiting one.
"""
import mmap
import struct

SECOND, MINUTE, HOUR, DAY = 1, 60, 3600, 86400


class Clock:
    def __init__(self, path):
        self.path = str(path)
        self.offset_ns = 0
        with open(self.path, "wb") as file:
            file.write(struct.pack("<q", 0))
        with open(self.path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    def advance(self, seconds):
        """Lets `seconds` pass for the daemon."""
        self.offset_ns += int(seconds * 1_000_000_000)
        struct.pack_into("<q", self._map, 0, self.offset_ns)

    @property
    def offset(self):
        return self.offset_ns / 1e9

    def close(self):
        self._map.close()
