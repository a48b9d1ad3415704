#!/usr/bin/python3
"""The cache at size: many records in a map that may be larger than memory, and eviction beside hits.

    WEIR=./weir WEIR_FILL=tests/bench/fill size.py [DIRECTORY]

WEIR_BENCH_RECORDS=1000000 says how many, of about 4.2 KiB each on disk; DIRECTORY (default: a temporary one)
is where they stay, to be measured again.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import compare
import peers
from servers import LOAD, Origin

RECORDS = int(os.environ.get("WEIR_BENCH_RECORDS", "1000000"))
FILL = os.environ.get("WEIR_FILL", "tests/bench/fill")
BODY_BYTES = 2500
FEW, HOT = 10_000, 1000
ROOM = 80 << 30
SMALL = 256 << 20                                # of the cache that evicts
STREAM = 500                                     # new keys a second
SECONDS = 3

# wrk's script as compare.SCRIPT, but of HOT keys that stand as far apart as they can.
APART = """
local path, step
function init(args)
    path, step = args[1], math.floor(tonumber(args[2]) / %d)
    math.randomseed(tonumber(args[3]))
end
function request()
    return wrk.format("GET", (path:gsub("#", string.format("%%d", math.random(0, %d) * step))))
end
""" % (HOT, HOT - 1)


class Weir(peers.Weir):
    """`big` is what fill.c has stored, `api` brings new keys."""

    def upstreams(self):
        return f'''
              {{ name = "big"; url = "http://127.0.0.1:1"; partition = "shared"; ttl = "30d"; }},
              {{ name = "api"; url = "http://127.0.0.1:{self.origin_port}"; partition = "shared"; ttl = "30d";
                 limits = ( "{STREAM}/s burst 1" ); }}'''


class Running:
    def __init__(self, cache, origin, size=ROOM):
        self.folder = tempfile.TemporaryDirectory(prefix="weir-bench-")
        self.weir = Weir(self.folder.name, origin.port)
        self.weir.cache, self.weir.size = cache, f"{size}B"

    def __enter__(self):
        begin = time.monotonic()
        self.weir.start()
        self.start_ms = (time.monotonic() - begin) * 1000
        return self

    def __exit__(self, *reason):
        self.weir.stop()
        self.folder.cleanup()


def fill(cache, size, begin, end):
    subprocess.run([FILL, str(cache), str(size), str(begin), str(end), str(BODY_BYTES)], check=True,
                   capture_output=True)


def hits(weir, script, keys, rounds=3):
    """CPU µs of a hit among that many keys, the best of some rounds: the first ones fetch the pages."""
    what = compare.scenario("hits", "/big/k/#", keys=keys)
    runs = [compare.load(weir, what, SECONDS, script, seed) for seed in range(rounds)]
    return min(run["cpu_us"] for run in runs)


def at_size(folder, origin, script):
    """{figure: value} of a small cache and of a large one."""
    small, large = folder / "small", folder / "large"
    if not small.exists():
        fill(small, ROOM, 0, FEW)
    if not (large / "full").exists():
        fill(large, ROOM, 0, RECORDS)
        (large / "full").write_text("")
    apart = pathlib.Path(script).with_name("apart.lua")
    apart.write_text(APART)
    with Running(small, origin) as few:
        few_us, hot_few_us = hits(few.weir, script, FEW), hits(few.weir, script, HOT)
        start_few = few.start_ms
    with Running(large, origin) as many:
        many_us, hot_us = hits(many.weir, script, FEW), hits(many.weir, str(apart), RECORDS)
        any_us = hits(many.weir, script, RECORDS)
        start_many = many.start_ms
    return {"records": RECORDS, "gib": round((large / "data.mdb").stat().st_size / 2**30, 1),
            "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
            "hit_us_of_10000": round(few_us, 1), "hit_us": round(many_us, 1), "ratio": round(many_us / few_us, 2),
            "hot_1000_us": round(hot_us, 1), "hot_1000_ratio": round(hot_us / hot_few_us, 2),
            "any_us": round(any_us, 1), "any_ratio": round(any_us / hot_few_us, 2),
            "start_ms_of_10000": round(start_few), "start_ms": round(start_many)}


def beside_a_stream(cache, origin, size, script):
    """CPU µs, p50 and p99 of hits while new keys come in."""
    with Running(cache, origin, size) as running:
        what = compare.scenario("hits", "/big/k/#", clients=4, keys=1000)
        stream = subprocess.Popen([LOAD, str(running.weir.port), f"/api/k/#/{BODY_BYTES}", "4", "60"],
                                  stdout=subprocess.DEVNULL)
        try:
            time.sleep(2)
            runs = [compare.load(running.weir, what, SECONDS, script, seed) for seed in range(3)]
        finally:
            stream.terminate()
            stream.wait()
        used = sum(path.stat().st_blocks * 512 for path in pathlib.Path(cache).rglob("*") if path.is_file())
    return {key: sorted(run[key] for run in runs)[1] for key in runs[0]}, used


def eviction(folder, origin, script):
    """Hits beside a stream of new keys: in a cache with room, and in one that must evict for each."""
    full = folder / "evicting"
    roomy = folder / "roomy"
    for cache in (full, roomy):
        subprocess.run(["rm", "-rf", str(cache)], check=True)
    fill(roomy, ROOM, 0, 50_000)
    fill(full, SMALL, 0, 70_000)
    fill(full, SMALL, 0, 1000)
    with_room, _ = beside_a_stream(roomy, origin, ROOM, script)
    evicting, used = beside_a_stream(full, origin, SMALL, script)
    return {"new_keys_per_s": STREAM, "max_mib": SMALL >> 20, "used_mib": used >> 20,
            **{f"{key}_ratio": round(evicting[key] / with_room[key], 2) for key in evicting}}


def measure(folder=None):
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as own, Origin() as origin:
        folder = pathlib.Path(folder or own)
        script = pathlib.Path(own) / "keys.lua"
        script.write_text(compare.SCRIPT)
        return {"at size": at_size(folder, origin, str(script)),
                "eviction": eviction(folder, origin, str(script))}


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:2]), indent=2))
