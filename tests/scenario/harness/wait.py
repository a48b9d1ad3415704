"""Waiting for a fact, never for luck: every wait has a condition and an end.

Sanitizer builds are several times slower; `slowness` stretches every time-out,
never a pause, so a build without them loses nothing.
"""
import mmap
import os
import shutil
import subprocess
import threading
import time

DEFAULT_SECONDS = 10.0


def find_program(variable, name):
    """The binary under test: named by the environment (make check does), else in PATH."""
    path = os.environ.get(variable) or shutil.which(name)
    return os.path.abspath(path) if path else None


def _sanitizer_of(path):
    if path is None or not os.path.isfile(path) or os.path.getsize(path) == 0:
        return None
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        for mark, name in ((b"__asan_init", "address"), (b"__tsan_init", "thread"),
                           (b"__ubsan_handle", "undefined")):
            if image.find(mark) >= 0:
                return name
    return None


def _has_tricks(path):
    """As it says itself; see src/front/mhd/tricks.h."""
    return path is None or "tricks off" not in subprocess.run([path, "--version"], capture_output=True, text=True).stdout


WEIR = find_program("WEIR", "weir")
WEIRCTL = find_program("WEIRCTL", "weirctl")
SANITIZER = _sanitizer_of(WEIR)
TRICKS = _has_tricks(WEIR)
slowness = {None: 1.0, "undefined": 2.0, "address": 4.0, "thread": 6.0}[SANITIZER]


def seconds(count=DEFAULT_SECONDS):
    """A time-out as this build needs it."""
    return count * slowness


class Stalls:
    """How late this process is woken while a measurement runs: figures of real time are read with `worst` in mind.

    A busy machine holds threads back for tenths of a second; what an origin stamps is then late by as much.
    """

    def __enter__(self):
        self.worst, self._ended = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self):
        while not self._ended.is_set():
            began = time.monotonic()
            self._ended.wait(0.005)
            self.worst = max(self.worst, time.monotonic() - began - 0.005)

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


def until(condition, what, timeout=DEFAULT_SECONDS, every=0.01):
    """Polls until `condition()` is true and returns its value; AssertionError names `what` at the end."""
    end = time.monotonic() + seconds(timeout)
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds(timeout):g} s in vain for {what}; last: {value!r}"
        time.sleep(every)
