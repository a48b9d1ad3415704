#!/usr/bin/python3
"""Weir beside its peers: the same origin, the same load, interleaved rounds, one worker each.

Prints requests per second, processor time per request, latency and private
memory, and each figure's ratio to the best peer's and, where nothing is stored, to the
floor's (bare.c).  Absolute times belong to this machine and this minute; the ratios are what to look at.

    WEIR=./weir WEIR_LOAD=tests/bench/load WEIR_ORIGIN=tests/bench/origin \\
        compare.py [--seconds 2] [--rounds 3] [--only nginx,haproxy] [--json FILE] [SCENARIO...]
"""

import argparse
import collections
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request

import peers
from servers import LOAD, Origin

# `keys`: as many different ones, stored before and asked for at random; -1: a new one each time.
# `fields`: of each request. `anew`: each has a connection of its own. `asked_for`: only where it is named.
Scenario = collections.namedtuple("Scenario", "name path clients keys fields anew asked_for mib")


def scenario(name, path, clients=32, keys=0, fields=(), anew=False, asked_for=False, mib=0):
    if mib:
        path, clients = path + str(mib << 20), 8
    return Scenario(name, path, clients, keys, fields, anew, asked_for, mib)


IN_STEP = (128, 256, 512, 1024)                  # clients, beside the 32 of most

SCENARIOS = {s.name: s for s in (
    scenario("hit 1 KiB", "/api/1024"),
    scenario("hit 16 KiB", "/api/16384"),
    scenario("hit 1 MiB", "/api/", mib=1),
    scenario("hit 8 MiB", "/api/", mib=8, asked_for=True),
    scenario("304", "/api/1024", fields=('If-None-Match: "bench"',)),
    scenario("a new connection", "/api/1024", clients=8, anew=True),
    *(scenario(f"{clients:,} connections", "/api/1024", clients=clients) for clients in IN_STEP),
    scenario("10,000 keys", "/api/k/#/1024", keys=10_000),
    scenario("pass-through", "/pass/1024", clients=16),
    scenario("pass 1 MiB", "/pass/", mib=1),
    scenario("pass 8 MiB", "/pass/", mib=8, asked_for=True),
    scenario("miss and store", "/api/m/#/1024", clients=16, keys=-1),
    scenario("100,000 keys", "/api/k/#/1024", keys=100_000),
    scenario("1,000,000 keys", "/api/k/#/1024", keys=1_000_000, asked_for=True),
)}

WARM_RATE = 8000                                 # keys a second: who stores them more slowly drops out

# wrk's script; its arguments: the path, how many keys (0: a new one each time), a seed.
SCRIPT = """
local path, keys, prefix, count
function init(args)
    path, keys, prefix, count = args[1], tonumber(args[2]), args[3], 0
    math.randomseed(tonumber(prefix))
end
function request()
    local key
    if keys > 0 then
        key = string.format("%d", math.random(0, keys - 1))
    else
        count = count + 1
        key = prefix .. "-" .. count
    end
    return wrk.format("GET", (path:gsub("#", key)))
end
"""


def milliseconds(text):
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


def with_wrk(peer, what, seconds, script, seed):
    """One run of wrk: how many requests, requests per second, p50 and p99 in ms."""
    command = ["wrk", "-t1", f"-c{what.clients}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
    if what.keys:
        command += ["-s", script, f"http://127.0.0.1:{peer.port}/", what.path, str(max(what.keys, 0)), str(seed)]
    else:
        command += [f"http://127.0.0.1:{peer.port}{what.path}"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(out)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)
    p50, p99 = (milliseconds(re.search(rf"^\s+{p}%\s+(\S+)", out, re.M).group(1)) for p in (50, 99))
    return int(re.search(r"(\d+) requests in", out).group(1)), float(rate), p50, p99


def with_load(peer, what, seconds):
    """The same of tests/bench/load.c: wrk would wait for the body that the Content-Length of a 304 announces."""
    command = [LOAD, *(["-n"] if what.anew else []), str(peer.port), what.path, str(what.clients), str(seconds)]
    out = subprocess.run([*command, *what.fields], capture_output=True, text=True, check=True).stdout
    count, rate, p50, p99 = re.match(r"(\d+) requests, (\d+) requests/s, p50 (\d+) us, p99 (\d+) us", out).groups()
    return int(count), float(rate), int(p50) / 1000, int(p99) / 1000


def load(peer, what, seconds, script, seed):
    """One run of a load generator, and what it cost the peer: CPU µs per request."""
    before = peers.cpu_seconds(peer.process.pid)
    requests, rate, p50, p99 = (with_load(peer, what, seconds) if what.fields or what.anew else
                                with_wrk(peer, what, seconds, script, seed))
    used = peers.cpu_seconds(peer.process.pid) - before
    if requests == 0:
        raise RuntimeError("no request was answered")
    return {"rate": rate, "cpu_us": used * 1e6 / requests, "p50_ms": p50, "p99_ms": p99}


def warm(peer, what):
    """Everything the scenario will ask for is stored (where anything will be), and a connection was made."""
    if what.keys > 0:
        subprocess.run([LOAD, str(peer.port), what.path, "32", f"{what.keys}x"], check=True, capture_output=True,
                       timeout=60 + what.keys / WARM_RATE)
        return
    for _ in range(3):
        url = f"http://127.0.0.1:{peer.port}{what.path.replace('#', 'warm')}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()


def measure(running, what, seconds, rounds, script):
    """The medians of each peer's rounds; one that cannot do it drops out of this scenario and is named."""
    runs = {}

    def attempt(peer, do):
        try:
            return do()
        except (RuntimeError, OSError, subprocess.SubprocessError) as reason:
            if peer.name == "weir":
                raise
            runs.pop(peer.name, None)
            print(f"  {peer.name} drops out of {what.name}: {reason}", flush=True)
            return None

    for peer in running:
        runs[peer.name] = []
        attempt(peer, lambda: warm(peer, what))
    for number in range(rounds):
        for peer in running:
            if peer.name in runs and (run := attempt(peer, lambda: load(peer, what, seconds, script, number + 1))):
                runs[peer.name].append(run)
    results = {name: {key: statistics.median(r[key] for r in rows) for key in rows[0]}
               for name, rows in runs.items()}
    for peer in running:
        if peer.name in results:
            results[peer.name]["private_kib"] = peers.private_kib(peer.process.pid)
    return results


def takes_part(peer, what):
    return not peer.is_floor or what.path.startswith("/pass/")


def ratios(results, floors=False):
    """Each of Weir's figures by the best peer's, or the floor's; below 1 is better, but for the rate."""
    names = {p.name for p in peers.ALL if p.is_floor == floors}
    others = [r for peer, r in results.items() if peer != "weir" and peer in names]
    if "weir" not in results or not others:
        return {}
    own = results["weir"]
    best = {key: (max if key == "rate" else min)(r[key] for r in others) for key in own}
    return {key: own[key] / best[key] for key in own if best[key] > 0}


def in_step(scenarios):
    """Weir's rate with many clients by that with 32."""
    rates = {clients: scenarios[name]["figures"]["weir"]["rate"] for clients, name in
             [(32, "hit 1 KiB"), *((clients, f"{clients:,} connections") for clients in IN_STEP)] if name in scenarios}
    return {f"{clients:,}": round(rates[clients] / rates[32], 2) for clients in IN_STEP
            if clients in rates and 32 in rates}


def show_ratios(name, found):
    print(f"  {name:10}{found['rate']:>12.2f}{found.get('cpu_us', 0):>10.2f}{found['p50_ms']:>10.2f}"
          f"{found['p99_ms']:>10.2f}{found.get('private_kib', 0):>10.2f}", flush=True)


def show(what, results, found, to_floor):
    print(f"\n{what.name}")
    print(f"  {'':10}{'requests/s':>12}{'CPU µs':>10}{'p50 ms':>10}{'p99 ms':>10}{'KiB':>10}")
    for name, r in results.items():
        print(f"  {name:10}{r['rate']:>12.0f}{r['cpu_us']:>10.1f}{r['p50_ms']:>10.2f}{r['p99_ms']:>10.2f}"
              f"{r['private_kib']:>10}")
    if found:
        show_ratios("to best", found)
    if to_floor:
        show_ratios("to floor", to_floor)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {"machine": {"cpus": os.cpu_count(), "processor": model[1] if model else platform.machine(), "memory_gib": round(memory),
                        "kernel": platform.release()}}


def run(names=(), seconds=2, rounds=3, only=None):
    """Measures and shows these scenarios (all, where none is named), and returns what was found."""
    if shutil.which("wrk") is None:
        sys.exit("compare: install the package wrk")
    names = list(names) or [name for name, s in SCENARIOS.items() if not s.asked_for]
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        sys.exit(f"compare: no scenario {unknown[0]!r}; there are: {', '.join(SCENARIOS)}")
    wanted = [p for p in peers.ALL if only is None or p.name == "weir" or p.name in only]
    present = [p for p in wanted if p.is_installed()]
    print("measured:", ", ".join(p.name for p in present),
          "- not installed:", ", ".join(p.name for p in wanted if p not in present) or "none", flush=True)
    out = {**machine(), "scenarios": {}}
    if any(SCENARIOS[name].keys >= 1_000_000 for name in names):
        peers.Peer.megabytes = 3072
    running = []
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder, Origin() as origin:
        os.chmod(folder, 0o755)
        script = pathlib.Path(folder) / "keys.lua"
        script.write_text(SCRIPT)
        try:
            for peer in present:
                running.append(peer(folder, origin.port))
                running[-1].start()
            for name in names:
                what = SCENARIOS[name]
                results = measure([p for p in running if takes_part(p, what)], what, seconds, rounds, str(script))
                found, to_floor = ratios(results), ratios(results, floors=True)
                out["scenarios"][name] = {"figures": results, "weir_to_best": found,
                                          **({"weir_to_floor": to_floor} if to_floor else {})}
                show(what, results, found, to_floor)
        finally:
            for peer in running:
                peer.stop()
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", nargs="*", help=", ".join(SCENARIOS))
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="peers, with commas between")
    parser.add_argument("--json", help="where the figures go")
    given = parser.parse_args()
    out = run(given.scenario, given.seconds, given.rounds, given.only and given.only.split(","))
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(out, indent=2) + "\n")


if __name__ == "__main__":
    main()
