#!/usr/bin/python3
"""The request budget under greedy clients: never one over, hardly one wasted, waits foretold.

Four processes ask for 10 seconds as fast as they are answered, through one Weir, at
10, 100 and 1000 requests a second, for a sliding window and for a token bucket.  What
counts is when each request reached the origin, by the kernel's clock there.  And what a
reservation costs at ten thousand buckets.

    WEIR=./weir WEIR_LOAD=tests/bench/load WEIR_ORIGIN=tests/bench/origin \\
        WEIR_LEDGER=tests/bench/ledger budget.py

WEIR_BENCH_BUDGET_SECONDS=10 is how long each row takes.  Ends with status 1 where a bound is broken.
"""

import array
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import peers
from servers import LOAD, Origin

SECONDS = float(os.environ.get("WEIR_BENCH_BUDGET_SECONDS", "10"))
TRANSIT = 0.005                                  # the way from Weir to the origin may take this much longer or shorter
LEDGER = os.environ.get("WEIR_LEDGER", "tests/bench/ledger")
PROCESSES = 4
RATES = (10, 100, 1000)
CONNECTIONS = {10: 8, 100: 16, 1000: 64}         # of each process: each waits about a second or less

CONFIG = """
listen = ( "127.0.0.1:{port}" );
admin = {{ socket = "{folder}/admin.sock"; }};
cache = {{ path = "{folder}/cache"; }};
state = {{ path = "{folder}/state"; }};
log = {{ access = "{folder}/access.log"; level = "warning"; }};
upstreams = ( {{ name = "api"; url = "http://127.0.0.1:{origin}"; ttl = "never"; limits = ( "{limit}" );
                max_in_flight = 0; max_connections = 64; queue = {{ max_wait = "5m"; max_length = 100000; }}; }} );
"""


def most_in_window(times, window):
    """The most that came within less than `window` seconds."""
    most, first = 0, 0
    for i, t in enumerate(times):
        while times[first] <= t - window:
            first += 1
        most = max(most, i - first + 1)
    return most


def most_above_bucket(times, rate, burst):
    """How far a bucket of that rate and burst was ever overdrawn, in requests (0: never)."""
    level, last, over = 0.0, times[0], 0.0
    for t in times:
        level = max(0.0, level - (t - last) * rate) + 1
        last = t
        over = max(over, level - burst - TRANSIT * rate)
    return over


def waits(folder):
    """(foretold, had) in milliseconds of the answered requests, but for those of the first two seconds: their waits
    were foretold before their rivals were there, with whom they then took turns."""
    found, begin = [], None
    for line in (pathlib.Path(folder) / "access.log").read_text().splitlines():
        entry = json.loads(line)
        came = datetime.datetime.fromisoformat(entry["time"].rstrip("Z"))
        begin = min(begin or came, came)
        if entry["status"] == 200 and entry["attempts"] == 1:
            found.append((came, entry["predicted_ms"], entry["queue_ms"]))
    return [(told, had) for came, told, had in found if (came - begin).total_seconds() >= 2]


def row(limit, rate, burst):
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        file = pathlib.Path(folder) / "arrivals"
        with Origin(file) as origin:
            port = peers.free_port()
            config = pathlib.Path(folder) / "weir.conf"
            config.write_text(CONFIG.format(port=port, folder=folder, origin=origin.port, limit=limit))
            weir = subprocess.Popen([os.environ.get("WEIR", "./weir"), "-c", str(config)])
            try:
                peers.wait_for_port(port, weir)
                clients = [subprocess.Popen([LOAD, str(port), f"/api/{n}/#/64", str(CONNECTIONS[rate]), str(SECONDS)],
                                            stdout=subprocess.DEVNULL) for n in range(PROCESSES)]
                failed = [c.wait() for c in clients]
            finally:
                weir.terminate()
                weir.wait()
        assert not any(failed), "a client was refused"
        times = sorted(t / 1e9 for t in array.array("q", file.read_bytes()))
        foretold = waits(folder)
    return judge(limit, rate, burst, times, foretold)


def judge(limit, rate, burst, times, foretold):
    begin = times[0]
    # The first window's worth comes at once; from then on the rate is what it is held to.
    last = min(len(times), int(rate * SECONDS)) - 1
    at_once = rate if burst is None else burst
    used = (last + 1 - at_once) / rate / (times[last - at_once + 1] - begin) if last > at_once else 0.0
    most = most_in_window(times, 1.0 - TRANSIT)
    over = max(0.0, most - rate) if burst is None else most_above_bucket(times, rate, burst)
    wrong = sorted(abs(had - told) - max(20.0, 0.05 * told) for told, had in foretold)
    within = sum(1 for w in wrong if w <= 0) / max(1, len(wrong))
    return {"limit": limit, "requests": len(times), "most_in_a_second": most, "over": round(over, 2),
            "used": round(used, 4), "waits_foretold": round(within, 4),
            "worst_wait_beyond_ms": round(max(0.0, wrong[-1]), 1) if wrong else None,
            "kept": over <= 0 and used >= 0.99}


def measure():
    """{limit: figures}; printed as they come."""
    out = {"ledger": json.loads(subprocess.run([LEDGER], check=True, stdout=subprocess.PIPE).stdout)}
    print("  {buckets} buckets: {reserve_ns} ns for a reservation, {settle_ns} to settle it".format(**out["ledger"]))
    for rate in RATES:
        for limit, burst in ((f"{rate}/s", None), (f"{rate}/s burst {max(1, rate // 10)}", max(1, rate // 10))):
            out[limit] = found = row(limit, rate, burst)
            print(f"  {limit:18} {found['requests']:6} requests, over by {found['over']:.2f}, "
                  f"{100 * found['used']:.2f} % used, {100 * found['waits_foretold']:.2f} % of waits foretold "
                  f"within 5 % or 20 ms (worst beyond that: {found['worst_wait_beyond_ms']} ms)", flush=True)
    return out


if __name__ == "__main__":
    figures = measure()
    sys.exit(0 if figures.pop("ledger")["reserve_ns"] < 1000 and all(f["kept"] for f in figures.values()) else 1)
