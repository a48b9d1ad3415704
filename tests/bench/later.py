#!/usr/bin/python3
"""Requests for later: how many become jobs a second, and how soon they stand in line again after a start.  Snapshots:
processor time of a miss and of one that is recorded, of a hit and of one that is replayed.

    WEIR=./weir WEIR_ORIGIN=tests/bench/origin later.py
"""

import http.client
import json
import pathlib
import tempfile
import time

import peers
from servers import Origin

JOBS, REQUESTS, ROUNDS = 1000, 2000, 3


class Later(peers.Weir):
    name = "later"

    def upstreams(self):
        return f"""{{ name = "api"; url = "http://127.0.0.1:{self.origin_port}"; ttl = "1h"; {self.more} }}"""


def ask(weir, targets, fields=None, status=200):
    client = http.client.HTTPConnection("127.0.0.1", weir.port)
    for target in targets:
        client.request("GET", target, headers=fields or {})
        answer = client.getresponse()
        answer.read()
        assert answer.status == status, (answer.status, target)
    client.close()


def queued(weir):
    client = http.client.HTTPConnection("127.0.0.1", weir.port)
    client.request("GET", "/.weir/jobs?state=queued")
    return len(json.loads(client.getresponse().read())["jobs"])


def jobs(folder, origin):
    weir = Later(folder, origin.port)
    weir.more = 'limits = ( "1/min" ); queue = { max_length = 20000; };'
    weir.settings = 'jobs = { max = 20000; max_share = "100%"; };'
    try:
        weir.start()
        ask(weir, ["/api/64"])
        begin = time.monotonic()
        ask(weir, [f"/api/{i}/64" for i in range(JOBS)], {"Weir-Async": "1"}, 202)
        made = time.monotonic()
        count = queued(weir)
        listed = time.monotonic()
        weir.stop()
        restart = time.monotonic()
        weir.start()
        assert count == queued(weir) == JOBS
        there = time.monotonic()
    finally:
        weir.stop()
    return {"jobs": JOBS, "taken_per_s": round(JOBS / (made - begin)), "listed_ms": round((listed - made) * 1000),
            "there_after_a_start_ms": round((there - restart) * 1000)}


def cost(folder, origin, name, more, warm):
    """µs of processor time of a request, its threads' all, a second after the last."""
    weir = type(name, (Later,), {"name": name, "more": more})(folder, origin.port)
    targets = [f"/api/{i}/1024" for i in range(REQUESTS)]
    try:
        weir.start()
        if warm:
            ask(weir, targets)
        used = peers.cpu_seconds(weir.process.pid)
        ask(weir, targets)
        time.sleep(1)
        return (peers.cpu_seconds(weir.process.pid) - used) * 1e6 / REQUESTS
    finally:
        weir.stop()


def snapshots(folder, origin):
    found = {"miss": [], "recorded": [], "hit": [], "replayed": []}
    for number in range(ROUNDS):
        place = pathlib.Path(folder) / f"snapshot{number}"
        of = f'snapshot = {{ path = "{place}"; }};'
        for name, more, warm in (("miss", "", False), ("recorded", f'mode = "record"; {of}', False), ("hit", "", True),
                                 ("replayed", f'mode = "replay"; {of}', True)):
            found[name].append(cost(folder, origin, f"{name}{number}", more, warm))
    us = {name: min(rounds) for name, rounds in found.items()}
    return {**{f"{name}_us": round(n, 1) for name, n in us.items()}, "recorded_ratio": round(us["recorded"] / us["miss"], 2),
            "replayed_ratio": round(us["replayed"] / us["hit"], 2)}


def measure():
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder, Origin() as origin:
        return {"jobs": jobs(folder, origin), "snapshots": snapshots(folder, origin)}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
