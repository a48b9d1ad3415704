#!/usr/bin/python3
"""What it costs that somebody looks on: weirctl log -f and top under 20,000 requests a second, and a reader that stops;
how soon weirctl ls over a large cache begins to print.

    WEIR=./weir WEIRCTL=./weirctl WEIR_LOAD=tests/bench/load WEIR_ORIGIN=tests/bench/origin WEIR_FILL=tests/bench/fill \
        looking.py
"""

import contextlib
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import tempfile
import time

import peers
from servers import LOAD, Origin

WEIRCTL = os.environ.get("WEIRCTL", "weirctl")
FILL = os.environ.get("WEIR_FILL", "tests/bench/fill")
OFFERED, SECONDS, ROUNDS = 20_000, 2, 5
RECORDS = int(os.environ.get("WEIR_BENCH_LISTED", "100000"))


class Weir(peers.Weir):
    def upstreams(self):
        return super().upstreams() + ', { name = "big"; url = "http://127.0.0.1:1"; partition = "shared"; }'


@contextlib.contextmanager
def command(weir, *arguments):
    with open(weir.folder / "looked", "wb") as out:
        process = subprocess.Popen([WEIRCTL, "--socket", str(weir.folder / "admin.sock"), *arguments], stdout=out,
                                   stdin=subprocess.DEVNULL)
        try:
            time.sleep(0.3)
            yield
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def unread(weir, *_):
    """Who asks to follow and takes nothing."""
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(weir.folder / "admin.sock"))
        reader.sendall(b"GET /log?follow=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.3)
        yield


@contextlib.contextmanager
def nobody(*_):
    yield


WAYS = {"nobody": (nobody,), "log -f": (command, "log", "-f", "--json"),
        "log -f, filtered": (command, "log", "-f", "status>=500"), "top": (command, "top", "--json", "-i", "1s"),
        "log -f, unread": (unread,)}


def load(weir):
    """Requests a second, and the daemon's processor time of one in µs."""
    used = peers.cpu_seconds(weir.process.pid)
    out = subprocess.run([LOAD, "-r", str(OFFERED), str(weir.port), "/api/1024", "32", str(SECONDS)], check=True,
                         capture_output=True, text=True).stdout
    count, rate = (int(n) for n in re.match(r"(\d+) requests, (\d+) ", out).groups())
    return rate, (peers.cpu_seconds(weir.process.pid) - used) * 1e6 / count


def looking(weir):
    load(weir)
    runs = {name: [] for name in WAYS}
    for _ in range(ROUNDS):                            # in turn, so that a busy machine is busy for all
        for name, (way, *arguments) in WAYS.items():
            with way(weir, *arguments):
                runs[name].append(load(weir))
    found = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in runs.items()}
    return {name: {"per_s": round(rate), "ratio": round(rate / found["nobody"][0], 3), "cpu_us": round(us, 1)}
            for name, (rate, us) in found.items()}


def listing(weir):
    """weirctl ls: until the first line, and all of it."""
    begin = time.monotonic()
    with subprocess.Popen([WEIRCTL, "--socket", str(weir.folder / "admin.sock"), "ls"], stdout=subprocess.PIPE) as ls:
        ls.stdout.readline()
        ls.stdout.readline()                           # after the heading
        first = time.monotonic()
        lines = sum(1 for _ in ls.stdout) + 1
    end = time.monotonic()
    return {"records": lines, "first_ms": round((first - begin) * 1000, 1), "all_s": round(end - begin, 2)}


def measure():
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder, Origin() as origin:
        weir = Weir(folder, origin.port)
        weir.cache = pathlib.Path(folder) / "filled"
        subprocess.run([FILL, str(weir.cache), str(16 << 30), "0", str(RECORDS), "1024"], check=True)
        try:
            weir.start()
            return {**looking(weir), "ls": listing(weir)}
        finally:
            weir.stop()


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
