#!/usr/bin/python3
"""Weir beside its peers: the same origin, the same load, interleaved rounds, one worker each.

Prints requests per second, processor time per request, latency and private
memory, and each figure's ratio to the best peer's.  Absolute times belong to
this machine and this minute; the ratios are what to look at.

    WEIR=./weir tests/bench/compare.py [--seconds 2] [--rounds 3] [--json FILE] [SCENARIO...]
"""

import argparse
import http.server
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.request

import peers

# name: (path, clients)
SCENARIOS = {
    "hit 1 KiB":            ("/api/1024", 32),
    "hit 16 KiB":           ("/api/16384", 32),
    "hit 1 MiB":            ("/api/1048576", 8),
    "hit 1 KiB, 512 conns": ("/api/1024", 512),
    "pass 1 KiB":           ("/pass/1024", 16),
}


class Origin(http.server.ThreadingHTTPServer):
    """Answers /N with N bytes, keep-alive."""

    daemon_threads = True
    request_queue_size = 1024

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            body = b"x" * int(self.path.rpartition("/")[2])
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Cache-Control", "max-age=3600")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def milliseconds(text):
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def load(peer, path, clients, seconds):
    """One run of wrk: requests per second, CPU µs per request, p50 and p99 in ms."""
    before = peers.cpu_seconds(peer.process.pid)
    run = subprocess.run(["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency",
                          f"http://127.0.0.1:{peer.port}{path}"], capture_output=True, text=True, check=True)
    used = peers.cpu_seconds(peer.process.pid) - before
    out = run.stdout
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    if "Non-2xx" in out or requests == 0:
        raise RuntimeError(f"{peer.name}: {out}")
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
        "cpu_us": used * 1e6 / requests,
        "p50_ms": milliseconds(re.search(r"50%\s+(\S+)", out).group(1)),
        "p99_ms": milliseconds(re.search(r"99%\s+(\S+)", out).group(1)),
    }


def warm(peer, path):
    for _ in range(3):
        with urllib.request.urlopen(f"http://127.0.0.1:{peer.port}{path}", timeout=10) as answer:
            answer.read()


def measure(running, path, clients, seconds, rounds):
    runs = {peer.name: [] for peer in running}
    for peer in running:
        warm(peer, path)
    for _ in range(rounds):
        for peer in running:
            runs[peer.name].append(load(peer, path, clients, seconds))
    return {name: {key: statistics.median(r[key] for r in rows) for key in rows[0]}
            for name, rows in runs.items()}


def show(name, results, running):
    others = [r["cpu_us"] for peer, r in results.items() if peer != "weir"]
    print(f"\n{name}")
    print(f"  {'':10}{'requests/s':>12}{'CPU µs':>10}{'p50 ms':>10}{'p99 ms':>10}{'KiB':>10}")
    for peer in running:
        r = results[peer.name]
        r["private_kib"] = peers.private_kib(peer.process.pid)
        print(f"  {peer.name:10}{r['rate']:>12.0f}{r['cpu_us']:>10.1f}{r['p50_ms']:>10.2f}{r['p99_ms']:>10.2f}"
              f"{r['private_kib']:>10}")
    if others:
        ratio = results["weir"]["cpu_us"] / min(others)
        results["ratio_to_best_peer"] = ratio
        print(f"  weir's CPU per request is {ratio:.2f} of the best peer's")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", nargs="*", help=", ".join(SCENARIOS))
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("compare: install the package wrk")
    present = [peer for peer in peers.ALL if peer.is_installed()]
    print("measured:", ", ".join(peer.name for peer in present),
          "- not installed:", ", ".join(p.name for p in peers.ALL if p not in present) or "none")
    everything = {}
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        os.chmod(folder, 0o755)
        origin = Origin()
        running = [peer(folder, origin.server_address[1]) for peer in present]
        try:
            for peer in running:
                peer.start()
            for name in arguments.scenario or SCENARIOS:
                everything[name] = measure(running, *SCENARIOS[name], arguments.seconds, arguments.rounds)
                show(name, everything[name], running)
        finally:
            for peer in running:
                peer.stop()
            origin.shutdown()
    if arguments.json:
        with open(arguments.json, "w") as out:
            json.dump(everything, out, indent=2)


if __name__ == "__main__":
    main()
